"""DFPG-Bench: the reproducibility benchmark suite for face deblurring."""
