"""Mutation score: small wrong edits of the contracts, and whether the comparison with the model notices each one."""
