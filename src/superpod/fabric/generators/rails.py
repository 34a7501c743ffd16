"""Scale-out by rails: the rank at one place of every node has its own leaf switches; spines join the leaves."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from superpod.fabric.generators.builder import Builder
from superpod.fabric.generators.drawn import Drawn
from superpod.fabric.tiers import FabricTier


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """How a two-level network is cut: chips of one rail under a leaf, leaves of a rail, leaves and spines in all.

    `fits` says that a spine has a port for every leaf: where it has not, a third level is needed that nobody describes.
    """

    chips_per_leaf_count: int
    per_rail_count: int
    leaves_count: int
    spines_count: int
    fits: bool


def on_rails(tier: FabricTier) -> bool:
    """Return whether a tier is drawn as leaves of rails under spines: a scale-out network of several levels."""
    return tier.scale_out and (tier.wiring.levels_count or 1) > 1


def leaves_of(tier: FabricTier, chips: int) -> Leaves:
    """Return the leaves and spines of one plane: a leaf gives half of its ports to chips of its rail.

    Where the switches' radix is not published, one leaf serves a whole rail.
    """
    rails_count = int(tier.wiring.rails_count or 1)
    nodes = ceil(chips / rails_count)
    radix = int(tier.wiring.switch_ports_count or 2 * nodes)
    per_leaf = min(max(radix // 2, 1), nodes)
    per_rail = ceil(nodes / per_leaf)
    leaves = rails_count * per_rail
    spines = max(1, ceil(leaves * per_leaf / radix)) if leaves > 1 else 0
    return Leaves(
        chips_per_leaf_count=per_leaf,
        per_rail_count=per_rail,
        leaves_count=leaves,
        spines_count=spines,
        fits=tier.wiring.switch_ports_count is None or leaves <= radix,
    )


def rails(builder: Builder, drawn: Drawn, tier: FabricTier, per_chip: int) -> Drawn:
    """Draw a two-level network of P planes: leaves of one rail each, spines over all.

    A leaf of a switch with k ports serves k / 2 chips of its rail and has as many uplinks, spread evenly over the
    spines; a bisection share below 1 tapers them. Chips of one rail under one leaf are one hop apart; the dies of a
    chip share its rail. Where leaves are more than a spine's ports, spines stand for the levels above and are ideal.
    """
    planes, count = int(tier.wiring.planes_count or 1), int(tier.wiring.rails_count or 1)
    cut = leaves_of(tier, len(drawn.ranks) // per_chip)
    kind = builder.kind(tier, ideal=tier.wiring.switch_ports_count is None or not cut.fits)
    chip = np.arange(len(drawn.ranks)) // per_chip
    leaf = chip % count * cut.per_rail_count + chip // count // cut.chips_per_leaf_count
    rate = tier.bytes_per_s / planes
    switches = builder.switches(kind, planes, cut.leaves_count + cut.spines_count)
    for plane in range(planes):
        leaves, spines = np.split(switches[plane], [cut.leaves_count])
        builder.connect(drawn.ranks, leaves[leaf], rate, latency_s=tier.latency_s / 4.0, kind=kind, plane=plane)
        if cut.spines_count:
            uplink = tier.bisection_frac * rate * cut.chips_per_leaf_count * per_chip / cut.spines_count
            src, dst = np.repeat(leaves, cut.spines_count), np.tile(spines, cut.leaves_count)
            builder.connect(src, dst, uplink, latency_s=tier.latency_s / 4.0, kind=kind, plane=plane)
    return Drawn(ranks=drawn.ranks, entry_s=tier.latency_s / 4.0, axes_count=drawn.axes_count)
