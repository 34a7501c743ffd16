"""Forwarding tables: for every target, which links lead closer to it. Made once for a topology and kept.

A *target* is what counts as having arrived. In grids that is the end itself; elsewhere any switch next to it, and ends
that hang on the same switches share a target, so the search runs once for them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from superpod.fabric.topology import SWITCH, BoolArray, FloatArray, IntArray, Links, Topology

BLOCK = 20_000_000
"""Pairs of target and link that are searched at once."""
FAR = np.iinfo(np.int32).max
NOWHERE = -1
LAST_HOP = 63
"""What the hash of the last hop counts as, however long the path is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which links a search may use: those of tiers up to `tier`, over ranks too where `transit` is set.

    `lowest_axis` keeps to the lowest axis that leads closer; `count_paths` weighs links by the shortest paths over
    them; `to_switches` makes switches targets, for transfers that end in one.
    """

    tier: int
    transit: bool
    lowest_axis: bool = False
    count_paths: bool = False
    to_switches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hops:
    """What leads closer: the links of (target t, node v) stand in `link[start[key]:start[key + 1]]`, key t * nodes + v.

    `distance[key]` counts hops, FAR where there is no path; a link counts beside others as `paths_count[key]` of the
    node it leads to, times its lanes.
    """

    distance: IntArray
    start: IntArray
    link: IntArray
    paths_count: FloatArray
    nodes_count: int

    def key(self, target: IntArray, node: IntArray) -> IntArray:
        """Return the place of pairs of target and node."""
        return target * self.nodes_count + node


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all searches of one scope share.

    `target[v]` is the target of end v (NOWHERE where none); `arrived` the (target, node) pairs at distance 0. The links
    out of node v stand in `out_link[out_start[v]:…]`; those from switches to end v, by switch, in
    `last_link[last_start[v]:…]`, where `last_code` = v * nodes + switch.
    """

    used: IntArray
    core: IntArray
    target: IntArray
    targets_count: int
    arrived: tuple[IntArray, IntArray]
    out_start: IntArray
    out_link: IntArray
    last_start: IntArray
    last_code: IntArray
    last_link: IntArray
    is_switch: BoolArray


@lru_cache(maxsize=32)
def frame(topology: Topology, scope: Scope) -> Frame:
    """Return the frame of a scope, made once."""
    links, nodes = topology.links, topology.nodes_count
    used = np.flatnonzero(links.kind <= scope.tier)
    used = used[np.argsort(links.src[used], kind="stable")]
    switch = topology.nodes.kind == SWITCH
    core = used if scope.transit else used[switch[links.src[used]] & switch[links.dst[used]]]
    ends = np.flatnonzero(switch if scope.to_switches else ~switch)
    target, count, arrived = _targets(topology, scope, used, ends)
    last = used[switch[links.src[used]] & ~switch[links.dst[used]]]
    code = links.dst[last] * nodes + links.src[last]
    order = np.argsort(code, kind="stable")
    return Frame(
        used=used,
        core=core,
        target=target,
        targets_count=count,
        arrived=arrived,
        out_start=np.concatenate(([0], np.cumsum(np.bincount(links.src[used], minlength=nodes)))),
        out_link=used,
        last_start=np.concatenate(([0], np.cumsum(np.bincount(links.dst[last], minlength=nodes)))),
        last_code=code[order],
        last_link=last[order],
        is_switch=switch,
    )


def _targets(
    topology: Topology, scope: Scope, used: IntArray, ends: IntArray
) -> tuple[IntArray, int, tuple[IntArray, IntArray]]:
    """Return (target of every node, how many targets, (target, node) pairs of having arrived)."""
    place = np.full(topology.nodes_count, NOWHERE)
    place[ends] = np.arange(len(ends))
    if scope.transit or scope.to_switches:
        return place, len(ends), (place[ends], ends)
    links = topology.links
    last = used[(place[links.dst[used]] >= 0) & (topology.nodes.kind == SWITCH)[links.src[used]]]
    owner, switch = place[links.dst[last]], links.src[last]
    # Equal sets of switches have equal sums of hashes; a mix of 64 bits does not collide in practice.
    signature = np.zeros(len(ends), dtype=np.uint64)
    np.add.at(signature, owner, mixed(switch.astype(np.uint64)))
    _, first, target = np.unique(signature, return_index=True, return_inverse=True)
    kept = first[target[owner]] == owner
    place[ends] = target
    return place, len(first), (target[owner[kept]], switch[kept])


def parts(nodes_count: int, src: IntArray, dst: IntArray) -> IntArray:
    """Return for every node the least node that it hangs together with over links in both directions."""
    part = np.arange(nodes_count)
    while True:
        nearer = part.copy()
        np.minimum.at(nearer, dst, part[src])
        np.minimum.at(nearer, src, part[dst])
        nearer = nearer[nearer]
        if np.array_equal(nearer, part):
            return part
        part = nearer


