"""Classes of equal flows and equal links, declared by structure: uniform traffic at any size, not a link drawn.

Max-min fair rates are unique, so flows that a symmetry of the fabric maps onto each other have equal rates, and one
flow and one link a class tell all (equitable partitions). The classes go into the same flow simulation as single flows
do: a class of flows is one flow, a class of links one link, and the share between them is the number of flows of the
class that cross one link of the class.

Lines (a mesh) have no such symmetry. There the class of links is its fullest one; equal flows that begin together end
last on the fullest link of all, so the last end is still exact, earlier ones are bounds (`exact` is False).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np

from superpod.fabric.flow import FlowResult, Transfers, simulate
from superpod.fabric.generators import draw
from superpod.fabric.generators.grid import cubes_count, extends, ports_count
from superpod.fabric.generators.rails import leaves_of, on_rails
from superpod.fabric.route import Incidence, route
from superpod.fabric.tiers import GRIDS, SWITCHED, Fabric, FabricTier, Group, members
from superpod.fabric.topology import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The quotient: a flow a class of flows, a link a class of links.

    `flows_count` is how many flows of each class a rank sends; `exact` whether every class ends when told; `routing`
    the mode of `route` that they stand for. Flows of a class may go different ways: `paths` have their mean latency,
    `longest_s` is the longest.
    """

    flow_names: tuple[str, ...]
    link_names: tuple[str, ...]
    flows_count: FloatArray
    paths: Incidence
    longest_s: FloatArray
    bytes_per_s: FloatArray
    exact: bool
    routing: str

    def run(self, size_bytes: float) -> FlowResult:
        """Return when each class ends if every flow carries `size_bytes` and all begin together."""
        sizes = np.full(len(self.paths), size_bytes)
        return simulate(self.paths, self.bytes_per_s, Transfers(size_bytes=sizes), engine="numpy")


@dataclass(slots=True)
class _Quotient:
    """Classes while they are collected."""

    links: dict[str, float] = field(default_factory=dict)
    flows: list[tuple[str, float, tuple[float, float], dict[str, float]]] = field(default_factory=list)
    exact: bool = True

    def link(self, name: str, bytes_per_s: float) -> str:
        self.links[name] = bytes_per_s
        return name

    def flow(
        self, name: str, count: float, latency_s: float, loads: dict[str, float], longest_s: float | None = None
    ) -> None:
        if count > 0:
            self.flows.append((name, count, (latency_s, latency_s if longest_s is None else longest_s), loads))

    def classes(self, routing: str) -> Classes:
        place = {name: number for number, name in enumerate(self.links)}
        entries = [(place[name], load) for *_, loads in self.flows for name, load in loads.items()]
        lengths = [len(loads) for *_, loads in self.flows]
        paths = Incidence(
            start=np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
            link=np.array([link for link, _ in entries], dtype=np.int64),
            share_frac=np.array([load for _, load in entries], dtype=np.float64),
            latency_s=np.array([mean for _, _, (mean, _), _ in self.flows]),
            links_count=len(self.links),
        )
        return Classes(
            flow_names=tuple(name for name, *_ in self.flows),
            link_names=tuple(self.links),
            flows_count=np.array([count for _, count, *_ in self.flows]),
            paths=paths,
            longest_s=np.array([longest for _, _, (_, longest), _ in self.flows]),
            bytes_per_s=np.array(list(self.links.values())),
            exact=self.exact,
            routing=routing,
        )


def uniform(fabric: Fabric, group: Group | None = None) -> Classes | None:
    """Return the classes of a uniform all-to-all, every rank to every other member of its group, all groups at once.

    The group is all ranks unless given. None where a tier declares no classes: a group that fills only part of a grid,
    axes over switches, or groups that fill instances unevenly.
    """
    whole = group is None or (group.size == fabric.ranks_count and group.stride == 1)
    group = group or Group(size=fabric.ranks_count)
    held, reach = [float(count) for count in members(fabric, group)], float(group.size * group.stride)
    if not whole and not _even(fabric, group):
        return None
    made = _Quotient()
    for place, tier in enumerate(fabric.tiers):
        inner = held[place - 1] if place else 1.0
        if held[place] <= inner:
            continue
        if tier.structure in SWITCHED:
            rails = on_rails(tier)
            if rails and not whole:
                return None
            halves = tier.bisection_frac < 1.0 and not rails
            if halves and reach < tier.ranks_count and tier.ranks_count / 2.0 % reach:
                return None  # some groups lie across both halves, others in one
            crossing = halves and reach >= tier.ranks_count
            _switched(made, fabric, place, held, _leaf_ranks(fabric, tier) if rails else 0, crossing=crossing)
        elif tier.structure in GRIDS:
            if held[place] < tier.ranks_count or not _grid(made, fabric, place):
                return None
        else:
            return _dragonfly(fabric) if whole and len(fabric.tiers) == place + 1 else None
    return made.classes(usual_routing(fabric))


