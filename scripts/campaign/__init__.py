"""Campaigns: long sequences of operations, steered into regimes, compared after every step."""
