# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""Shelves of prefix blocks: found by their identity, let go of in the order in which they were last used.

The identity of a block stands for all that comes before it in a prompt. A request uses a prompt from its start and lets
go of it from its end, so no block outlives one before it: what the least recently used order drops is always a leaf of
the radix tree.
"""

from superpod.serve.simulation import columns as c


def bucket_of(w, h, key):
    """Return the place of a block's bucket."""
    return w.shelf[h + c.FIRST_BUCKET] + (((key % 2**31) * 2654435761 >> 12) & w.shelf[h + c.MASK])


def find(w, h, key):
    """Return the entry of a block on a shelf, NONE where it is not there."""
    e = w.bucket[bucket_of(w, h, key)]
    while e != c.NONE and w.entry[e + c.KEY] != key:
        e = w.entry[e + c.CHAIN]
    return e


def link_newest(w, h, e):
    """Make an entry the newest of those that nobody holds."""
    newest = w.shelf[h + c.NEWEST]
    w.entry[e + c.OLDER], w.entry[e + c.NEWER] = newest, c.NONE
    if newest == c.NONE:
        w.shelf[h + c.OLDEST] = e
    else:
        w.entry[newest + c.NEWER] = e
    w.shelf[h + c.NEWEST] = e
    w.shelf[h + c.LOOSE] += 1


def unlink(w, h, e):
    """Take an entry out of those that nobody holds."""
    older, newer = w.entry[e + c.OLDER], w.entry[e + c.NEWER]
    if older == c.NONE:
        w.shelf[h + c.OLDEST] = newer
    else:
        w.entry[older + c.NEWER] = newer
    if newer == c.NONE:
        w.shelf[h + c.NEWEST] = older
    else:
        w.entry[newer + c.OLDER] = older
    w.shelf[h + c.LOOSE] -= 1


def take_hold(w, h, e):
    """Hold an entry; return whether nobody did before."""
    fresh = w.entry[e + c.HOLDERS] == 0
    if fresh:
        unlink(w, h, e)
    w.entry[e + c.HOLDERS] += 1
    return fresh


def let_loose(w, h, e):
    """Hold an entry no longer; return whether nobody does."""
    w.entry[e + c.HOLDERS] -= 1
    last = w.entry[e + c.HOLDERS] == 0
    if last:
        link_newest(w, h, e)
    return last


def touch(w, h, e):
    """Make an entry that nobody holds the newest."""
    unlink(w, h, e)
    link_newest(w, h, e)


def drop_oldest(w, h):
    """Drop the block that was used longest ago and that nobody holds; return it."""
    e = w.shelf[h + c.OLDEST]
    unlink(w, h, e)
    key = w.entry[e + c.KEY]
    place = bucket_of(w, h, key)
    if w.bucket[place] == e:
        w.bucket[place] = w.entry[e + c.CHAIN]
    else:
        before = w.bucket[place]
        while w.entry[before + c.CHAIN] != e:
            before = w.entry[before + c.CHAIN]
        w.entry[before + c.CHAIN] = w.entry[e + c.CHAIN]
    w.entry[e + c.CHAIN] = w.shelf[h + c.SPARE]
    w.shelf[h + c.SPARE] = e
    return key


def put(w, h, key):
    """Put a block that is not there on a shelf with a spare entry, as the newest; return its entry."""
    e = w.shelf[h + c.SPARE]
    w.shelf[h + c.SPARE] = w.entry[e + c.CHAIN]
    place = bucket_of(w, h, key)
    w.entry[e + c.KEY] = key
    w.entry[e + c.HOLDERS] = 0
    w.entry[e + c.CHAIN] = w.bucket[place]
    w.bucket[place] = e
    link_newest(w, h, e)
    return e


def put_or_touch(w, h, key):
    """Put a block on a shelf, the oldest making room; return (its entry, whether it is new, what was dropped)."""
    dropped = c.NONE
    e = find(w, h, key)
    if e != c.NONE:
        touch(w, h, e)
        return e, False, dropped
    if w.shelf[h + c.SPARE] == c.NONE:
        dropped = drop_oldest(w, h)
    return put(w, h, key), True, dropped


def wipe(w, h):
    """Drop all blocks that nobody holds."""
    while w.shelf[h + c.OLDEST] != c.NONE:
        drop_oldest(w, h)
