"""The arithmetic behind published claims, one function or one call of a shared one per claim."""
