"""Cost, energy, carbon and water of a machine and its work."""
