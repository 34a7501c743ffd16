"""Requests: read from traces, drawn from distributions, reshaped and described."""
