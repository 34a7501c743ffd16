"""What breaks: links, cables and their modules, switches, whole planes, ranks, trays.

A fault is written `kind:tier:…`; parts in brackets may be left out:

switch:TIER:[PLANE:]N   the N-th switch of a tier (of one plane of it)
plane:TIER:P            every switch and link of plane P of a tier, and of the tiers whose ports it shares or gives
cable:TIER:N            the N-th cable of a tier, with all links that run in it
module:TIER:N           one end of a cable: modules 2N and 2N + 1 end cable N
links:TIER:SHARE        a random share of a tier's cables, drawn with the seed
rank:N[-M]              one rank with all its links, or those from N to M (a tray that is no tier of its own)
instance:TIER:N         a whole instance of a tier: its ranks, hosts and switches (a tray, a node, a rack)

Where nobody has published how many switch chips a tier has, one ideal switch stands for them and one link for a bundle
of cables: neither can fail as if it were a single part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError, did_you_mean
from superpod.fabric.paths import parts
from superpod.fabric.topology import RANK, SWITCH, WITHOUT_MODULES, BoolArray, IntArray, Topology

FORM = {
    "switch": "switch:TIER:[PLANE:]N",
    "plane": "plane:TIER:P",
    "cable": "cable:TIER:N",
    "module": "module:TIER:N",
    "links": "links:TIER:SHARE",
    "rank": "rank:N[-M]",
    "instance": "instance:TIER:N",
}
INSTEAD = "rank:N, instance:TIER:N, links:TIER:SHARE and plane:TIER:P fail what is drawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A fabric after faults: what is left, and which ranks the rest can no longer reach."""

    topology: Topology
    links_lost_count: int
    isolated: IntArray


def fail(topology: Topology, faults: Sequence[str], seed: int = 0) -> Damage:
    """Return the topology without what the faults break.

    Raises ScenarioError for a fault that cannot be read, or names what the fabric has not, and where nothing is left.
    """
    dead = np.zeros(len(topology.links), dtype=bool)
    for number, fault in enumerate(faults):
        dead |= broken(topology, fault, seed + number)
    left = topology.without(dead)
    isolated = cut_off(left)
    if len(isolated) == len(topology.ranks):
        raise ScenarioError(
            f"nothing is left after {', '.join(faults)}: no two of {len(isolated)} ranks reach each other",
            where="--fail",
            hint="break less",
        )
    return Damage(topology=left, links_lost_count=int(dead.sum()), isolated=isolated)


def broken(topology: Topology, fault: str, seed: int = 0) -> BoolArray:
    """Return which links a fault takes away, in both directions."""
    kind, *rest = fault.strip().split(":")
    if kind not in FORM:
        raise ScenarioError(
            f"cannot read {fault!r}",
            where="--fail",
            hint=did_you_mean(kind, FORM) or f"one of {', '.join(FORM.values())}",
        )
    if kind == "rank":
        words = rest[0].split("-") if len(rest) == 1 else []
        numbers = [_numbers([word], fault, kind)[0] for word in words]
        if not 1 <= len(numbers) <= 2 or numbers != sorted(numbers):
            raise ScenarioError(f"cannot read {fault!r}", where="--fail", hint=f"write {FORM[kind]}")
        return _ranks(topology, numbers)
    tier = _tier(topology, rest[0] if rest else "", fault)
    return BREAKERS[kind](topology, fault, tier, _numbers(rest[1:], fault, kind), seed)


def cut_off(topology: Topology) -> IntArray:
    """Return the ranks outside the largest part in which everything reaches everything; all where each is alone."""
    part, ranks = parts(topology.nodes_count, topology.links.src, topology.links.dst), topology.ranks
    sizes = np.bincount(part[ranks], minlength=topology.nodes_count)
    outside: IntArray = ranks[part[ranks] != int(sizes.argmax())]
    return outside if sizes.max(initial=0) > 1 else ranks


def _tier(topology: Topology, name: str, fault: str) -> int:
    names = [kind.tier for kind in topology.kinds]
    if name not in names:
        raise ScenarioError(
            f"no tier {name!r} in {fault!r}",
            where="--fail",
            hint=did_you_mean(name, names) or f"the tiers are {', '.join(names)}",
        )
    return names.index(name)


def _numbers(words: Sequence[str], fault: str, kind: str) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    whole = kind == "links" or all(number == int(number) for number in found if np.isfinite(number))
    fitting = 1 <= len(found) <= (2 if kind == "switch" else 1)
    if not fitting or not whole or not all(np.isfinite(number) and number >= 0 for number in found):
        raise ScenarioError(f"cannot read {fault!r}", where="--fail", hint=f"write {FORM[kind]}")
    return found


