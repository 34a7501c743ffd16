"""How ranks reach each other: tiers of a pod, groups that may span them, and collectives over a group."""
