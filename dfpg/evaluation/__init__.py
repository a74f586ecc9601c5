"""Restore the test sets and score every image."""