def _checked(number: float, count: int, what: str) -> int:
    """Return a number under `count`; raise ScenarioError for one of which there are not so many, or none."""
    if number >= count:
        if not count:
            raise ScenarioError(f"there is no {what}: the tier has none", where="--fail", hint="name another tier")
        raise ScenarioError(f"there is no {what} {number:g}", where="--fail", hint=f"they count from 0 to {count - 1}")
    return int(number)


def _touching(topology: Topology, nodes: BoolArray) -> BoolArray:
    """Return the links that end at one of the nodes."""
    return np.asarray(nodes[topology.links.src] | nodes[topology.links.dst])


def _marked(topology: Topology, nodes: IntArray) -> BoolArray:
    mask = np.zeros(topology.nodes_count, dtype=bool)
    mask[nodes] = True
    return mask


def _switch(topology: Topology, fault: str, tier: int, numbers: list[float], seed: int) -> BoolArray:
    del seed
    nodes, kind = topology.nodes, topology.kinds[tier]
    if kind.ideal:
        raise ScenarioError(
            f"{fault!r}: the number of switch chips of {kind.tier} is not published, one ideal switch stands for all",
            where="--fail",
            hint=INSTEAD,
        )
    here = (nodes.kind == SWITCH) & (nodes.tier == tier)
    if len(numbers) > 1:
        planes = int(nodes.plane[here].max(initial=-1)) + 1
        here &= nodes.plane == _checked(numbers[0], planes, f"plane of {kind.tier}")
    ids = np.flatnonzero(here)
    chosen = ids[_checked(numbers[-1], len(ids), f"switch of {kind.tier}")]
    return _touching(topology, _marked(topology, np.array([chosen])))


def _plane(topology: Topology, fault: str, tier: int, numbers: list[float], seed: int) -> BoolArray:
    del fault, seed
    nodes, links = topology.nodes, topology.links
    switch = nodes.kind == SWITCH
    planes = {
        place: int(nodes.plane[switch & (nodes.tier == place)].max(initial=-1)) + 1
        for place in range(len(topology.kinds))
    }
    plane = _checked(numbers[-1], planes[tier], f"plane of {topology.kinds[tier].tier}")
    paired = [place for place in _stacked(topology, tier) if planes[place] == planes[tier]]
    gone = switch & np.isin(nodes.tier, paired) & (nodes.plane == plane)
    return np.asarray(_touching(topology, gone) & np.isin(links.kind, paired))


def _stacked(topology: Topology, tier: int) -> range:
    """Return the tiers whose switches stand over each other, `tier` among them."""
    kinds, first, last = topology.kinds, tier, tier
    while first and kinds[first].shares_port_with == kinds[first - 1].tier:
        first -= 1
    while last + 1 < len(kinds) and kinds[last + 1].shares_port_with == kinds[last].tier:
        last += 1
    return range(first, last + 1)


def cables(topology: Topology, tier: int) -> list[IntArray]:
    """Return the links of each cable of a tier, both directions; links from one node to neighbouring ones share one.

    A link without one the other way, as a graph may have it, is a cable of one direction.
    """
    links = topology.links
    mine = np.flatnonzero(links.kind == tier)
    if not len(mine):
        return []
    low, high = (order(links.src[mine], links.dst[mine]) for order in (np.minimum, np.maximum))
    back = links.src[mine] > links.dst[mine]
    # Of several links between two nodes the n-th of one direction belongs to the n-th of the other.
    turn = np.zeros(len(mine), dtype=np.int64)
    order = np.lexsort((back, high, low))
    first = np.ones(len(mine), dtype=bool)
    first[1:] = np.any([column[order][1:] != column[order][:-1] for column in (low, high, back)], axis=0)
    begin = np.maximum.accumulate(np.where(first, np.arange(len(mine)), 0))
    turn[order] = np.arange(len(mine)) - begin
    _, lane = np.unique(np.stack((low, high, turn)), axis=1, return_inverse=True)
    cable = lane.ravel() // int(topology.kinds[tier].lanes_per_cable_count)
    sorted_by_cable = np.argsort(cable, kind="stable")
    return np.split(mine[sorted_by_cable], np.cumsum(np.bincount(cable))[:-1])


def _cable(topology: Topology, fault: str, tier: int, numbers: list[float], seed: int) -> BoolArray:
    del seed
    every, name = cables(topology, tier), topology.kinds[tier].tier
    return _one_cable(topology, every[_checked(numbers[0], len(every), f"cable of {name}")], fault)


