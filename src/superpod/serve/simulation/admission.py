# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"
"""Who is admitted to the memory of a group, and when the cache that it waits for is there."""

import math

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.lives import dequeue, emitted, end, hold, in_use
from superpod.serve.simulation.order import append
from superpod.serve.simulation.prefix import cached_blocks, fetched, held_already, reuse
from superpod.serve.simulation.series import record, spread


def needs(w, p, s):
    """Return the tokens of memory that a request takes when admitted: whole blocks, its output where it is reserved."""
    spare = w.pool[p + c.PAGE] - 1 + w.pool[p + c.STATE_TOKENS]
    if w.pool[p + c.RESERVES] and w.pool[p + c.KIND] != c.READERS:
        return w.request[s + c.GIVEN] + w.request[s + c.OUTPUT] + spare
    return w.request[s + c.PROMPT] + spare


def fits(w, p, s):
    """Return whether a group of a pool could ever hold a request, with what it has made so far."""
    tokens = w.request[s + c.PROMPT] + w.pool[p + c.PAGE] - 1 + w.pool[p + c.STATE_TOKENS] + int(emitted(w, p) + 1.0)
    if w.pool[p + c.KIND] != c.READERS:
        tokens += w.request[s + c.OUTPUT] - w.request[s + c.MADE]
    return tokens <= w.pool[p + c.CAPACITY]


def admit(w, p, g, k, now):
    """Admit who waits, first come first served, as long as memory lasts for the next step too."""
    caches = p == 0 and w.tally[c.BLOCK_TOKENS] > 0
    s = w.group[g + c.WAIT]
    while s != c.NONE and w.group[g + c.COUNT] < w.pool[p + c.SEQUENCES]:
        if w.moment[s // c.PLACE + c.ADMITTED] < 0.0 and now - w.moment[s // c.PLACE + c.ARRIVED] > w.clock[c.PATIENCE]:
            dequeue(w, g, s)
            end(w, s, c.REFUSED, now)
            s = w.group[g + c.WAIT]
            continue
        room = w.pool[p + c.CAPACITY] - in_use(w, p, g, k + 1) - math.ceil(emitted(w, p))
        tokens, found, held = needs(w, p, s), 0, 0
        if caches and w.request[s + c.READ] == 0:
            found, held = held_already(w, g, s, cached_blocks(w, g, s))
        if tokens - held * w.tally[c.BLOCK_TOKENS] > room:
            return
        dequeue(w, g, s)
        hold(w, g, s, tokens - found * w.tally[c.BLOCK_TOKENS])
        if found > 0:  # a request that is handed over still holds its prefix where it was read
            reuse(w, g, s, found)
        append(w.request, w.group, g + c.READS, s)
        w.request[s + c.STATE] = c.READING
        t = s // c.PLACE
        if w.moment[t + c.ADMITTED] < 0.0:
            w.moment[t + c.ADMITTED] = now
        fetch(w, p, g, s, now)
        s = w.group[g + c.WAIT]


def loses_patience(w, g, now):
    """Return when the first of a queue will have waited too long to be admitted; NEVER where it has, or waits on."""
    s = w.group[g + c.WAIT]
    if s == c.NONE or w.moment[s // c.PLACE + c.ADMITTED] >= 0.0:
        return c.NEVER
    at = w.moment[s // c.PLACE + c.ARRIVED] + w.clock[c.PATIENCE]
    return at if at > now else c.NEVER


def fetch(w, p, g, s, now):
    """Set when a request's cache is there: handed over from where it was read, swapped in, or found in a tier."""
    t, owner = s // c.PLACE, w.group[g + c.OWNER]
    ready = now
    if w.request[s + c.READER] != c.NONE:
        ready = hand_in(w, owner, s, now)
    elif w.request[s + c.READ] == w.request[s + c.PROMPT]:
        ready = swap_in(w, owner, s, now)
    elif p == 0 and w.tally[c.BLOCK_TOKENS] > 0:
        blocks, ready = fetched(w, owner, g, s, now)
        blocks += w.request[s + c.SHARED]
        w.request[s + c.READ] = min(blocks * w.tally[c.BLOCK_TOKENS], w.request[s + c.PROMPT] - 1)
        if w.request[s + c.EVICTED] == 0:
            w.request[s + c.HIT] = w.request[s + c.READ]
    w.moment[t + c.READY] = ready


def cache_bytes(w, tokens):
    """Return the bytes of a request's cache."""
    return w.link[c.BYTES_PER_TOKEN] * tokens + w.link[c.STATE_BYTES]


def hand_in(w, i, s, now):
    """Return when a cache has come from where it was read, over the instance's link, one after the other.

    Layer by layer it may start while its last chunk is being read; the last layer's part comes after that. One that had
    to wait for memory has had nowhere to go until now.
    """
    size, t, link = cache_bytes(w, w.request[s + c.PROMPT]), s // c.PLACE, w.instance[i + c.LINKS]
    seconds = size / w.link[c.TRANSFER_RATE] * w.hour[i + c.STRAIN]
    begin = max(now, w.hour[link + c.PIPE])
    if w.moment[t + c.READY] == now and w.link[c.OVERLAPS] > 0.0:
        begin = min(begin, max(w.moment[t + c.BEGAN], w.hour[link + c.PIPE]))
    end = max(begin + seconds, now + seconds * (1.0 - w.link[c.OVERLAPS]))
    w.hour[link + c.PIPE] = end
    spread(w, c.TRANSFER_BYTES, begin, end, size)
    record(w, i, c.CARRIES, begin, end, 1, size)
    return end + w.link[c.TRANSFER_LATENCY]


def swap_in(w, i, s, now):
    """Return when a cache has come back from host memory, one after the other; both ways count as bytes swapped."""
    link, size = w.instance[i + c.LINKS], cache_bytes(w, w.request[s + c.PROMPT])
    begin = max(now, w.hour[link + c.SWAP_PIPE])
    end = begin + size / w.link[c.SWAP_RATE]
    w.hour[link + c.SWAP_PIPE] = end
    spread(w, c.SWAP_BYTES, begin, end, size)
    return end + w.link[c.SWAP_LATENCY]


def swap_time(w, s):
    """Return the seconds that a cache takes between chip and host memory."""
    return w.link[c.SWAP_LATENCY] + cache_bytes(w, w.request[s + c.PROMPT]) / w.link[c.SWAP_RATE]
