"""Stops of the tour, by subject. A stop is a function of a fresh chain; what it returns counts compared calls."""
