"""Scale-out by rails: the rank at one place of every node has its own leaf switches; spines join the leaves."""

import numpy as np

from superpod.fabric.generators.builder import Builder
from superpod.fabric.generators.drawn import Drawn
from superpod.fabric.tiers import FabricTier


def leaf_ranks(tier: FabricTier, ranks: int) -> int:
    """Return how many ranks of its rail one leaf serves: half of its ports, or all nodes where they are fewer."""
    radix = int(tier.wiring.switch_ports_count or 2 * ranks)
    return min(max(radix // 2, 1), -(-ranks // int(tier.wiring.rails_count or 1)))


def rails(builder: Builder, drawn: Drawn, tier: FabricTier) -> Drawn:
    """Draw a two-level network of P planes: leaves of one rail each, spines over all.

    A leaf of a switch with k ports serves k / 2 ranks of its rail and has as many uplinks, spread evenly over the
    spines; a bisection share below 1 tapers them. Ranks of one rail under one leaf are one hop apart.
    """
    planes, count = int(tier.wiring.planes_count or 1), int(tier.wiring.rails_count or 1)
    radix = int(tier.wiring.switch_ports_count or 2 * len(drawn.ranks))
    kind = builder.kind(tier)
    rate = tier.bytes_per_s / planes
    place = np.arange(len(drawn.ranks))
    nodes = -(-len(drawn.ranks) // count)
    per_leaf = leaf_ranks(tier, len(drawn.ranks))
    leaves_per_rail = -(-nodes // per_leaf)
    leaf = place % count * leaves_per_rail + place // count // per_leaf
    leaves_count = count * leaves_per_rail
    spines_count = max(1, -(-leaves_count * per_leaf // radix)) if leaves_count > 1 else 0
    for plane in range(planes):
        leaves = builder.switches(kind, 1, leaves_count)[0]
        builder.connect(drawn.ranks, leaves[leaf], rate, latency_s=tier.latency_s / 4.0, kind=kind, plane=plane)
        if spines_count:
            spines = builder.switches(kind, 1, spines_count)[0]
            uplink = tier.bisection_frac * rate * per_leaf / spines_count
            src, dst = np.repeat(leaves, spines_count), np.tile(spines, leaves_count)
            builder.connect(src, dst, uplink, latency_s=tier.latency_s / 4.0, kind=kind, plane=plane)
    return Drawn(ranks=drawn.ranks, entry_s=tier.latency_s / 4.0, axes_count=drawn.axes_count)
