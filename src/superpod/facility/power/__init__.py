"""From what chips do to what a building draws."""
