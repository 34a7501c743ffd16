# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""Where requests go: the group that reads them, and the one that decodes them."""

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.admission import fits
from superpod.serve.simulation.lives import come, end, enqueue, let_go
from superpod.serve.simulation.prefix import cached_blocks


def is_open(w, g):
    """Return whether a group's instance takes requests."""
    return w.instance[w.group[g + c.OWNER] + c.HEALTH] == c.UP


def next_in_turn(w, p, turn):
    """Return the next open group in turn, NONE where there is none."""
    count = w.pool[p + c.LANE_COUNT]
    for _ in range(count):
        g = w.lanes[w.pool[p + c.LANES] + w.tally[turn] % count]
        w.tally[turn] += 1
        if is_open(w, g):
            return g
    return c.NONE


def least_loaded(w, p):
    """Return the open group with the fewest tokens before it, prompts and outputs alike."""
    best, least = c.NONE, 0
    for n in range(w.pool[p + c.LANE_COUNT]):
        g = w.lanes[w.pool[p + c.LANES] + n]
        if is_open(w, g) and (best == c.NONE or w.group[g + c.LOAD] < least):
            best, least = g, w.group[g + c.LOAD]
    return best


def best_prefix(w, s):
    """Return the open group of the first pool with the fewest tokens before it and of this prompt still to read."""
    best, least, size = c.NONE, 0, w.tally[c.BLOCK_TOKENS]
    for n in range(w.pool[c.LANE_COUNT]):
        g = w.lanes[w.pool[c.LANES] + n]
        if is_open(w, g):
            load = w.group[g + c.LOAD] - cached_blocks(w, g, s) * size
            if best == c.NONE or load < least:
                best, least = g, load
    return best


def same_as_before(w, p, session):
    """Return the group that all requests of a session go to: by a hash; the next open one where it is closed."""
    count = w.pool[p + c.LANE_COUNT]
    first = ((session + w.tally[c.SEED]) % 2**31) * 2654435761 >> 12
    for n in range(count):
        g = w.lanes[w.pool[p + c.LANES] + (first + n) % count]
        if is_open(w, g):
            return g
    return c.NONE


def choose(w, p, s):
    """Return the group of a pool that takes a request."""
    router = w.pool[p + c.ROUTER]
    if router == c.ROUND_ROBIN:
        return next_in_turn(w, p, c.TURN if p == 0 else c.TURN_DECODE)
    if router == c.PREFIX_AWARE and p == 0:
        return best_prefix(w, s)
    if router == c.STICKY and w.request[s + c.SESSION] != c.NONE:
        return same_as_before(w, p, w.request[s + c.SESSION])
    return least_loaded(w, p)


def place(w, g, s, now):
    """Let a request wait in a group."""
    first = w.group[g + c.WAIT] == c.NONE
    enqueue(w, g, s)
    w.group[g + c.LOAD] += w.request[s + c.GIVEN] + w.request[s + c.OUTPUT]
    if first:
        come(w, g, now)


def restart(w, s, now):
    """Send a request that has lost its cache to a group that reads it anew, where its prompt with its tokens fits."""
    g = choose(w, 0, s)
    w.request[s + c.GROUP] = c.NONE
    if g == c.NONE or not fits(w, 0, s):
        end(w, s, c.FAILED, now)
        return
    place(w, g, s, now)


def hand_over(w, g, s, now):
    """Send a request that has been read to a group that decodes it; its cache stays until it is there."""
    w.request[s + c.READER] = g
    w.request[s + c.READER_KEPT] = w.request[s + c.KEPT]
    w.request[s + c.KEPT] = 0
    w.group[g + c.LOAD] -= w.request[s + c.GIVEN] + w.request[s + c.OUTPUT]
    w.request[s + c.GROUP] = c.NONE
    w.moment[s // c.PLACE + c.READY] = now
    pass_on(w, s, now)


def pass_on(w, s, now):
    """Send a request whose cache is where it was read to a group that decodes it."""
    d = choose(w, c.POOL_ROW, s)
    if d == c.NONE:
        let_go(w, s)
        end(w, s, c.FAILED, now)
        return
    place(w, d, s, now)
