"""What a fabric is made of, at any size: switches, links, cables and optical modules; how wide and how deep it is.

Counts follow from the tiers, not from a drawing. What nobody has published (how many switch chips a tier has) is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from superpod.catalog.schema import Cable, Module
from superpod.fabric.generators.dragonfly import gateways
from superpod.fabric.generators.grid import cubes_count, extends, ports_count
from superpod.fabric.generators.rails import leaves_of
from superpod.fabric.tiers import SWITCHED, Fabric, FabricTier
from superpod.fabric.topology import WITHOUT_MODULES


@dataclass(frozen=True, slots=True, kw_only=True)
class TierParts:
    """The parts of one tier in all its instances.

    `links_count` counts one direction. A cable of `cable_bytes_per_s` ends in two modules where its medium has any;
    `module` is the smallest that carries it. `power_w` is that of all modules, `failure_per_s` that of all links.
    """

    tier: str
    medium: str
    instances_count: float
    switches_count: float | None
    links_count: float | None
    link_bytes_per_s: float | None
    cables_count: float | None
    cable_bytes_per_s: float | None
    module: str
    modules_count: float | None
    power_w: float | None
    failure_per_s: float | None
    reach_m: float | None
    shares_port_with: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far apart two ranks are whose smallest common tier this is: links on the longest way, and its latency."""

    tier: str
    ranks_count: float
    hops_count: float
    hop_s: float
    latency_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All tiers, from the innermost out, then the networks beside them."""

    ranks_count: float
    chips_count: float
    hosts_count: float
    spares_count: float
    tiers: tuple[TierParts, ...]
    reaches: tuple[Reach, ...]
    bisection_bytes_per_s: float
    injection_bytes_per_s: float

    @property
    def diameter_count(self) -> float:
        """Links on the longest shortest way between two ranks."""
        return max(reach.hops_count for reach in self.reaches)

    def modules(self) -> dict[str, float]:
        """Return the number of modules by name, over all tiers."""
        found: dict[str, float] = {}
        for part in self.tiers:
            if part.modules_count:
                found[part.module] = found.get(part.module, 0.0) + part.modules_count
        return found


def inventory(
    fabric: Fabric,
    cables: Mapping[str, Cable],
    beside: tuple[FabricTier, ...] = (),
    scale_out: FabricTier | None = None,
) -> Inventory:
    """Return the parts of a fabric, of a scale-out network that it hangs on, and of networks beside it."""
    tiers = list(fabric.tiers)
    parts = [tier_parts(fabric, place, cables) for place in range(len(tiers))]
    if scale_out is not None:
        alone = Fabric(
            tiers=(scale_out,),
            ranks_per_chip=fabric.ranks_per_chip,
            ranks_per_pod=fabric.ranks_per_pod,
            pods_count=fabric.pods_count,
        )
        parts.append(tier_parts(alone, 0, cables))
    for tier in beside:
        side = Fabric(tiers=(tier,), ranks_per_chip=1.0, ranks_per_pod=tier.ranks_count, pods_count=1.0)
        parts.append(tier_parts(side, 0, cables))
    hosts = _hosts_count(fabric)
    return Inventory(
        ranks_count=fabric.ranks_count,
        chips_count=fabric.ranks_count / fabric.ranks_per_chip,
        hosts_count=hosts,
        spares_count=sum(
            (tier.wiring.spares_count or 0.0) * fabric.ranks_count / tier.ranks_count for tier in fabric.tiers
        ),
        tiers=tuple(parts),
        reaches=tuple(reach(fabric, place) for place in range(len(tiers))),
        bisection_bytes_per_s=bisection(fabric),
        injection_bytes_per_s=fabric.ranks_count * injection(fabric),
    )


def _hosts_count(fabric: Fabric) -> float:
    if fabric.hosts is None:
        return 0.0
    size = next(tier.ranks_count for tier in fabric.tiers if tier.name == fabric.hosts.tier)
    return fabric.hosts.per_instance_count * fabric.ranks_count / size


def injection(fabric: Fabric) -> float:
    """Return what one rank can send over all its ports at once, links inside a package left out, in bytes/s.

    Tiers on the same ports count once, at the fastest; ports of their own add.
    """
    sets: list[float] = []
    for place, tier in enumerate(fabric.tiers):
        if tier.medium == "package":
            continue
        joined = extends(tier, fabric.tiers[place - 1] if place else None) or not tier.own_ports
        if sets and joined:
            sets[-1] = max(sets[-1], tier.bytes_per_s)
        else:
            sets.append(tier.bytes_per_s)
    return sum(sets)


def tier_parts(fabric: Fabric, place: int, cables: Mapping[str, Cable]) -> TierParts:
    """Return the parts of one tier."""
    tier = fabric.tiers[place]
    instances = fabric.ranks_count / tier.ranks_count
    switches, links, rate = _structure(fabric, place)
    carried = links * rate if links is not None and rate is not None else _carried(fabric, place)
    cable_rate, lanes = tier.wiring.cable_bytes_per_s, tier.wiring.lanes_per_cable_count or 1.0
    if cable_rate is None and rate is not None:
        cable_rate = rate * lanes
    count: float | None = None
    if links is not None and rate is not None:
        count = links / lanes
    if tier.wiring.cable_bytes_per_s is not None and not deeper(fabric, place):
        count = carried / tier.wiring.cable_bytes_per_s
    cable = cables.get(tier.medium)
    module = smallest_module(cable, cable_rate)
    modules = modules_count(tier.medium, module, count)
    failing = cable.failure_per_s if cable is not None else None
    watts = module.power_w if module is not None else 0.0
    return TierParts(
        tier=tier.name,
        medium=tier.medium,
        instances_count=instances,
        switches_count=switches,
        links_count=links,
        link_bytes_per_s=rate,
        cables_count=count,
        cable_bytes_per_s=cable_rate if count is not None else None,
        module=module.name if module is not None else "",
        modules_count=modules,
        power_w=None if watts is None or modules is None else watts * modules,
        failure_per_s=None if failing is None or count is None else failing * count,
        reach_m=cable.reach_m if cable is not None else None,
        shares_port_with="" if tier.own_ports or not place else fabric.tiers[place - 1].name,
    )


def modules_count(medium: str, module: Module | None, cables_count: float | None) -> float | None:
    """Return two modules a cable, 0 for media without any; None where nobody says which, or how many cables there are.

    Of a medium that is partly optical, or of a rate that no module has, the number of modules is unknown, not 0.
    """
    if medium in WITHOUT_MODULES:
        return 0.0
    return None if module is None or cables_count is None else 2.0 * cables_count


def smallest_module(cable: Cable | None, bytes_per_s: float | None) -> Module | None:
    """Return the smallest module of a medium that carries a rate; None where there is none, or no rate is known."""
    if cable is None or bytes_per_s is None:
        return None
    fitting = [module for module in cable.modules if module.bytes_per_s >= bytes_per_s * (1.0 - 1e-9)]
    return min(fitting, key=lambda module: module.bytes_per_s) if fitting else None


def _structure(fabric: Fabric, place: int) -> tuple[float | None, float | None, float | None]:
    """Return (switches, links of one direction, rate of one) of all instances of a tier; None where not published."""
    tier = fabric.tiers[place]
    ranks = fabric.ranks_count
    if tier.structure in SWITCHED:
        if (tier.wiring.levels_count or 1) > 1:
            switches, links, rate = _levels(tier, ranks / fabric.ranks_per_chip)
            # One pod alone does not fill the switches that it shares with others.
            return (switches if fabric.pods_count > 1 else None), links, rate
        return _switched(fabric, place)
    if tier.structure == "dragonfly":
        inside = fabric.tiers[place - 1].ranks_count if place else 1.0
        groups = tier.ranks_count / inside
        between = gateways(round(inside), round(groups))
        links = ranks / tier.ranks_count * groups * (groups - 1.0) / 2.0 * between
        return 0.0, links, tier.bytes_per_s * inside / max(groups - 1.0, 1.0) / between
    return _grid(fabric, place)


def _switched(fabric: Fabric, place: int) -> tuple[float | None, float | None, float | None]:
    tier = fabric.tiers[place]
    planes, per_plane = tier.wiring.planes_count or 1.0, tier.wiring.switches_count
    if per_plane is None:
        return None, None, None
    own = tier.own_ports or not place
    unit = 1.0 if own else fabric.tiers[place - 1].ranks_count
    inner = 1.0 if own else fabric.tiers[place - 1].wiring.switches_count
    instances = fabric.ranks_count / tier.ranks_count
    if inner is None:
        return instances * planes * per_plane, None, None
    links = fabric.ranks_count / unit * planes * inner * per_plane
    hosts = fabric.hosts
    if hosts is not None and hosts.tier == tier.name:
        links += hosts.per_instance_count * instances * planes * per_plane
    return instances * planes * per_plane, links, tier.bytes_per_s * unit / (planes * inner * per_plane)


def _levels(tier: FabricTier, chips: float) -> tuple[float | None, float | None, float | None]:
    """Return the parts of leaves and spines; a leaf's uplinks are as many as its chips, tapered by the bisection.

    Where the spines have too few ports for the leaves, a third level is needed, and nobody says how it is built.
    """
    planes, cut = tier.wiring.planes_count or 1.0, leaves_of(tier, round(chips))
    if tier.wiring.switch_ports_count is None or not cut.fits:
        return None, None, None
    uplinks = tier.bisection_frac * chips if cut.leaves_count > 1 else 0.0
    rate = tier.bytes_per_s * tier.ranks_count / chips / planes
    return planes * (cut.leaves_count + cut.spines_count), planes * (chips + uplinks), rate


def deeper(fabric: Fabric, place: int) -> bool:
    """Return whether a tier of leaves and spines needs more levels than it is described with."""
    tier = fabric.tiers[place]
    leveled = tier.structure in SWITCHED and (tier.wiring.levels_count or 1) > 1
    return leveled and not leaves_of(tier, round(fabric.ranks_count / fabric.ranks_per_chip)).fits


def _grid(fabric: Fabric, place: int) -> tuple[float, float, float]:
    tier = fabric.tiers[place]
    inside = fabric.tiers[place - 1] if place else None
    on_hubs = inside is not None and not tier.own_ports
    base = inside.ranks_count if inside is not None and on_hubs else 1.0
    dims = tier.dims or (round(tier.arity_count),)
    vertices = fabric.ranks_count / base
    if extends(tier, inside) and inside is not None:
        same = cubes_count(inside, fabric.tiers[place - 2] if place > 1 else None)
        cubes = same * fabric.ranks_count / inside.ranks_count
        faces = [prod(inside.dims) / side for side in inside.dims]
        joints = [
            cubes * face * ((more - 1.0) / more if tier.structure == "mesh" else 1.0)
            for face, more in zip(faces, dims, strict=True)
        ]
        return 0.0, sum(joints), tier.bytes_per_s * inside.ranks_count / same / (2.0 * sum(faces))
    links = 0.0
    for length in dims:
        lines = vertices / length
        if tier.structure == "full_mesh":
            links += lines * length * (length - 1.0) / 2.0
        else:
            links += lines * (length if tier.structure == "torus" and length > 1 else length - 1.0)
    spares = tier.wiring.spares_count or 0.0
    links += (tier.ranks_count / base + spares) * fabric.ranks_count / tier.ranks_count if spares else 0.0
    hubs = fabric.ranks_count / tier.ranks_count if spares else 0.0
    return hubs, links, tier.bytes_per_s * base / ports_count(tier.structure, dims)


def _carried(fabric: Fabric, place: int) -> float:
    """Return the bytes/s of all links of a tier, one direction, over every level of its switches."""
    tier = fabric.tiers[place]
    levels = tier.wiring.levels_count or 1.0
    return tier.bytes_per_s * fabric.ranks_count * (1.0 + (levels - 1.0) * tier.bisection_frac)


def reach(fabric: Fabric, place: int) -> Reach:
    """Return how far apart the ranks of a tier are."""
    tier = fabric.tiers[place]
    if tier.structure in SWITCHED:
        climbed, below = 1.0, place
        while not fabric.tiers[below].own_ports and below:
            climbed, below = climbed + 1.0, below - 1
        hops = 2.0 * climbed * (tier.wiring.levels_count or 1.0 if tier.scale_out else 1.0)
        return _reach(tier, hops, tier.latency_s / hops, tier.latency_s)
    hops, latency = _grid_way(fabric, place)
    return _reach(tier, hops, tier.latency_s, latency)


def _grid_way(fabric: Fabric, place: int) -> tuple[float, float]:
    """Return hops and latency of the longest way over a grid and those inside it, or over a dragonfly's gateways."""
    tier = fabric.tiers[place]
    inside = fabric.tiers[place - 1] if place else None
    hops, latency = 0.0, 0.0
    if inside is not None and inside.structure not in SWITCHED:
        hops, latency = _grid_way(fabric, place - 1)
    elif inside is not None and not tier.own_ports:
        hops, latency = 2.0, inside.latency_s  # into and out of the hubs that the grid joins
    if tier.structure == "dragonfly":
        return 1.0 + 2.0 * hops, tier.latency_s + 2.0 * latency
    dims = tier.dims or (round(tier.arity_count),)
    if extends(tier, inside) and inside is not None:
        whole = sum(_farthest(tier.structure, a * b) for a, b in zip(dims, inside.dims, strict=True))
        inner = sum(_farthest(inside.structure, side) for side in inside.dims)
        return hops - inner + whole, latency - inner * inside.latency_s + whole * tier.latency_s
    own = sum(_farthest(tier.structure, length) for length in dims)
    return hops + own, latency + own * tier.latency_s


