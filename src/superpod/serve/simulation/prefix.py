# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""Prefixes of prompts: reused where they are cached, fetched from tiers behind, kept when they have been read."""

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.series import spread
from superpod.serve.simulation.shelf import drop_oldest, find, let_loose, put, put_or_touch, take_hold, touch


def shelf_of(g):
    """Return the shelf of a group of the first pool."""
    return g // c.GROUP_ROW * c.SHELF


def tier(w, which):
    """Return the shelf of a tier; it is there where it has room."""
    return w.tally[c.TIERS] + which * c.SHELF


def whole_blocks(w, s):
    """Return how many blocks a request's prompt fills."""
    size = w.tally[c.BLOCK_TOKENS]
    return min(w.request[s + c.BLOCKS], w.request[s + c.GIVEN] // size) if size > 0 else 0


def block(w, s, n):
    """Return the identity of a request's block."""
    return w.arena[w.request[s + c.BLOCK] + n]


def cached_blocks(w, g, s):
    """Return how many blocks from a prompt's start a group has: by halving, as no block outlives one before it."""
    low, high, h = 0, whole_blocks(w, s), shelf_of(g)
    while low < high:
        middle = (low + high + 1) // 2
        if find(w, h, block(w, s, middle - 1)) == c.NONE:
            high = middle - 1
        else:
            low = middle
    return low


def trim(w, g, room_tokens):
    """Drop what was used longest ago until the blocks that nobody holds fit beside what is in use."""
    h = shelf_of(g)
    while w.shelf[h + c.LOOSE] * w.tally[c.BLOCK_TOKENS] > max(room_tokens, 0):
        drop_oldest(w, h)


def held_already(w, g, s, count):
    """Return (how many of the first `count` blocks are there indeed, how many of them others hold: for no more memory).

    All are there where identities stand for what comes before them.
    """
    held, h = 0, shelf_of(g)
    for n in range(count):
        e = find(w, h, block(w, s, n))
        if e == c.NONE:
            return n, held
        if w.entry[e + c.HOLDERS] > 0:
            held += 1
    return count, held


def reuse(w, g, s, count):
    """Hold the first `count` blocks of a prompt, which the group has; they count as read."""
    h, size = shelf_of(g), w.tally[c.BLOCK_TOKENS]
    for n in range(count):
        if take_hold(w, h, find(w, h, block(w, s, n))):
            w.group[g + c.HELD] += size
    w.request[s + c.SHARED] = count


def fetched(w, i, g, s, now):
    """Find what follows of a prompt in peers, host memory and disks; return (blocks, when they are there)."""
    own, size = shelf_of(g), w.tally[c.BLOCK_TOKENS]
    first, last = w.request[s + c.SHARED], whole_blocks(w, s)
    from_peers, from_host, from_disk, n = 0, 0, 0, first
    while n < last:
        key = block(w, s, n)
        where = find(w, tier(w, c.DIRECTORY), key)
        at = w.entry[where + c.WHERE] if where != c.NONE else own
        if at != own and find(w, at, key) != c.NONE:
            from_peers += 1
        elif seen(w, tier(w, c.HOST), key):
            from_host += 1
        elif seen(w, tier(w, c.DISK), key):
            from_disk += 1
        else:
            break
        n += 1
    ready = now
    for which, count in ((0, from_peers), (1, from_host), (2, from_disk)):
        if count > 0:
            ready = max(ready, carried(w, i, which, count * size, now))
    return n - first, ready


def seen(w, h, key):
    """Return whether a tier has a block; it is the newest then."""
    e = find(w, h, key)
    if e != c.NONE:
        touch(w, h, e)
    return e != c.NONE


def carried(w, i, which, tokens, now):
    """Return when tokens have come from a tier, over the instance's link to it, one after the other."""
    place, link = c.PEER_RATE + 2 * which, w.instance[i + c.LINKS]
    begin = max(now, w.hour[link + c.PEER_PIPE + which])
    size = w.link[c.BYTES_PER_TOKEN] * tokens
    slow = w.hour[i + c.STRAIN] if which == 0 else 1.0
    end = begin + size / w.link[place] * slow
    w.hour[link + c.PEER_PIPE + which] = end
    spread(w, c.PEER_BYTES + which, begin, end, size)
    return end + w.link[place + 1]


def keep_prefix(w, g, s, room_tokens):
    """Keep the blocks of a prompt that has been read; those that others have put there meanwhile are held once."""
    h, size = shelf_of(g), w.tally[c.BLOCK_TOKENS]
    last = whole_blocks(w, s)
    if last > w.request[s + c.SHARED]:
        trim(w, g, room_tokens)
    for n in range(w.request[s + c.SHARED], last):
        key = block(w, s, n)
        e = find(w, h, key)
        if e == c.NONE:
            if w.shelf[h + c.SPARE] == c.NONE:
                if w.shelf[h + c.OLDEST] == c.NONE:
                    return
                drop_oldest(w, h)
            e = put(w, h, key)
            write_through(w, h, key)
        if take_hold(w, h, e):
            w.group[g + c.HELD] += size
        w.request[s + c.KEPT] -= size
        w.group[g + c.HELD] -= size
        w.request[s + c.SHARED] = n + 1


def write_through(w, h, key):
    """Note in the directory who has a block, and write it to host memory; what falls out of that goes to disks."""
    if w.shelf[tier(w, c.DIRECTORY) + c.ROOM_FOR] > 0:
        e, _, _ = put_or_touch(w, tier(w, c.DIRECTORY), key)
        w.entry[e + c.WHERE] = h
    if w.shelf[tier(w, c.HOST) + c.ROOM_FOR] > 0:
        _, _, dropped = put_or_touch(w, tier(w, c.HOST), key)
        if dropped != c.NONE and w.shelf[tier(w, c.DISK) + c.ROOM_FOR] > 0:
            put_or_touch(w, tier(w, c.DISK), dropped)


def drop_prefix(w, g, s):
    """Let go of the blocks that a request holds, from its end; they stay until memory is short."""
    h, size = shelf_of(g), w.tally[c.BLOCK_TOKENS]
    for n in range(w.request[s + c.SHARED] - 1, -1, -1):
        if let_loose(w, h, find(w, h, block(w, s, n))):
            w.group[g + c.HELD] -= size
    w.request[s + c.SHARED] = 0
