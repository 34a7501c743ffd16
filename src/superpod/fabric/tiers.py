"""A pod, or several, becomes a list of tiers with bare numbers per rank."""

from dataclasses import dataclass, field

import numpy as np

from superpod.catalog.calibration import LinkCalibration
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod, ScaleOut, Tier, Wiring
from superpod.errors import CatalogueError, ScenarioError
from superpod.result import Num

SWITCHED = ("switch", "clos")
GRIDS = ("full_mesh", "mesh", "torus")


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricTier:
    """One level: how many ranks one instance holds, and what one rank can send into it, one direction.

    `own_ports`: its links end at the ranks, not at the switches of the tier inside. `wiring` says how it is cabled.
    """

    name: str
    ranks_count: float
    arity_count: float
    bytes_per_s: float
    latency_s: float
    structure: str
    dims: tuple[int, ...]
    bisection_frac: float
    in_network_reduction: bool
    scale_out: bool
    link: LinkCalibration
    medium: str = "electrical"
    own_ports: bool = True
    wiring: Wiring = field(default_factory=Wiring)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPorts:
    """CPUs that are endpoints of the fabric beside the ranks: so many in each instance of a tier."""

    tier: str
    per_instance_count: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """The tiers from the innermost out. `ideal` makes every transfer free: the chip without its system.

    `kernels` says what all-reduces inside one switched tier run on: the collective `library` alone, as in training, or
    also the one-shot and two-shot kernels of a serving engine, by its name or `serving` for any; the fastest counts.
    """

    tiers: tuple[FabricTier, ...]
    ranks_per_chip: float
    ranks_per_pod: float
    pods_count: float
    ideal: bool = False
    hosts: HostPorts | None = None
    kernels: str = "library"

    @property
    def ranks_count(self) -> float:
        """All ranks of all pods."""
        return self.ranks_per_pod * self.pods_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`size` ranks, every `stride`-th one, that communicate. Both may be columns."""

    size: Num
    stride: Num = 1.0


def ranks_per_chip(reader: FactReader, dies_count: float | None, pod: Pod) -> float:
    """Return how many ranks one package is."""
    return reader.number("dies_count", dies_count) if pod.rank == "die" else 1.0


def build(catalogue: Catalogue, reader: FactReader, pod: Pod, pods_count: float, per_chip: float) -> Fabric:
    """Return the fabric of `pods_count` pods; raise MissingFactError for an unpublished bandwidth or latency."""
    inner = (0, *(tier.chips_count for tier in pod.tiers))
    tiers: list[FabricTier] = []
    for tier, below in zip(pod.tiers, inner, strict=False):
        chips = (float(tier.chips_count), float(below))
        tiers.append(_tier(catalogue, reader, tier, chips, per_chip, tiers[-1:]))
    if pods_count > 1:
        if pod.scale_out is None:
            raise ScenarioError(
                f"{pod.name} has no scale-out network in the catalogue", where=f"pods/{pod.id}", hint="use --pods 1"
            )
        chips = (pod.chips_count * pods_count, pod.chips_count)
        tiers.append(_tier(catalogue, reader, pod.scale_out, chips, per_chip, tiers[-1:]))
    return Fabric(
        tiers=tuple(tiers),
        ranks_per_chip=per_chip,
        ranks_per_pod=pod.chips_count * per_chip,
        pods_count=pods_count,
        hosts=_hosts(reader, pod),
    )


def scale_out_tier(
    catalogue: Catalogue, reader: FactReader, pod: Pod, pods_count: float, per_chip: float
) -> FabricTier | None:
    """Return the network that joins pods as `pods_count` of them hang on it, be it a single one; None without one."""
    if pod.scale_out is None:
        return None
    return _tier(catalogue, reader, pod.scale_out, (pod.chips_count * pods_count, pod.chips_count), per_chip, [])


def side_tiers(catalogue: Catalogue, reader: FactReader, pod: Pod, pods_count: float) -> tuple[FabricTier, ...]:
    """Return the networks beside scale-up and scale-out as single switched tiers of ports, one an instance.

    No collective runs over them, so the transport's efficiencies and the latency are those of the pod's own last tier.
    """
    found: list[FabricTier] = []
    for side in pod.side_networks:
        place = next((tier for tier in pod.tiers if tier.name == side.tier), pod.tiers[-1])
        ports = pod.chips_count / place.chips_count * pods_count
        where = f"side_networks.{side.name}.bandwidth_bytes_per_s"
        found.append(
            FabricTier(
                name=side.name,
                ranks_count=ports,
                arity_count=ports,
                bytes_per_s=reader.number(where, side.bandwidth_bytes_per_s),
                latency_s=reader.number(f"tiers.{pod.tiers[-1].name}.latency_s", pod.tiers[-1].latency_s),
                structure="switch",
                dims=(),
                bisection_frac=1.0,
                in_network_reduction=False,
                scale_out=True,
                link=catalogue.link(pod.tiers[-1].calibration),
                medium=side.medium,
            )
        )
    return tuple(found)


def members(fabric: Fabric, group: Group) -> list[Num]:
    """Return how many members of a group share one instance of each tier, from the innermost out.

    Members are `stride` ranks apart, so an instance of R ranks holds min(size, max(1, floor(R / stride))) of them.
    """
    return [np.minimum(group.size, np.maximum(1.0, np.floor(tier.ranks_count / group.stride))) for tier in fabric.tiers]


def _tier(
    catalogue: Catalogue,
    reader: FactReader,
    tier: Tier | ScaleOut,
    chips: tuple[float, float],
    per_chip: float,
    inside: list[FabricTier],
) -> FabricTier:
    """`chips` counts the packages under one instance of the tier and of the tier below (0: single ranks)."""
    scale_out = isinstance(tier, ScaleOut)
    where = "scale_out" if scale_out else f"tiers.{tier.name}"
    return FabricTier(
        name=tier.name,
        ranks_count=chips[0] * per_chip,
        arity_count=chips[0] / chips[1] if chips[1] else chips[0] * per_chip,
        bytes_per_s=reader.number(f"{where}.bandwidth_bytes_per_s", tier.bandwidth_bytes_per_s) / per_chip,
        latency_s=reader.number(f"{where}.latency_s", tier.latency_s),
        structure=tier.structure,
        dims=tier.dims,
        bisection_frac=reader.number(f"{where}.bisection_frac", tier.bisection_frac),
        in_network_reduction=tier.in_network_reduction,
        scale_out=scale_out,
        link=catalogue.link(tier.calibration),
        medium=tier.medium,
        own_ports=_own_ports(tier, inside),
        wiring=tier.wiring,
    )


def _own_ports(tier: Tier | ScaleOut, inside: list[FabricTier]) -> bool:
    """Return whether a tier's links end at ranks: where it says so, has ports of its own, or finds no switch inside."""
    if tier.wiring.attach is not None:
        return tier.wiring.attach == "ranks"
    if isinstance(tier, ScaleOut):
        return not tier.shares_scale_up_ports or not inside or inside[0].structure not in SWITCHED
    return not inside or inside[0].structure not in SWITCHED or not tier.shares_inner_ports


def _hosts(reader: FactReader, pod: Pod) -> HostPorts | None:
    """Return the CPUs on the scale-up fabric, where the pod says that they are."""
    if not pod.host.tier:
        return None
    place = next((tier for tier in pod.tiers if tier.name == pod.host.tier), None)
    if place is None:
        raise CatalogueError(
            f"host.tier: found {pod.host.tier!r}, expected one of {', '.join(tier.name for tier in pod.tiers)}",
            where=f"pods/{pod.id}",
        )
    count = reader.number("host.cpus_count", pod.host.cpus_count)
    rate = reader.number("host.bandwidth_bytes_per_s", pod.host.bandwidth_bytes_per_s)
    return HostPorts(tier=place.name, per_instance_count=count * place.chips_count / pod.chips_count, bytes_per_s=rate)
