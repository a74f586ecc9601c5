"""Metrics: one file each, the convention in the name. Images are uint8 RGB [N, 3, H, W]."""
