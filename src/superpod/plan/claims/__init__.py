"""Published claims, recomputed."""
