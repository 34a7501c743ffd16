"""Measured operator times of an installed package, in place of the analytic model inside their range."""
