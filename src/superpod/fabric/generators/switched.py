"""One level of switches: a single tier, or one level more of a Clos network, in as many planes as there are."""

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.generators.builder import Builder
from superpod.fabric.generators.drawn import Drawn
from superpod.fabric.tiers import FabricTier, HostPorts
from superpod.fabric.topology import HOST, SPARE, IntArray


def switched(builder: Builder, drawn: Drawn, tier: FabricTier, inside_ranks: int, hosts: HostPorts | None) -> Drawn:
    """Draw a tier of switches over ranks, or over the switches of the tier inside.

    Every unit (a rank, or an instance inside of `inside_ranks` ranks) reaches each of the W switches of its instance in
    each of P planes; a link carries B x ranks / (P x M x W), M the unit's own switches. A bisection share below 1 is a
    trunk between two halves. Where W is not published, one switch without limits of its own stands for all.
    """
    planes, per_plane = int(tier.wiring.planes_count or 1), int(tier.wiring.switches_count or 1)
    kind = builder.kind(tier, ideal=tier.wiring.switches_count is None)
    own = tier.own_ports or drawn.hubs is None
    units = drawn.ranks[None, :, None] if own else _units(drawn, tier, planes)
    unit_ranks = 1 if own or drawn.hubs is None else len(drawn.ranks) // drawn.hubs.shape[1]
    per_instance = max(1, round(tier.ranks_count / unit_ranks))
    instances = -(-units.shape[1] // per_instance)
    halves = 2 if tier.bisection_frac < 1.0 else 1
    switches = builder.switches(kind, planes, instances * halves * per_plane)
    hubs = switches.reshape(planes, instances, halves, per_plane)
    step_s = max(tier.latency_s / 2.0 - (0.0 if own else drawn.entry_s), 0.0)
    rate = tier.bytes_per_s * unit_ranks / (planes * units.shape[2] * per_plane)
    number = np.arange(units.shape[1])
    half = number % per_instance * halves // per_instance
    for plane in range(planes):
        below = units[plane % len(units)]
        above = hubs[plane, number // per_instance, half]
        src = np.repeat(below[:, :, None], per_plane, axis=2).ravel()
        dst = np.repeat(above[:, None, :], units.shape[2], axis=1).ravel()
        builder.connect(src, dst, rate, latency_s=step_s, kind=kind, plane=plane)
        if halves == 2:
            trunk = tier.bisection_frac * tier.bytes_per_s * tier.ranks_count / 2.0 / (planes * per_plane)
            builder.connect(
                hubs[plane, :, 0].ravel(), hubs[plane, :, 1].ravel(), trunk, latency_s=0.0, kind=kind, plane=plane
            )
    flat = hubs.reshape(planes, instances, halves * per_plane)
    _stand_by(builder, tier, kind, flat, step_s)
    if hosts is not None and hosts.tier == tier.name:
        _hosts(builder, tier, hosts, kind, flat, step_s)
    entry = step_s + (0.0 if own else drawn.entry_s)
    return Drawn(ranks=drawn.ranks, hubs=flat, entry_s=entry, axes_count=drawn.axes_count)


def _units(drawn: Drawn, tier: FabricTier, planes: int) -> IntArray:
    """Return the switches inside by plane; raise where planes inside and outside do not pair."""
    hubs = drawn.hubs
    if hubs is None or len(hubs) not in {1, planes}:
        found = 0 if hubs is None else len(hubs)
        raise ScenarioError(
            f"{planes} planes over a tier of {found}",
            where=f"tier {tier.name}: wiring.planes_count",
            hint="give the tier as many planes as the tier inside it, or one over one",
        )
    return hubs


def _stand_by(builder: Builder, tier: FabricTier, kind: int, hubs: IntArray, step_s: float) -> None:
    """Add spare ranks with the same ports as the others."""
    count = int(tier.wiring.spares_count or 0)
    _attach(builder, tier, (SPARE, count, tier.bytes_per_s), kind, hubs, step_s)


def _hosts(builder: Builder, tier: FabricTier, hosts: HostPorts, kind: int, hubs: IntArray, step_s: float) -> None:
    """Add the CPUs of each instance."""
    _attach(builder, tier, (HOST, round(hosts.per_instance_count), hosts.bytes_per_s), kind, hubs, step_s)


def _attach(
    builder: Builder, tier: FabricTier, who: tuple[int, int, float], kind: int, hubs: IntArray, step_s: float
) -> None:
    """Connect `who` = (node kind, how many an instance, bytes/s of each) to every switch of their instance."""
    node_kind, count, bytes_per_s = who
    if not count:
        return
    planes, instances, per_plane = hubs.shape
    home = np.repeat(np.arange(instances) * int(tier.ranks_count), count)
    ids = builder.nodes(node_kind, instances * count, tier=kind, home=home)
    where = np.repeat(np.arange(instances), count)
    for plane in range(planes):
        src, dst = np.repeat(ids, per_plane), hubs[plane, where].ravel()
        rate = bytes_per_s / (planes * per_plane)
        builder.connect(src, dst, rate, latency_s=step_s, kind=kind, plane=plane)
