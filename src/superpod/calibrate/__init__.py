"""Fits of operator efficiencies to measured operators."""
