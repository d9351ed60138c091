"""What configures Derush: settings, and the catalogue of steps, environments and models."""
