"""Face detection and verification of Table 3: pairs, observation of images, estimates."""
