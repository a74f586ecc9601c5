"""Plots of the results."""
