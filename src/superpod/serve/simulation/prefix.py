# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Prefix caches: not yet."""


def drop_prefix(w, g, s):
    """Let go of the blocks that a request holds in a group."""


def keep_prefix(w, p, g, s, now):
    """Keep."""


def reuse_prefix(w, p, g, s, now):
    """Reuse."""
    return now
