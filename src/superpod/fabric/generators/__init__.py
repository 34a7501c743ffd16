"""Topologies from tiers: one file per structure, one row per structure; `draw` puts the tiers over each other."""

from collections.abc import Callable

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.generators.builder import Builder
from superpod.fabric.generators.dragonfly import dragonfly
from superpod.fabric.generators.drawn import Drawn
from superpod.fabric.generators.grid import grid
from superpod.fabric.generators.rails import on_rails, rails
from superpod.fabric.generators.switched import switched
from superpod.fabric.tiers import Fabric, FabricTier
from superpod.fabric.topology import RANK, Topology

RANKS_MAX = 20_000
"""More ranks than this are not drawn link by link; classes of equal flows have no such limit."""


def draw(fabric: Fabric, name: str = "fabric") -> Topology:
    """Return the topology of a fabric, every rank, switch and link of it.

    Raises ScenarioError where there are more than RANKS_MAX ranks, or where tiers do not fit together.
    """
    if fabric.ranks_count > RANKS_MAX:
        raise ScenarioError(
            f"{fabric.ranks_count:,.0f} ranks are too many to be drawn link by link",
            where=name,
            hint=f"at most {RANKS_MAX:,}; the levels L0 and L1 have no such limit",
        )
    builder = Builder()
    count = round(fabric.ranks_count)
    drawn = Drawn(ranks=builder.nodes(RANK, count, home=np.arange(count)))
    for place, tier in enumerate(fabric.tiers):
        drawn = GENERATORS[tier.structure](builder, drawn, fabric, place)
    return builder.build(name)


def _inside(fabric: Fabric, place: int) -> int:
    return round(fabric.tiers[place - 1].ranks_count) if place else 1


def _switches(builder: Builder, drawn: Drawn, fabric: Fabric, place: int) -> Drawn:
    tier = fabric.tiers[place]
    if on_rails(tier):
        return rails(builder, drawn, tier, round(fabric.ranks_per_chip))
    return switched(builder, drawn, tier, _inside(fabric, place), fabric.hosts)


def _grid(builder: Builder, drawn: Drawn, fabric: Fabric, place: int) -> Drawn:
    inside: FabricTier | None = fabric.tiers[place - 1] if place else None
    return grid(builder, drawn, fabric.tiers[place], inside)


def _dragonfly(builder: Builder, drawn: Drawn, fabric: Fabric, place: int) -> Drawn:
    return dragonfly(builder, drawn, fabric.tiers[place], _inside(fabric, place))


GENERATORS: dict[str, Callable[[Builder, Drawn, Fabric, int], Drawn]] = {
    "switch": _switches,
    "clos": _switches,
    "full_mesh": _grid,
    "mesh": _grid,
    "torus": _grid,
    "dragonfly": _dragonfly,
}
