"""Dragonfly: groups whose members know each other, and a few links between every two groups."""

import numpy as np

from superpod.fabric.generators.builder import Builder
from superpod.fabric.generators.drawn import Drawn
from superpod.fabric.tiers import FabricTier


def gateways(group_ranks: int, groups: int) -> int:
    """Return how many links join two groups: as many as members can give every other group its own, at least one."""
    return max(1, group_ranks // max(groups - 1, 1))


def dragonfly(builder: Builder, drawn: Drawn, tier: FabricTier, inside_ranks: int) -> Drawn:
    """Draw the links between groups of `inside_ranks` ranks; what is for another group passes through its gateways.

    A group's bandwidth B x ranks is spread evenly over the others (Kim et al. 2008, doi:10.1145/1394608.1382129).
    """
    kind = builder.kind(tier, transit=True)
    groups = round(tier.ranks_count / inside_ranks)
    members = drawn.ranks.reshape(-1, groups, inside_ranks)
    links = gateways(inside_ranks, groups)
    rate = tier.bytes_per_s * inside_ranks / max(groups - 1, 1) / links
    number = np.arange(links)
    for low in range(groups):
        for high in range(low + 1, groups):
            here = members[:, low, ((high - low - 1) * links + number) % inside_ranks]
            there = members[:, high, ((groups - (high - low) - 1) * links + number) % inside_ranks]
            builder.connect(
                here.ravel(), there.ravel(), rate, latency_s=tier.latency_s, kind=kind, axis=drawn.axes_count
            )
    return Drawn(ranks=drawn.ranks, entry_s=drawn.entry_s, axes_count=drawn.axes_count + 1)
