"""What generators hand to each other: how the tiers drawn so far are entered from outside."""

from dataclasses import dataclass

from superpod.fabric.topology import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The ranks, and the last tier's way in.

    `hubs` has the shape (planes, instances, switches) where the last tier is switched. `grid` has the shape
    (instances, *extents) where it is a grid: its vertices by coordinates. `entry_s` is the latency from a rank to a
    hub; `axes_count` the axes that grids have used so far.
    """

    ranks: IntArray
    hubs: IntArray | None = None
    grid: IntArray | None = None
    entry_s: float = 0.0
    axes_count: int = 0
