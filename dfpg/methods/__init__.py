"""Compared systems: one file per method, network and training objective together."""
