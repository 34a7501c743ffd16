"""Grids: each axis a full mesh, a ring or a line; their vertices pass on what is not for them.

An nD full mesh, a torus and a mesh with unequal axes are all grids, and so is a product of them: a tier of axes over a
tier of axes gives every rank further neighbours at the same place of other instances.
"""

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.generators.builder import Builder
from superpod.fabric.generators.drawn import Drawn
from superpod.fabric.tiers import FabricTier
from superpod.fabric.topology import SPARE, STAND_BY_AXIS, IntArray


def grid(builder: Builder, drawn: Drawn, tier: FabricTier, inside: FabricTier | None) -> Drawn:
    """Draw a tier of axes over ranks, over the single hubs inside, or as faces of the meshes inside.

    A rank's bandwidth B is spread evenly over its ports: d - 1 on a full axis, two on a ring or a line.
    """
    longer = extends(tier, inside) and drawn.grid is not None
    hubs = drawn.hubs if not tier.own_ports else None
    on_hubs = hubs is not None and hubs.shape[0] == hubs.shape[2] == 1
    if longer and drawn.grid is not None:
        on_hubs = drawn.grid.size < len(drawn.ranks)
    kind = builder.kind(tier, transit=not on_hubs)
    if longer:
        return _faces(builder, drawn, tier, kind)
    vertices = hubs[0, :, 0] if on_hubs and hubs is not None else drawn.ranks
    vertex_ranks = len(drawn.ranks) // len(vertices)
    dims = tier.dims or (round(tier.arity_count),)
    places = round(tier.ranks_count / vertex_ranks)
    same = places // int(np.prod(dims))
    if same * int(np.prod(dims)) != places or len(vertices) % places:
        raise ScenarioError(
            f"axes {dims} do not divide {places} vertices",
            where=f"tier {tier.name}: dims",
            hint="the axes' product is the tier's ranks, or the instances inside it",
        )
    lattice = vertices.reshape(-1, *dims, same)
    rate = tier.bytes_per_s * vertex_ranks / ports_count(tier.structure, dims)
    for number in range(len(dims)):
        _axis(builder, lattice, number + 1, tier, rate, kind, drawn.axes_count + number)
    _spare(builder, tier, kind, lattice.reshape(len(lattice), -1), rate)
    corner = lattice.reshape(len(lattice), *dims, same) if same > 1 else lattice.reshape(len(lattice), *dims)
    return Drawn(ranks=drawn.ranks, grid=corner, entry_s=drawn.entry_s, axes_count=drawn.axes_count + len(dims))


def extends(tier: FabricTier, inside: FabricTier | None) -> bool:
    """Return whether a tier continues the lines of the mesh inside over its faces, as optical switches join cubes."""
    lines = {"mesh", "torus"}
    return (
        inside is not None
        and inside.structure == "mesh"
        and tier.structure in lines
        and len(tier.dims) == len(inside.dims)
    )


def cubes_count(mesh: FabricTier, below: FabricTier | None) -> float:
    """Return how many ranks, or hubs below, stand at one place of a mesh: so many meshes are joined at their faces."""
    base = below.ranks_count if below is not None and not mesh.own_ports else 1.0
    return mesh.ranks_count / base / float(np.prod(mesh.dims))


def ports_count(structure: str, dims: tuple[int, ...]) -> int:
    """Return over how many ports a rank's bandwidth is spread."""
    return sum(dim - 1 for dim in dims) if structure == "full_mesh" else 2 * len(dims)


def _axis(builder: Builder, lattice: IntArray, place: int, tier: FabricTier, rate: float, kind: int, axis: int) -> None:
    """Connect the vertices along one axis of an array of ids."""
    line = np.moveaxis(lattice, place, 0)
    length = len(line)
    if tier.structure == "full_mesh":
        pairs = [(low, high) for low in range(length) for high in range(low + 1, length)]
    else:
        pairs = [(low, low + 1) for low in range(length - 1)]
        pairs += [(length - 1, 0)] if tier.structure == "torus" and length > 2 else []
    doubled = 2.0 if tier.structure == "torus" and length == 2 else 1.0  # both ports lead to the one neighbour
    for low, high in pairs:
        builder.connect(
            line[low].ravel(),
            line[high].ravel(),
            rate * doubled,
            latency_s=tier.latency_s,
            kind=kind,
            axis=axis,
            lanes=doubled,
        )


def _faces(builder: Builder, drawn: Drawn, tier: FabricTier, kind: int) -> Drawn:
    """Join meshes at their faces into longer lines; of a torus also the ends."""
    cubes = drawn.grid
    if cubes is None:
        raise ScenarioError("no grid inside", where=f"tier {tier.name}", hint="a face joins meshes")
    outer, depth = tier.dims, len(tier.dims)
    inner, same = cubes.shape[1 : depth + 1], cubes.shape[depth + 1 :]  # `same`: ranks at one place of the mesh
    order = [0, *(place for axis in range(depth) for place in (1 + axis, 1 + depth + axis))]
    whole = cubes.reshape(-1, *outer, *inner, *same).transpose(*order, *range(len(order), len(order) + len(same)))
    whole = whole.reshape(len(whole), *(a * b for a, b in zip(outer, inner, strict=True)), *same)
    cells = sum(2 * int(np.prod((*inner, *same))) // side for side in inner)
    cube_ranks = len(drawn.ranks) // len(cubes)
    rate = tier.bytes_per_s * cube_ranks / cells
    first = drawn.axes_count - depth
    for number, side in enumerate(inner):
        line = np.moveaxis(whole, number + 1, 0)
        ends = np.arange(side - 1, len(line), side)
        ends = ends if tier.structure == "torus" else ends[:-1]
        for low in ends:
            builder.connect(
                line[low].ravel(),
                line[(low + 1) % len(line)].ravel(),
                rate,
                latency_s=tier.latency_s,
                kind=kind,
                axis=first + number,
            )
    return Drawn(ranks=drawn.ranks, grid=whole, entry_s=drawn.entry_s, axes_count=drawn.axes_count)


def _spare(builder: Builder, tier: FabricTier, kind: int, lattice: IntArray, rate: float) -> None:
    """Add stand-by ranks behind one switch that reaches every vertex of the instance (64 + 1, arXiv 2503.20377)."""
    count = int(tier.wiring.spares_count or 0)
    if not count:
        return
    home = np.repeat(np.arange(len(lattice)) * int(tier.ranks_count), count)
    spares = builder.nodes(SPARE, len(lattice) * count, tier=kind, home=home).reshape(len(lattice), count)
    hubs = builder.switches(kind, 1, len(lattice))[0]
    for members in (lattice, spares):
        src, dst = members.ravel(), np.repeat(hubs, members.shape[1])
        share = rate if members is lattice else tier.bytes_per_s
        builder.connect(src, dst, share, latency_s=tier.latency_s / 2.0, kind=kind, axis=STAND_BY_AXIS)
