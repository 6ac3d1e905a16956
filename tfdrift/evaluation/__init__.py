"""Scores on held-out patients, beside the baselines."""
