"""Serving: deployments searched in the steady state, or chosen by the requests that they serve."""