def _even(fabric: Fabric, group: Group) -> bool:
    """Return whether every instance of every tier holds whole groups, or is held whole by one, and each alike."""
    reach = float(group.size * group.stride)
    pairs = [(tier.ranks_count, part) for tier in fabric.tiers for part in (reach, float(group.stride))]
    return not any(ranks % part and part % ranks for ranks, part in pairs) and not fabric.ranks_count % reach


def usual_routing(fabric: Fabric) -> str:
    """Return how a fabric routes unless asked otherwise: by dimension order in grids, sprayed elsewhere."""
    grids = [tier for tier in fabric.tiers if tier.structure in GRIDS and not _one_hop(tier)]
    return "dor" if grids and fabric.tiers[-1].structure != "dragonfly" else "spray"


def _one_hop(tier: FabricTier) -> bool:
    """Return whether a grid leaves no choice of ways: everyone is a neighbour of everyone."""
    return tier.structure == "full_mesh" and len(tier.dims) <= 1


def _switched(
    made: _Quotient, fabric: Fabric, place: int, held: list[float], leaf: int, *, crossing: bool = False
) -> None:
    """Add the flows whose smallest common tier is switched: up through the switches inside, and down again."""
    tier = fabric.tiers[place]
    peers = held[place] - (held[place - 1] if place else 1.0)
    up: dict[str, float] = {}
    for below in _chain(fabric, place):
        stage = fabric.tiers[below]
        unit = 1.0 if stage.own_ports or not below else fabric.tiers[below - 1].ranks_count
        up[made.link(f"{stage.name} links", stage.bytes_per_s * unit)] = unit * peers
    if crossing:
        half = held[place] / 2.0
        trunk = made.link(f"{tier.name} bisection", tier.bisection_frac * tier.bytes_per_s * tier.ranks_count / 2.0)
        made.flow(f"{tier.name}, near half", peers - half, tier.latency_s, _scaled(up, (peers - half) / peers))
        far = {**_scaled(up, half / peers), trunk: tier.ranks_count / 2.0 * half}
        made.flow(f"{tier.name}, far half", half, tier.latency_s, far)
        return
    if leaf:
        in_pod = fabric.ranks_per_pod / (tier.wiring.rails_count or 1.0)  # of one rail
        same = max(leaf - in_pod, 0.0)
        leaves = made.link(f"{tier.name} leaf uplinks", tier.bisection_frac * tier.bytes_per_s * leaf)
        made.flow(f"{tier.name}, one leaf", same, tier.latency_s / 2.0, _scaled(up, same / peers))
        far = {**_scaled(up, (peers - same) / peers), leaves: leaf * (peers - same)}
        made.flow(f"{tier.name}, over spines", peers - same, tier.latency_s, far)
        return
    made.flow(tier.name, peers, tier.latency_s, up)


