# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,no-any-return"
"""The walk of `walk.py` as compiled loops, flow by flow; the same links and shares. Needs numba."""

from typing import NamedTuple

import numpy as np
from numba import njit

from superpod.fabric.paths import FAR, Frame, Hops, Scope
from superpod.fabric.topology import BoolArray, FloatArray, IntArray, Topology

ALL_PATHS, BY_DESTINATION, BY_HASH = 0, 1, 2
LAST_HOP = 63


class Tables(NamedTuple):
    """What every flow of a search reads: see `paths.Hops` and `paths.Frame`."""

    distance: IntArray
    hop_start: IntArray
    hop_link: IntArray
    paths_count: FloatArray
    out_start: IntArray
    out_link: IntArray
    last_code: IntArray
    last_link: IntArray
    link_dst: IntArray
    lanes: FloatArray
    place: IntArray
    is_switch: BoolArray


class Mode(NamedTuple):
    """How flows choose: one of ALL_PATHS, BY_DESTINATION, BY_HASH; the seed; what passes on traffic."""

    choice: int
    seed: int
    transit: bool
    detour: bool
    leaves: bool


class Trail(NamedTuple):
    """Room to work in: nodes that parts of a flow have reached, their shares, and where parts have arrived."""

    links: IntArray
    node: IntArray
    share: FloatArray
    next_node: IntArray
    gathered: FloatArray
    stamp: IntArray
    stamp_count: IntArray
    end_node: IntArray
    end_share: FloatArray


