"""What people call; each module is one command."""
