"""From per-image scores to estimates, tests, claims and tables."""