def follow(
    topology: Topology,
    scope: Scope,
    made: Frame,
    hops: Hops,
    ends: tuple[IntArray, IntArray, IntArray],
    mode: tuple[str, int],
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return (entries a flow, link, share) of flows from `ends[0]` to `ends[1]` with targets `ends[2]`.

    A flow without a path has no entries.
    """
    name, seed = mode
    choice = {"single": BY_DESTINATION, "ecmp": BY_HASH}.get(name, ALL_PATHS)
    given = Tables(
        distance=hops.distance,
        hop_start=hops.start,
        hop_link=hops.link,
        paths_count=hops.paths_count,
        out_start=made.out_start,
        out_link=made.out_link,
        last_code=made.last_code,
        last_link=made.last_link,
        link_dst=topology.links.dst,
        lanes=topology.links.lanes_count,
        place=topology.nodes.place,
        is_switch=made.is_switch,
    )
    chosen = Mode(
        choice=choice,
        seed=seed,
        transit=scope.transit,
        detour=name == "detour",
        leaves=not (scope.transit or scope.to_switches),
    )
    counts, link, share = walk(given, chosen, *ends, topology.nodes_count)
    return counts, link, share


@njit(cache=True)
def mixed(value):
    """Return a hash of a 64-bit word; see `paths.mixed`."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True)
def pick(t, m, src, dst, count, hop):
    """Return which of `count` links a flow takes."""
    if count == 1:
        return 0
    if m.choice == BY_DESTINATION:
        return t.place[dst] % count
    salt = np.uint64((m.seed * 1_000_003 + hop * 7_919) % 2**31)
    ends = np.uint64(src) * np.uint64(4294967296) + np.uint64(dst)
    return np.int64(mixed(mixed(ends) + salt) % np.uint64(count))


@njit(cache=True)
def weight(t, base, number):
    """Return how much a link counts beside others that lead closer."""
    return t.lanes[number] * t.paths_count[base + t.link_dst[number]]


@njit(cache=True)
def room_for(link, share, size, more):
    """Return the columns of entries, wider where `more` of them would not fit."""
    if size + more <= len(link):
        return link, share
    wide = 2 * (size + more)
    wider_link, wider_share = np.empty(wide, dtype=np.int64), np.empty(wide)
    wider_link[:size] = link[:size]
    wider_share[:size] = share[:size]
    return wider_link, wider_share


@njit(cache=True)
def first_links(t, m, r, src, dst, base):
    """List the links of the first hop in `r.links`; return how many."""
    least = t.distance[base + src] if m.transit else FAR
    if not m.transit:
        for e in range(t.out_start[src], t.out_start[src + 1]):
            least = min(least, t.distance[base + t.link_dst[t.out_link[e]]])
    found = 0
    if least < FAR:
        for e in range(t.out_start[src], t.out_start[src + 1]):
            number = t.out_link[e]
            if t.distance[base + t.link_dst[number]] <= least:
                r.links[found] = number
                found += 1
    if found > 1 and m.choice != ALL_PATHS:
        r.links[0] = r.links[pick(t, m, src, dst, found, 0)]
        found = 1
    return found


@njit(cache=True)
def enter(t, m, r, f, base, link, share, size):
    """Set where flow f begins: its own node if it passes on traffic, or the ends of a first hop; return how many."""
    src, dst = f
    if (m.transit and not m.detour) or t.is_switch[src]:
        r.node[0], r.share[0] = src, 1.0
        return link, share, size, 1 if t.distance[base + src] < FAR else 0
    found = first_links(t, m, r, src, dst, base)
    link, share = room_for(link, share, size, found)
    total = 0.0
    for place in range(found):
        total += weight(t, base, r.links[place])
    for place in range(found):
        number = r.links[place]
        part = 1.0 if found == 1 else weight(t, base, number) / total
        r.node[place], r.share[place] = t.link_dst[number], part
        link[size + place], share[size + place] = number, part
    return link, share, size + found, found


@njit(cache=True)
def gather(r, node, part, found):
    """Add a part of the flow to what is at a node; return how many nodes there are."""
    if r.stamp[node] != r.stamp_count[0]:
        r.stamp[node] = r.stamp_count[0]
        r.gathered[node] = 0.0
        r.next_node[found] = node
        found += 1
    r.gathered[node] += part
    return found


@njit(cache=True)
def advance(t, m, r, f, base, here, hop, ends, link, share, size):
    """Move the parts of a flow one hop on; return how many nodes they are at, and how many have arrived."""
    r.stamp_count[0] += 1
    onward = 0
    for place in range(here):
        node, part = r.node[place], r.share[place]
        if t.distance[base + node] == 0:
            r.end_node[ends], r.end_share[ends] = node, part
            ends += 1
            continue
        low, high = t.hop_start[base + node], t.hop_start[base + node + 1]
        if m.choice != ALL_PATHS:
            low += pick(t, m, f[0], f[1], high - low, hop)
            high = low + 1
        link, share = room_for(link, share, size, high - low)
        total = 0.0
        for e in range(low, high):
            total += weight(t, base, t.hop_link[e])
        for e in range(low, high):
            number = t.hop_link[e]
            piece = part if high - low == 1 else part * weight(t, base, number) / total
            link[size], share[size] = number, piece
            size += 1
            onward = gather(r, t.link_dst[number], piece, onward)
    for place in range(onward):
        r.node[place] = r.next_node[place]
        r.share[place] = r.gathered[r.next_node[place]]
    return link, share, size, onward, ends


@njit(cache=True)
def leave(t, m, r, f, ends, nodes, link, share, size):
    """Take the last hop, from the switches that a flow has arrived at to its end."""
    for place in range(ends):
        code = r.end_node[place] * nodes + f[1]
        low = np.searchsorted(t.last_code, code)
        high = low
        total = 0.0
        while high < len(t.last_code) and t.last_code[high] == code:
            total += t.lanes[t.last_link[high]]
            high += 1
        if m.choice != ALL_PATHS:
            low += pick(t, m, f[0], f[1], high - low, LAST_HOP)
            high, total = low + 1, t.lanes[t.last_link[low]]
        link, share = room_for(link, share, size, high - low)
        for e in range(low, high):
            number = t.last_link[e]
            link[size], share[size] = number, r.end_share[place] * t.lanes[number] / total
            size += 1
    return link, share, size


@njit(cache=True)
def walk(t, m, src, dst, target, nodes):
    """Return (entries a flow, link, share)."""
    flows = len(src)
    counts = np.zeros(flows, dtype=np.int64)
    link, share = np.empty(4 * flows + 64, dtype=np.int64), np.empty(4 * flows + 64)
    room = max(nodes, len(t.out_link)) + 1
    r = Trail(
        np.empty(room, dtype=np.int64),
        np.empty(room, dtype=np.int64),
        np.empty(room),
        np.empty(nodes, dtype=np.int64),
        np.zeros(nodes),
        np.zeros(nodes, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.empty(room, dtype=np.int64),
        np.empty(room),
    )
    size = 0
    for number in range(flows):
        f, base, before = (src[number], dst[number]), target[number] * nodes, size
        link, share, size, here = enter(t, m, r, f, base, link, share, size)
        ends, hop = 0, 1
        while here > 0:
            link, share, size, here, ends = advance(t, m, r, f, base, here, hop, ends, link, share, size)
            hop += 1
        if m.leaves:
            link, share, size = leave(t, m, r, f, ends, nodes, link, share, size)
        counts[number] = size - before
    return counts, link[:size].copy(), share[:size].copy()
