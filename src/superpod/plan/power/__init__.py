"""Power and cooling of a machine at work."""
