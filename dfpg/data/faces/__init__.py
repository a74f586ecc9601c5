"""Sharp faces: sources, splits, the generator of people who do not exist."""
