"""What every room needs: configuration, files, seeds, errors, devices."""
