"""What share of a rank's injection a structure can carry, for a group of a given size and a traffic pattern.

Switched structures carry all of it, up to their bisection. In a mesh a rank's links lead to fixed neighbours, so a
small group uses few of them, and all-to-all traffic crosses many.
"""

from collections.abc import Callable

import numpy as np

from superpod.fabric.tiers import GRIDS, FabricTier
from superpod.result import Num


def neighbour_share(tier: FabricTier, held: Num, arity: Num) -> Num:
    """Return the usable share for ring-like collectives.

    `held` members of the group lie under one instance of the tier, in `arity` instances of the tier below.
    """
    return NEIGHBOUR[tier.structure](tier, _extent(tier, held, arity))


def everyone_share(tier: FabricTier, held: Num, arity: Num) -> Num:
    """Return the usable share for uniform all-to-all; arguments as for `neighbour_share`."""
    size = _extent(tier, held, arity)
    return np.minimum(EVERYONE[tier.structure](tier, size), NEIGHBOUR[tier.structure](tier, size))


def filled_axes(tier: FabricTier, held: Num, arity: Num) -> list[Num]:
    """Return how many members a compact group has along each axis of a mesh; arguments as for `neighbour_share`."""
    return _filled(tier, _extent(tier, held, arity))


def farthest_hops(tier: FabricTier, held: Num, arity: Num) -> Num:
    """Return the links between the two members farthest apart: 1 through switches, whose hops are in the latency.

    One for each axis in use of a full mesh; half of a whole torus axis; all of a line. Arguments as for
    `neighbour_share`.
    """
    if tier.structure not in GRIDS:
        return np.ones_like(held * 1.0)
    hops: Num = 0.0
    for dim, extent in zip(_shape(tier), filled_axes(tier, held, arity), strict=True):
        line = np.ceil(extent) - 1.0
        if tier.structure == "full_mesh":
            line = np.minimum(line, 1.0)
        elif tier.structure == "torus":
            line = np.where(extent < dim, line, np.floor(dim / 2.0))
        hops = hops + line
    return np.maximum(hops, 1.0)


def _extent(tier: FabricTier, held: Num, arity: Num) -> Num:
    """Return the members along the tier's axes: `dims` counts its ranks, or the instances of the tier below."""
    on_axes = tier.structure in GRIDS
    return arity if on_axes and np.prod(_shape(tier)) < tier.ranks_count else held


def _whole(tier: FabricTier, size: Num) -> Num:
    del tier
    return np.ones_like(size)


def _bisection(tier: FabricTier, size: Num) -> Num:
    """In uniform all-to-all half of the bytes cross the middle, so a bisection share beta carries min(1, 2 beta) of it.

    A group that fills less than half of the tier can be placed beside the cut and is not slowed by it.
    """
    crossing = np.minimum(1.0, 2.0 * tier.bisection_frac)
    return np.where(size > tier.ranks_count / 2.0, crossing, 1.0)


def _shape(tier: FabricTier) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(tier.dims or (tier.arity_count,), dtype=float)


def _filled(tier: FabricTier, size: Num) -> list[Num]:
    """Return how many ranks a compact group of `size` occupies along each axis, the first axis filled first."""
    extents: list[Num] = []
    left = size
    for dim in _shape(tier):
        extents.append(np.minimum(dim, np.maximum(left, 1.0)))
        left = left / extents[-1]
    return extents


def _full_mesh_neighbour(tier: FabricTier, size: Num) -> Num:
    """Return sum(e_i - 1) / sum(d_i - 1): the ports that lead to members (nD full mesh, arXiv 2503.20377)."""
    used = sum((extent - 1.0 for extent in _filled(tier, size)), 0.0)
    return np.maximum(used, 1.0) / np.sum(_shape(tier) - 1.0)


def _full_mesh_everyone(tier: FabricTier, size: Num) -> Num:
    """Return (n - 1)/n e_min / ports under dimension order: axis i carries S (e_i - 1)/e_i over e_i - 1 ports.

    The slowest axis is the shortest with more than one member; n - 1 of n parts leave a member.
    """
    ports = float(np.sum(_shape(tier) - 1.0))
    shortest: Num = ports + 1.0
    for extent in _filled(tier, size):
        shortest = np.minimum(shortest, np.where(extent > 1.0, extent, ports + 1.0))
    return np.where(size > 1.0, np.minimum(1.0, _leaving(size) * shortest / max(ports, 1.0)), 1.0)


def _torus_neighbour(tier: FabricTier, size: Num) -> Num:
    """A ring along each axis that the group fills: two links of 2D for each axis in use."""
    axes = sum((np.where(extent > 1.0, 1.0, 0.0) for extent in _filled(tier, size)), 0.0)
    return np.maximum(axes, 1.0) / float(len(_shape(tier)))


def _lines_everyone(tier: FabricTier, size: Num) -> Num:
    """Return (n - 1)/n k / (D c floor(k^2/4)) of the fullest axis of k members; c is 1 on a ring, 2 on a line.

    Under dimension order, both ways round where they tie, the fullest link of a ring carries floor(k^2/4)/2 parts S/k,
    that of a line floor(k^2/4), over B / (2 D). A part of a torus axis is a line. Where `dims` counts instances, whose
    own lines may be part of the axis, k^2/4 is not rounded.
    """
    fullest: Num = 0.0
    whole = bool(np.prod(_shape(tier)) >= tier.ranks_count)
    for dim, extent in zip(_shape(tier), _filled(tier, size), strict=True):
        ring = np.where((extent < dim) | (tier.structure == "mesh"), 2.0, 1.0)
        odd = np.where(extent % 2.0 == 1.0, 0.25, 0.0) if whole else 0.0
        load = ring * (extent**2 / 4.0 - odd) / extent
        fullest = np.maximum(fullest, np.where(extent > 1.0, load, 0.0))
    axes = float(len(_shape(tier)))
    return np.where(fullest > 0.0, np.minimum(1.0, _leaving(size) / (axes * np.maximum(fullest, 1e-300))), 1.0)


def _leaving(size: Num) -> Num:
    """Return the share of a member's parts that is not its own."""
    return 1.0 - 1.0 / np.maximum(size, 1.0)


NEIGHBOUR: dict[str, Callable[[FabricTier, Num], Num]] = {
    "switch": _whole,
    "clos": _whole,
    "dragonfly": _whole,
    "full_mesh": _full_mesh_neighbour,
    "torus": _torus_neighbour,
    "mesh": _torus_neighbour,
}
EVERYONE: dict[str, Callable[[FabricTier, Num], Num]] = {
    "switch": _bisection,
    "clos": _bisection,
    "dragonfly": _bisection,
    "full_mesh": _full_mesh_everyone,
    "torus": _lines_everyone,
    "mesh": _lines_everyone,
}
