"""Serving in the steady state: what one pass costs, what fits, and how pools of instances share the machine."""