def _leaf_ranks(fabric: Fabric, tier: FabricTier) -> int:
    """Return how many ranks of one rail share a leaf."""
    per_chip = round(fabric.ranks_per_chip)
    return leaves_of(tier, round(fabric.ranks_count) // per_chip).chips_per_leaf_count * per_chip


def _scaled(loads: dict[str, float], share: float) -> dict[str, float]:
    return {name: load * share for name, load in loads.items()}


def _chain(fabric: Fabric, place: int) -> Iterator[int]:
    """Yield the switched tiers that a flow climbs, from the outermost in."""
    while True:
        yield place
        if fabric.tiers[place].own_ports or not place:
            return
        place -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """One axis of a grid: its length, how it is joined, the rates of its links by name, the mean latency of one."""

    tier: int
    length: int
    structure: str
    rates: dict[str, float]
    hop_s: float

    def load(self, vertex_ranks: float, others: float) -> float:
        """Return how many flows cross its fullest link, of those that differ along it and along `others` more ways."""
        pairs = vertex_ranks**2 * others
        if self.structure == "full_mesh":
            return pairs
        if self.structure == "mesh":
            return pairs * (self.length // 2) * -(-self.length // 2)
        around = self.length**2 // 4  # sum of the hops to all others, both ways round
        return pairs * (around / 2.0 if self.length > 2 else 1.0)


def _grid(made: _Quotient, fabric: Fabric, place: int) -> bool:
    """Add the flows whose smallest common tier is a grid, by the axes along which the ends differ; False if unknown."""
    first = _innermost_grid(fabric, place)
    if first and fabric.tiers[first].own_ports:
        return False
    axes = _axes(fabric, first, place)
    base = fabric.tiers[first - 1].ranks_count if first else 1.0
    joined = extends(fabric.tiers[place], fabric.tiers[place - 1] if place else None)
    for differs in product((False, True), repeat=len(axes)):
        used = [axis for axis, different in zip(axes, differs, strict=True) if different]
        if not used or max(axis.tier for axis in used) != place:
            continue
        ways = prod(axis.length - 1 for axis in used)
        loads: dict[str, float] = {}
        if base > 1.0:
            inside = fabric.tiers[first - 1]
            loads[made.link(f"{inside.name} links", inside.bytes_per_s)] = base * ways
        for axis in used:
            made.exact = made.exact and (axis.structure != "mesh" or axis.length == 2)
            for name, rate in axis.rates.items():
                loads[made.link(name, rate)] = axis.load(base, ways / (axis.length - 1))
        inside_s = fabric.tiers[first - 1].latency_s if base > 1.0 else 0.0
        mean, longest = (inside_s + sum(hops(axis) * axis.hop_s for axis in used) for hops in (_mean_hops, _most_hops))
        made.flow(f"{fabric.tiers[place].name}, {len(used)} of {len(axes)} axes", base * ways, mean, loads, longest)
    if joined:
        made.flows = [flow for flow in made.flows if not flow[0].startswith(f"{fabric.tiers[place - 1].name}, ")]
    return True


def _mean_hops(axis: _Axis) -> float:
    """Return the mean hops between two different places of an axis."""
    if axis.structure == "full_mesh":
        return 1.0
    if axis.structure == "mesh":
        return (axis.length + 1.0) / 3.0
    return axis.length**2 // 4 / (axis.length - 1.0)


def _most_hops(axis: _Axis) -> float:
    """Return the hops between the farthest places of an axis."""
    if axis.structure == "full_mesh":
        return 1.0
    return axis.length - 1.0 if axis.structure == "mesh" else float(axis.length // 2)


def _innermost_grid(fabric: Fabric, place: int) -> int:
    """Return the innermost of the grids that stand directly over each other, up to `place`."""
    while place and fabric.tiers[place - 1].structure in GRIDS:
        place -= 1
    return place


def _axes(fabric: Fabric, lowest: int, place: int) -> list[_Axis]:
    """Return the axes of the grids from `lowest` to `place`, the innermost first."""
    found: list[_Axis] = []
    base = fabric.tiers[lowest - 1].ranks_count if lowest else 1.0
    for number in range(lowest, place + 1):
        tier = fabric.tiers[number]
        dims = tier.dims or (round(tier.arity_count),)
        if extends(tier, fabric.tiers[number - 1] if number else None):
            mesh = fabric.tiers[number - 1]
            same = cubes_count(mesh, fabric.tiers[number - 2] if number > 1 else None)
            found = _lengthened(found, tier, number, mesh.ranks_count / same)
            continue
        rate = tier.bytes_per_s * base / ports_count(tier.structure, dims)
        for axis, length in enumerate(dims):
            doubled = 2.0 if tier.structure == "torus" and length == 2 else 1.0
            rates = {f"{tier.name} axis {axis + 1}": rate * doubled}
            found.append(_Axis(tier=number, length=length, structure=tier.structure, rates=rates, hop_s=tier.latency_s))
    return [axis for axis in found if axis.length > 1]


def _lengthened(axes: list[_Axis], tier: FabricTier, number: int, cube_ranks: float) -> list[_Axis]:
    """Return the axes, those of the mesh inside longer: a tier joins meshes at their faces."""
    rest, axes = axes[: -len(tier.dims)], axes[-len(tier.dims) :]
    inner = [axis.length for axis in axes]
    cells = sum(2 * prod(inner) // side for side in inner)
    rate = tier.bytes_per_s * cube_ranks / cells
    return rest + [
        _Axis(
            tier=number,
            length=axis.length * more,
            structure=tier.structure,
            rates={**axis.rates, f"{tier.name} faces {place}": rate} if more > 1 else axis.rates,
            hop_s=((axis.length - 1) * axis.hop_s + tier.latency_s) / axis.length if more > 1 else axis.hop_s,
        )
        for place, (axis, more) in enumerate(zip(axes, tier.dims, strict=True), start=1)
    ]


def _dragonfly(fabric: Fabric) -> Classes | None:
    """Return the classes under turning all groups by one: the flows of the first group stand for all.

    Links are alike where they lead from the same to the same member, as many groups on. Flows are taken together as
    those inside a group and those between groups, so only the last end is exact. The one structure that is drawn.
    """
    topology = draw(fabric)
    inside = round(fabric.tiers[-2].ranks_count) if len(fabric.tiers) > 1 else 1
    groups = round(fabric.ranks_count) // inside
    ranks, links = topology.ranks, topology.links
    src = np.repeat(ranks[:inside], len(ranks))
    dst = np.tile(ranks, inside)
    src, dst = src[src != dst], dst[src != dst]
    paths = route(topology, src, dst)
    member = links.src % inside * inside + links.dst % inside
    orbit = member * groups + (links.dst // inside - links.src // inside) % groups
    _, first, place = np.unique(orbit, return_index=True, return_inverse=True)
    made = _Quotient(exact=False)
    names = [made.link(topology.link_name(int(number)), float(links.bytes_per_s[number])) for number in first]
    between = dst // inside > 0
    for name, chosen in ((f"{fabric.tiers[-1].name}, one group", ~between), (fabric.tiers[-1].name, between)):
        share = paths.share_frac * chosen[paths.flow]
        load = np.bincount(place[paths.link], weights=share, minlength=len(first))
        used = {names[number]: float(load[number]) for number in np.flatnonzero(load)}
        if chosen.any():
            latency = paths.latency_s[chosen]
            made.flow(name, chosen.sum() / inside, float(latency.mean()), used, float(latency.max()))
    return made.classes("spray")
