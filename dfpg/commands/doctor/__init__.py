"""What this machine can run, and for how long."""
