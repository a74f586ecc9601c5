"""Runs on many machines, by Ray, and what they would cost."""
