"""Serving simulated request by request; its cost follows the requests, not their tokens."""
