"""Robustness to misalignment: faces shifted, turned and scaled by known amounts."""
