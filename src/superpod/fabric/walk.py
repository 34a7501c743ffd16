"""Flows on their way: from their source along links that lead closer, until they have arrived."""

from dataclasses import dataclass, replace

import numpy as np

from superpod.fabric.paths import BLOCK, FAR, LAST_HOP, Frame, Hops, Scope, frame, mixed, salt, table, whole_table
from superpod.fabric.topology import SWITCH, BoolArray, FloatArray, IntArray, Topology, spread

MODES = ("spray", "weighted", "dor", "single", "ecmp", "detour")
ONE_PATH = {"single", "ecmp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Columns: the number of each flow, and its two ends."""

    number: IntArray
    src: IntArray
    dst: IntArray

    def __len__(self) -> int:
        return len(self.number)

    def where(self, kept: BoolArray | IntArray) -> "Flows":
        """Return the flows of a mask or an index."""
        return Flows(number=self.number[kept], src=self.src[kept], dst=self.dst[kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Columns: a flow, a link of it, and the share of the flow that the link carries.

    Where `counts` is set, `flow` names each flow once, in order, and its `counts` links follow each other.
    """

    flow: IntArray
    link: IntArray
    share_frac: FloatArray
    counts: IntArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Parts of flows: the flow's place, the node reached, the share of the flow that is there. Sorted by flow."""

    flow: IntArray
    node: IntArray
    share_frac: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One routing problem over the links of `scope`, by one of MODES; in compiled loops or in numpy, alike."""

    topology: Topology
    scope: Scope
    mode: str
    seed: int
    compiled: bool = False

    def paths(self, flows: Flows) -> tuple[list[Entries], IntArray]:
        """Return the entries of the flows, and the numbers of those that have no path."""
        made, found, lost = frame(self.topology, self.scope), list[Entries](), list[IntArray]()
        target = made.target[flows.dst]
        whole = whole_table(self.topology, self.scope)
        if whole is not None:
            return found, self._follow(made, whole, flows, target, found)
        block = max(1, BLOCK // max(len(made.core), self.topology.nodes_count))
        used = np.unique(target)
        for first in range(0, len(used), block):
            some = used[first : first + block]
            here = np.isin(target, some)
            place = np.searchsorted(some, target[here])
            hops = table(self.topology, self.scope, some)
            lost.append(self._follow(made, hops, flows.where(here), place, found))
        return found, np.concatenate(lost)

    def _follow(self, made: Frame, hops: Hops, flows: Flows, target: IntArray, found: list[Entries]) -> IntArray:
        """Follow flows to their targets; add their entries, return the numbers of those without a path."""
        if self.compiled:
            from superpod.fabric import walk_compiled  # noqa: PLC0415  (numba takes half a second to import)

            ends, how = (flows.src, flows.dst, target), (self.mode, self.seed)
            counts, link, share = walk_compiled.follow(self.topology, self.scope, made, hops, ends, how)
            found.append(Entries(flow=flows.number, link=link, share_frac=share, counts=counts))
            return flows.where(counts == 0).number
        walk = self._enter(made, hops, flows, target, found)
        if not len(walk.flow):
            return flows.number
        met = np.zeros(len(flows), dtype=bool)
        met[walk.flow] = True
        if self.mode in ONE_PATH:
            walk = self._one_path(hops, flows, target, walk, found)
        else:
            walk = self._all_paths(hops, flows, target, walk, found)
        if not (self.scope.transit or self.scope.to_switches):
            self._leave(made, flows, walk, found)
        return flows.number[~met]

    def _enter(self, made: Frame, hops: Hops, flows: Flows, target: IntArray, found: list[Entries]) -> Walk:
        """Return where flows begin: their own node if it passes on traffic, or the end of a first hop."""
        own = hops.distance[hops.key(target, flows.src)]
        inside = self.topology.nodes.kind[flows.src] == SWITCH
        if self.scope.transit and self.mode != "detour":
            inside[:] = True
        begun = np.flatnonzero(inside & (own < FAR))
        walk = Walk(flow=begun, node=flows.src[begun], share_frac=np.ones(len(begun)))
        outside = np.flatnonzero(~inside)
        if not len(outside):
            return walk
        first = self._first_hop(made, hops, flows.where(outside), target[outside], found)
        first = replace(first, flow=outside[first.flow])
        return _sorted([walk, first]) if len(begun) else first

    def _first_hop(self, made: Frame, hops: Hops, flows: Flows, target: IntArray, found: list[Entries]) -> Walk:
        """Go from ends to nodes that pass on traffic: those nearest to the target, or any that is not farther."""
        own = hops.distance[hops.key(target, flows.src)]
        count = made.out_start[flows.src + 1] - made.out_start[flows.src]
        link = made.out_link[spread(made.out_start[flows.src], count)]
        flow = np.repeat(np.arange(len(flows)), count)
        far = hops.distance[hops.key(target[flow], self.topology.links.dst[link])]
        most = own[flow] if self.scope.transit else _least(flow, far, len(flows))
        near = (far <= most) & (far < FAR)
        flow, link = flow[near], link[near]
        if self.mode in ONE_PATH:
            new = _beginnings(flow)
            count = np.append(new[1:], len(flow)) - new
            flow = flow[new]
            link = link[new + self._choice(flows.where(flow), count, 0)]
            share = np.ones(len(flow))
        else:
            weight = self._weight(hops, target[flow], link)
            share = weight / np.bincount(flow, weights=weight, minlength=len(flows))[flow]
        found.append(Entries(flow=flows.number[flow], link=link, share_frac=share))
        return Walk(flow=flow, node=self.topology.links.dst[link], share_frac=share)

    def _weight(self, hops: Hops, target: IntArray, link: IntArray) -> FloatArray:
        """Return how much a link counts beside others that lead closer."""
        links = self.topology.links
        return links.lanes_count[link] * hops.paths_count[hops.key(target, links.dst[link])]

    def _one_path(self, hops: Hops, flows: Flows, target: IntArray, walk: Walk, found: list[Entries]) -> Walk:
        """Move each flow along one link a time until it has arrived."""
        node, links = walk.node.copy(), self.topology.links
        going, hop = np.arange(len(node)), 1
        while True:
            key = hops.key(target[walk.flow[going]], node[going])
            away = hops.distance[key] > 0
            going, key = going[away], key[away]
            if not len(going):
                return Walk(flow=walk.flow, node=node, share_frac=walk.share_frac)
            who = walk.flow[going]
            count = hops.start[key + 1] - hops.start[key]
            link = hops.link[hops.start[key] + self._choice(flows.where(who), count, hop)]
            found.append(Entries(flow=flows.number[who], link=link, share_frac=np.ones(len(who))))
            node[going] = links.dst[link]
            hop += 1

    def _all_paths(self, hops: Hops, flows: Flows, target: IntArray, walk: Walk, found: list[Entries]) -> Walk:
        """Spread flows over all links that lead closer; pairs of node and target that recur are spread once."""
        key, item = _distinct(hops.key(target[walk.flow], walk.node), len(hops.distance))
        entries, ends = self._spread(hops, key)
        for part in entries:
            who, place = _gathered(part.flow, item, len(key))
            share = walk.share_frac[who] * part.share_frac[place]
            found.append(Entries(flow=flows.number[walk.flow[who]], link=part.link[place], share_frac=share))
        who, place = _gathered(ends.flow, item, len(key))
        share = walk.share_frac[who] * ends.share_frac[place]
        return Walk(flow=walk.flow[who], node=ends.node[place], share_frac=share)

    def _spread(self, hops: Hops, key: IntArray) -> tuple[list[Entries], Walk]:
        """Return the entries of unit flows from each (target, node) `key`, and where they arrive, by item."""
        links = self.topology.links
        item, share = np.arange(len(key)), np.ones(len(key))
        found, ends = list[Entries](), list[Walk]()
        while len(key):
            done = hops.distance[key] == 0
            ends.append(Walk(flow=item[done], node=key[done] % hops.nodes_count, share_frac=share[done]))
            item, key, share = item[~done], key[~done], share[~done]
            if not len(key):
                break
            count = hops.start[key + 1] - hops.start[key]
            link = hops.link[spread(hops.start[key], count)]
            who = np.repeat(np.arange(len(key)), count)
            target = key[who] // hops.nodes_count
            weight = self._weight(hops, target, link)
            part = share[who] * weight / np.bincount(who, weights=weight, minlength=len(key))[who]
            found.append(Entries(flow=item[who], link=link, share_frac=part))
            item, key, share = _merged(item[who], hops.key(target, links.dst[link]), part)
        return found, _sorted(ends)

    def _leave(self, made: Frame, flows: Flows, walk: Walk, found: list[Entries]) -> None:
        """Take the last hop, from the switch that a flow has arrived at to its end."""
        wanted = flows.dst[walk.flow] * self.topology.nodes_count + walk.node
        first = np.searchsorted(made.last_code, wanted)
        count = np.searchsorted(made.last_code, wanted, side="right") - first
        if self.mode in ONE_PATH:
            link = made.last_link[first + self._choice(flows.where(walk.flow), count, LAST_HOP)]
            found.append(Entries(flow=flows.number[walk.flow], link=link, share_frac=walk.share_frac))
            return
        who = np.repeat(np.arange(len(wanted)), count)
        link = made.last_link[spread(first, count)]
        lanes = self.topology.links.lanes_count[link]
        share = walk.share_frac[who] * lanes / np.bincount(who, weights=lanes, minlength=len(wanted))[who]
        found.append(Entries(flow=flows.number[walk.flow[who]], link=link, share_frac=share))

    def _choice(self, flows: Flows, count: IntArray, hop: int) -> IntArray:
        """Return an index below `count`: by the destination alone, or by a hash of both ends, the hop and the seed."""
        if count.max(initial=1) == 1:
            return np.zeros(len(count), dtype=np.int64)
        if self.mode == "single":
            return self.topology.nodes.place[flows.dst] % count
        ends = flows.src.astype(np.uint64) * np.uint64(2**32) + flows.dst.astype(np.uint64)
        return (mixed(mixed(ends) + np.uint64(salt(self.seed, hop))) % count.astype(np.uint64)).astype(np.int64)


def _beginnings(column: IntArray) -> IntArray:
    """Return where runs of equal values begin."""
    new = np.empty(len(column), dtype=bool)
    new[:1] = True
    np.not_equal(column[1:], column[:-1], out=new[1:])
    return np.flatnonzero(new)


def _least(group: IntArray, value: IntArray, groups: int) -> IntArray:
    """Return the least value of each group, for each entry; `group` is sorted."""
    least = np.full(groups, FAR)
    if len(group):
        first = _beginnings(group)
        least[group[first]] = np.minimum.reduceat(value, first)
    return least[group]


def _distinct(key: IntArray, keys_count: int) -> tuple[IntArray, IntArray]:
    """Return the distinct keys and the place of each key among them."""
    if keys_count > 8 * len(key):
        found, inverse = np.unique(key, return_inverse=True)
        return found, inverse
    seen = np.zeros(keys_count, dtype=bool)
    seen[key] = True
    found = np.flatnonzero(seen)
    place = np.cumsum(seen) - 1
    return found, place[key]


def _gathered(sorted_group: IntArray, item: IntArray, groups: int) -> tuple[IntArray, IntArray]:
    """Return pairs (i, entry) for each entry of the group `item[i]` in a sorted column of groups."""
    count = np.bincount(sorted_group, minlength=groups)
    each = count[item]
    return np.repeat(np.arange(len(item)), each), spread((np.cumsum(count) - count)[item], each)


def _merged(item: IntArray, key: IntArray, share: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return parts with those of one item at one place added up, sorted by item."""
    order = np.lexsort((key, item))
    item, key, share = item[order], key[order], share[order]
    first = np.union1d(_beginnings(item), _beginnings(key))
    return item[first], key[first], np.add.reduceat(share, first)


def _sorted(ends: list[Walk]) -> Walk:
    """Return several walks as one, sorted by flow."""
    flow = np.concatenate([part.flow for part in ends])
    order = np.argsort(flow, kind="stable")
    node = np.concatenate([part.node for part in ends])[order]
    return Walk(flow=flow[order], node=node, share_frac=np.concatenate([part.share_frac for part in ends])[order])