def _module(topology: Topology, fault: str, tier: int, numbers: list[float], seed: int) -> BoolArray:
    del seed
    every, kind = cables(topology, tier), topology.kinds[tier]
    if kind.medium in WITHOUT_MODULES:
        raise ScenarioError(
            f"cables of {kind.tier} end in no modules: they are {kind.medium}",
            where="--fail",
            hint=f"cable:{kind.tier}:N fails a cable",
        )
    return _one_cable(topology, every[_checked(numbers[0], 2 * len(every), f"module of {kind.tier}") // 2], fault)


def _one_cable(topology: Topology, links: IntArray, fault: str) -> BoolArray:
    """Return the links of a cable as a mask; raise ScenarioError for a bundle of nobody knows how many cables."""
    if _bundles(topology, links).any():
        name = topology.kinds[int(topology.links.kind[links[0]])].tier
        raise ScenarioError(
            f"{fault!r}: the number of cables of {name} is not published, one link stands for a bundle of them",
            where="--fail",
            hint=INSTEAD,
        )
    return _of_links(topology, links)


def _bundles(topology: Topology, links: IntArray) -> BoolArray:
    """Return which links of a switched tier end at an ideal switch, its own or one inside, and at no rank."""
    nodes = topology.nodes
    ideal = np.array([kind.ideal for kind in topology.kinds])
    ends = np.stack((topology.links.src[links], topology.links.dst[links]))
    switch = nodes.kind[ends] == SWITCH
    own = switch & (nodes.tier[ends] == topology.links.kind[links])
    none_is_rank = np.all(nodes.kind[ends] != RANK, axis=0)
    return np.asarray(own.any(axis=0) & (switch & ideal[nodes.tier[ends]]).any(axis=0) & none_is_rank)


def _random(topology: Topology, fault: str, tier: int, numbers: list[float], seed: int) -> BoolArray:
    every = cables(topology, tier)
    if not every:
        raise ScenarioError(f"tier {topology.kinds[tier].tier} has no cables", where="--fail", hint="name another tier")
    if numbers[0] > 1.0:
        raise ScenarioError(f"a share of {numbers[0]:g} in {fault!r}", where="--fail", hint="from 0 to 1")
    chosen = np.random.default_rng(seed).permutation(len(every))[: round(numbers[0] * len(every))]
    links = np.concatenate([every[number] for number in chosen]) if len(chosen) else np.zeros(0, dtype=np.int64)
    return _of_links(topology, links)


def _of_links(topology: Topology, links: IntArray) -> BoolArray:
    mask = np.zeros(len(topology.links), dtype=bool)
    mask[links] = True
    return mask


def _ranks(topology: Topology, numbers: list[float]) -> BoolArray:
    ranks = topology.ranks
    first, last = (_checked(number, len(ranks), "rank") for number in (numbers[0], numbers[-1]))
    return _touching(topology, _marked(topology, ranks[first : last + 1]))


def _instance(topology: Topology, fault: str, tier: int, numbers: list[float], seed: int) -> BoolArray:
    del seed
    nodes, kind = topology.nodes, topology.kinds[tier]
    if not np.isfinite(kind.ranks_count):
        raise ScenarioError(
            f"the graph does not say how many ranks an instance of {kind.tier} holds, so {fault!r} names nothing",
            where="--fail",
            hint="rank:N fails a rank; the graph's data `tiers` would say it, as --export writes them",
        )
    size = int(min(kind.ranks_count, len(topology.ranks)))
    instances = -(-len(topology.ranks) // size)
    wanted = _checked(numbers[0], instances, f"instance of {topology.kinds[tier].tier}")
    inside = (nodes.home >= 0) & (nodes.home // size == wanted)
    gone = inside & ((nodes.kind == RANK) | (nodes.tier <= tier))
    # A switch that only the lost ranks hang on is lost with them.
    links = topology.links
    switch = (nodes.kind == SWITCH) & (nodes.tier <= tier)
    below = (nodes.home[links.dst] >= 0) & switch[links.src]
    total = np.bincount(links.src[below], minlength=topology.nodes_count)
    lost = np.bincount(links.src[below], weights=gone[links.dst[below]], minlength=topology.nodes_count)
    return _touching(topology, gone | (switch & (total > 0) & (lost == total)))


BREAKERS: dict[str, Callable[[Topology, str, int, list[float], int], BoolArray]] = {
    "switch": _switch,
    "plane": _plane,
    "cable": _cable,
    "module": _module,
    "links": _random,
    "instance": _instance,
}
