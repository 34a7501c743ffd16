"""Training: layouts enumerated, screened by closed forms, replayed, and explained."""
