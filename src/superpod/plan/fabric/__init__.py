"""A fabric, drawn, counted and loaded."""
