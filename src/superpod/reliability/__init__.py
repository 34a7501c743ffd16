"""How often a machine fails, what that stops, and what work is left."""