def whole_table(topology: Topology, scope: Scope) -> Hops | None:
    """Return the table of all targets of a scope, made once; None where it would be too large to keep."""
    made = frame(topology, scope)
    wide = max(len(made.core), topology.nodes_count)
    return _kept_table(topology, scope) if made.targets_count * wide <= BLOCK else None


@lru_cache(maxsize=32)
def _kept_table(topology: Topology, scope: Scope) -> Hops:
    return table(topology, scope, np.arange(frame(topology, scope).targets_count))


def table(topology: Topology, scope: Scope, targets: IntArray) -> Hops:
    """Return what leads closer to some targets, in their order."""
    made, links, nodes = frame(topology, scope), topology.links, topology.nodes_count
    core = made.core if len(targets) == made.targets_count else _of_targets(topology, scope, targets)
    src, dst = links.src[core], links.dst[core]
    place = np.full(made.targets_count, NOWHERE)
    place[targets] = np.arange(len(targets))
    here = place[made.arrived[0]] >= 0
    distance = np.full((len(targets), nodes), FAR)
    distance[place[made.arrived[0][here]], made.arrived[1][here]] = 0
    flood(distance, src, dst)
    target, edge = np.nonzero(distance[:, dst] < distance[:, src])
    key = target * nodes + src[edge]
    if scope.lowest_axis and len(edge):
        lowest = _lowest(key, links.axis[core[edge]])
        key, edge = key[lowest], edge[lowest]
    start = np.concatenate(([0], np.cumsum(np.bincount(key, minlength=len(targets) * nodes))))
    flat, link = distance.ravel(), core[edge]
    counts = shortest_paths(flat, start, link, links, nodes) if scope.count_paths else np.ones(len(flat))
    return Hops(distance=flat, start=start, link=link, paths_count=counts, nodes_count=nodes)


@lru_cache(maxsize=32)
def _kept_parts(topology: Topology, scope: Scope) -> IntArray:
    used, links = frame(topology, scope).used, topology.links
    return parts(topology.nodes_count, links.src[used], links.dst[used])


def _of_targets(topology: Topology, scope: Scope, targets: IntArray) -> IntArray:
    """Return the core links that hang together with some targets: inside a board, those of its board."""
    made, part = frame(topology, scope), _kept_parts(topology, scope)
    wanted = np.zeros(made.targets_count, dtype=bool)
    wanted[targets] = True
    near = np.zeros(len(part), dtype=bool)
    near[part[made.arrived[1][wanted[made.arrived[0]]]]] = True
    return made.core[near[part[topology.links.src[made.core]]]]


def flood(distance: IntArray, src: IntArray, dst: IntArray) -> None:
    """Fill `distance` (targets, nodes), 0 at the targets, with hops over links that are sorted by `src`."""
    if not len(src):
        return
    first = np.concatenate(([0], np.flatnonzero(np.diff(src)) + 1))
    owner = src[first]
    while True:
        nearer = np.minimum.reduceat(distance[:, dst], first, axis=1)
        nearer += nearer < FAR
        known = distance[:, owner]
        if not (nearer < known).any():
            return
        distance[:, owner] = np.minimum(known, nearer)


def shortest_paths(distance: IntArray, start: IntArray, link: IntArray, links: Links, nodes: int) -> FloatArray:
    """Return the number of shortest paths from each (target, node) to the target, parallel lanes apart."""
    counts = np.where(distance == 0, 1.0, 0.0)
    source = np.repeat(np.arange(len(distance)), np.diff(start))
    following = source - source % nodes + links.dst[link]
    far = distance[source]
    for hops in range(1, int(far.max(initial=0)) + 1):
        here = far == hops
        paths = links.lanes_count[link[here]] * counts[following[here]]
        counts += np.bincount(source[here], weights=paths, minlength=len(counts))
    return counts


def mixed(value: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return a hash of 64-bit words (the finaliser of splitmix64, Steele et al. 2014, doi:10.1145/2714064.2660195)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def salt(seed: int, hop: int) -> int:
    """Return what tells the hops of a path, and paths of other seeds, apart in a hash."""
    return (seed * 1_000_003 + hop * 7_919) % 2**31


def _lowest(key: IntArray, axis: IntArray) -> BoolArray:
    """Return where `axis` is the lowest among equal, adjacent keys."""
    first = np.concatenate(([0], np.flatnonzero(np.diff(key)) + 1))
    length = np.diff(np.concatenate((first, [len(key)])))
    return np.asarray(axis == np.repeat(np.minimum.reduceat(axis, first), length))