def _farthest(structure: str, length: int) -> int:
    """Return the hops between the two places of an axis that are farthest apart."""
    if structure == "full_mesh":
        return min(length - 1, 1)
    return length // 2 if structure == "torus" else length - 1


def _reach(tier: FabricTier, hops: float, hop_s: float, latency_s: float) -> Reach:
    return Reach(
        tier=tier.name,
        ranks_count=tier.ranks_count,
        hops_count=hops,
        hop_s=hop_s,
        latency_s=latency_s,
        bytes_per_s=tier.bytes_per_s,
    )


def bisection(fabric: Fabric) -> float:
    """Return what crosses the middle of the outermost tier, one direction, in bytes/s.

    Switched: half of the ranks times their rate into the tier, times its bisection share. A grid is cut across the axis
    with the fewest links: 2 N/k links of a ring of k, N/k of a line, N/k (k/2)^2 of a full mesh. Tiers inside with
    ports of their own cannot help: none of their links crosses.
    """
    outermost = next(place for place in reversed(range(len(fabric.tiers))) if fabric.tiers[place].arity_count > 1)
    tier = fabric.tiers[outermost]
    instances = fabric.ranks_count / tier.ranks_count
    if tier.structure in SWITCHED:
        return float(tier.bisection_frac * tier.bytes_per_s * tier.ranks_count / 2.0 * instances)
    if tier.structure == "dragonfly":
        inside = fabric.tiers[outermost - 1].ranks_count if outermost else 1.0
        groups = tier.ranks_count / inside
        return float((groups // 2) * (groups - groups // 2) * tier.bytes_per_s * inside / max(groups - 1.0, 1.0))
    return float(_grid_bisection(fabric, outermost) * instances)


def _grid_bisection(fabric: Fabric, place: int) -> float:
    tier, inside = fabric.tiers[place], fabric.tiers[place - 1] if place else None
    dims = tier.dims or (round(tier.arity_count),)
    _, _, rate = _grid(fabric, place)
    vertices, lengths = tier.ranks_count, list(dims)
    if extends(tier, inside) and inside is not None:
        lengths = [a * b for a, b in zip(dims, inside.dims, strict=True)]
        vertices = float(prod(lengths))
    elif inside is not None and not tier.own_ports:
        vertices = tier.ranks_count / inside.ranks_count
    return min(vertices / length * _across(tier.structure, length) * rate for length in lengths if length > 1)


def _across(structure: str, length: int) -> int:
    """Return the links that join the two halves of one line along an axis."""
    if structure == "full_mesh":
        return (length // 2) * (length - length // 2)
    return 2 if structure == "torus" else 1
