"""What failures leave of a machine."""
