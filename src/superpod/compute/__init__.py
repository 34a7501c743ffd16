"""What one operator costs on one rank."""
