"""From what a machine draws to where its heat goes, hour by hour."""
