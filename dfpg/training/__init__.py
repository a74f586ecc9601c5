"""One explicit training loop, exact resume, device and precision."""
