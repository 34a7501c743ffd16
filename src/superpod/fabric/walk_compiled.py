# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,no-any-return"
"""The walk of `walk.py` as compiled loops, flow by flow; the same links and shares. Needs numba.

The small functions are written into the walk: a call that hands over a dozen columns costs more than what they do.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from superpod.fabric import paths
from superpod.fabric.flow_compiled import kernel
from superpod.fabric.paths import FAR, LAST_HOP, Frame, Hops, Scope
from superpod.fabric.topology import BoolArray, FloatArray, IntArray, Topology

ALL_PATHS, BY_DESTINATION, BY_HASH = 0, 1, 2
NEAREST = -1
inlined = njit(inline="always", _nrt=False)  # type: ignore[call-overload]  # as `kernel`
mixed, salt = kernel(paths.mixed), kernel(paths.salt)


class Tables(NamedTuple):
    """What every flow of a search reads: see `paths.Hops` and `paths.Frame`."""

    distance: IntArray
    hop_start: IntArray
    hop_link: IntArray
    paths_count: FloatArray
    out_start: IntArray
    out_link: IntArray
    last_start: IntArray
    last_link: IntArray
    link_src: IntArray
    link_dst: IntArray
    lanes: FloatArray
    place: IntArray
    is_switch: BoolArray


class Mode(NamedTuple):
    """How flows choose: one of ALL_PATHS, BY_DESTINATION, BY_HASH, and the seed.

    `from_rank`: ranks pass on traffic, so a flow begins at its own node; `transit`: they do, but a first hop is free;
    `leaves`: the walk ends at a switch, and a last hop follows.
    """

    choice: int
    seed: int
    from_rank: bool
    transit: bool
    leaves: bool


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
        last_start=made.last_start,
        last_link=made.last_link,
        link_src=topology.links.src,
        link_dst=topology.links.dst,
        lanes=topology.links.lanes_count,
        place=topology.nodes.place,
        is_switch=made.is_switch,
    )
    chosen = Mode(
        choice=choice,
        seed=seed,
        from_rank=scope.transit and name != "detour",
        transit=scope.transit,
        leaves=not (scope.transit or scope.to_switches),
    )
    counts, link, share = walked(given, chosen, *ends, topology.nodes_count)
    return counts, link, share


@inlined
def pick(choice, seed, own_place, src, dst, count, hop):
    """Return which of `count` links a flow takes."""
    if count == 1:
        return 0
    if choice == BY_DESTINATION:
        return own_place[dst] % count
    ends = np.uint64(src) * np.uint64(4294967296) + np.uint64(dst)
    return np.int64(mixed(mixed(ends) + np.uint64(salt(seed, hop))) % np.uint64(count))


@inlined
def first_links(distance, out_start, out_link, link_dst, src, base, most, links):
    """List the links of the first hop: to what is `most` far, or else to what is nearest; return how many."""
    first, last = out_start[src], out_start[src + 1]
    if most == NEAREST:
        most = FAR - 1
        for e in range(first, last):
            most = min(most, distance[base + link_dst[out_link[e]]])
    found = 0
    for e in range(first, last):
        if distance[base + link_dst[out_link[e]]] <= most:
            links[found] = out_link[e]
            found += 1
    return found


@inlined
def send(links, low, high, lanes, link_dst, paths_count, base, part, out_link, out_share, size):
    """Spread a part of a flow over `links[low:high]`, each as much as it counts; return the size of the columns."""
    if high == low + 1:
        out_link[size], out_share[size] = links[low], part
        return size + 1
    total = 0.0
    for e in range(low, high):
        total += lanes[links[e]] * paths_count[base + link_dst[links[e]]]
    for e in range(low, high):
        number = links[e]
        out_link[size] = number
        out_share[size] = part * lanes[number] * paths_count[base + link_dst[number]] / total
        size += 1
    return size


@inlined
def gather(out_link, out_share, first, last, link_dst, gathered, node, share):
    """Add up the entries `first:last` by the node they lead to; return at how many nodes the flow is."""
    if last == first + 1:
        node[0], share[0] = link_dst[out_link[first]], out_share[first]
        return 1
    found = 0
    for e in range(first, last):
        at = link_dst[out_link[e]]
        if gathered[at] == 0.0:
            node[found] = at
            found += 1
        gathered[at] += out_share[e]
    for place in range(found):
        share[place] = gathered[node[place]]
        gathered[node[place]] = 0.0
    return found


@inlined
def last_links(link_src, last_link, first, last, switch):
    """Return the place and the end of the links from a switch among those into an end, which are sorted by switch."""
    while link_src[last_link[first]] != switch:
        first += 1
    end = first + 1
    while end < last and link_src[last_link[end]] == switch:
        end += 1
    return first, end


@kernel
def walk(t, m, flows, trail, out, begun, size, nodes):
    """Walk flows from number `begun` on until all have arrived or the room is used up; return (next flow, size)."""
    src, dst, target, counts = flows
    links, node, share, end, end_share, nothing, ones = trail
    link, part = out
    most, slack = NEAREST, 2 * len(t.out_link)
    for f in range(begun, len(src)):
        a, b, base, before = src[f], dst[f], target[f] * nodes, size
        if size + slack > len(link):
            return f, size
        ends, hop, here = 0, 1, 1
        node[0], share[0] = a, 1.0
        if not (m.from_rank or t.is_switch[a]):
            most = min(t.distance[base + a], FAR - 1) if m.transit else NEAREST  # what is FAR leads nowhere
            found = first_links(t.distance, t.out_start, t.out_link, t.link_dst, a, base, most, links)
            low, high = 0, found
            if m.choice != ALL_PATHS and found:
                low = pick(m.choice, m.seed, t.place, a, b, found, 0)
                high = low + 1
            size = send(links, low, high, t.lanes, t.link_dst, t.paths_count, base, 1.0, link, part, size)
            here = gather(link, part, before, size, t.link_dst, nothing, node, share)
        elif t.distance[base + a] == FAR:
            continue
        while here > 0:
            reached = size
            for place in range(here):
                at = node[place]
                if t.distance[base + at] == 0:
                    end[ends], end_share[ends] = at, share[place]
                    ends += 1
                    continue
                low, high = t.hop_start[base + at], t.hop_start[base + at + 1]
                if m.choice != ALL_PATHS:
                    low += pick(m.choice, m.seed, t.place, a, b, high - low, hop)
                    high = low + 1
                size = send(
                    t.hop_link, low, high, t.lanes, t.link_dst, t.paths_count, base, share[place], link, part, size
                )
            here = gather(link, part, reached, size, t.link_dst, nothing, node, share)
            hop += 1
        for place in range(ends if m.leaves else 0):
            low, high = last_links(t.link_src, t.last_link, t.last_start[b], t.last_start[b + 1], end[place])
            if m.choice != ALL_PATHS:
                low += pick(m.choice, m.seed, t.place, a, b, high - low, LAST_HOP)
                high = low + 1
            size = send(t.last_link, low, high, t.lanes, t.link_dst, ones, 0, end_share[place], link, part, size)
        counts[f] = size - before
    return len(src), size


@njit(cache=True)
def wider(column, size):
    """Return a column with twice the room."""
    more = np.empty(2 * len(column), dtype=column.dtype)
    more[:size] = column[:size]
    return more


@njit(cache=True)
def walked(t, m, src, dst, target, nodes):
    """Return (entries a flow, link, share) of all flows."""
    number, size, slack = 0, 0, 2 * len(t.out_link)  # no flow has more entries: only a detour meets a link twice
    counts = np.zeros(len(src), dtype=np.int64)
    link, part = np.empty(4 * len(src) + slack, dtype=np.int64), np.empty(4 * len(src) + slack)
    room = max(slack, nodes)
    trail = (
        np.empty(room, dtype=np.int64),
        np.empty(nodes, dtype=np.int64),
        np.empty(nodes),
        np.empty(nodes, dtype=np.int64),
        np.empty(nodes),
        np.zeros(nodes),
        np.ones(nodes),
    )
    while True:
        number, size = walk(t, m, (src, dst, target, counts), trail, (link, part), number, size, nodes)
        if number == len(src):
            return counts, link[:size], part[:size]
        link, part = wider(link, size), wider(part, size)
