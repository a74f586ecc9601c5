"""Pretrained networks that others use, and where they come from."""
