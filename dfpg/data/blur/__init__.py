"""Blur: kernels, degradation of sharp faces, test sets."""
