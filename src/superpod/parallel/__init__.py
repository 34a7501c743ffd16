"""How a model is laid over ranks: degrees, groups and where they sit, what they say to each other, what they hold."""
