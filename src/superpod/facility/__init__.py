"""What a machine costs to own and to run in a building."""
