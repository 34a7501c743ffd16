"""Published results against predictions."""
