"""Shelves of prefix blocks, empty."""

import math

import numpy as np

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.columns import Whole
from superpod.serve.simulation.fleet import Fleet, Store

LARGEST = 2**24
"""Blocks that a tier is made for at most; beyond, it takes more memory than a trace has blocks."""


def shelves(fleet: Fleet, groups: int, block_tokens: int) -> tuple[Whole, Whole, Whole]:
    """Return (shelf, entry, bucket): a shelf for each group that reads prompts, then those of the tiers."""
    rooms = _rooms(fleet, groups, block_tokens)
    shelf = np.zeros(len(rooms) * c.SHELF, dtype=np.int64)
    buckets = [1 << max(room - 1, 0).bit_length() for room in rooms]
    entry = np.zeros(sum(rooms) * c.ENTRY, dtype=np.int64)
    first_entry, first_bucket = 0, 0
    for number, (room, size) in enumerate(zip(rooms, buckets, strict=True)):
        h = number * c.SHELF
        shelf[h + c.FIRST_ENTRY], shelf[h + c.ROOM_FOR] = first_entry, room
        shelf[h + c.FIRST_BUCKET], shelf[h + c.MASK] = first_bucket, size - 1
        shelf[h + c.NEWEST] = shelf[h + c.OLDEST] = shelf[h + c.SPARE] = c.NONE
        if room:
            places = first_entry + np.arange(room) * c.ENTRY
            entry[places + c.CHAIN] = np.append(places[1:], c.NONE)
            shelf[h + c.SPARE] = first_entry
        first_entry += room * c.ENTRY
        first_bucket += size
    return shelf, entry, np.full(first_bucket, c.NONE, dtype=np.int64)


def _rooms(fleet: Fleet, groups: int, block_tokens: int) -> list[int]:
    """Return the blocks that each shelf has room for."""
    prefixes, costs = fleet.prefixes, fleet.pool.costs
    if prefixes is None or block_tokens < 1:
        return [0] * (groups + 3)
    own = int(min(costs.capacity_tokens / block_tokens, LARGEST)) + 1
    size = costs.token_bytes * block_tokens
    peers = own * groups if prefixes.peers is not None else 0
    return [own] * groups + [min(peers, LARGEST), _blocks(prefixes.host, size), _blocks(prefixes.disk, size)]


def _blocks(store: Store | None, size: float) -> int:
    if store is None:
        return 0
    return int(min(store.capacity_bytes / size, LARGEST)) if size > 0.0 else LARGEST


def rates(fleet: Fleet) -> list[float]:
    """Return (bytes a second, latency) of peers, host memory and disks."""
    prefixes, found = fleet.prefixes, []
    host = prefixes.host.link if prefixes and prefixes.host else None
    disk = prefixes.disk.link if prefixes and prefixes.disk else None
    for link in (prefixes.peers if prefixes else None, host, disk):
        found += [link.bytes_per_s, link.latency_s] if link else [math.inf, 0.0]
    return found
