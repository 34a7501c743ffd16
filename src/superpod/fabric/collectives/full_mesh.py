"""All links of a full mesh at once: each pair exchanges its part over its own link."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all")


def cost(kind: str, extents: Sequence[Num], message_bytes: Num) -> Cost:
    """Return a step for each axis in use and (n - 1)/n S over the n - 1 links together; both twice to all-reduce.

    T = steps x step + bytes / ((n - 1) b), so an all-reduce takes 2 S/(n b). A broadcast scatters and gathers, as an
    all-reduce does (direct algorithm of UB-Mesh, arXiv 2503.20377, section 5).
    """
    passes = 2.0 if kind in {"all_reduce", "broadcast"} else 1.0
    ranks: Num = 1.0
    axes: Num = 0.0
    for extent in extents:
        ranks = ranks * np.ceil(extent)
        axes = axes + np.where(extent > 1.0, 1.0, 0.0)
    return Cost(steps_count=passes * axes, wire_bytes=passes * message_bytes * (ranks - 1.0) / ranks)


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return all pairs of a mesh of one axis at once, twice for an all-reduce; a scatter and a gather to broadcast."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("full_mesh", kind, KINDS)
    if n < 2:
        return ()
    part = message_bytes / n
    pairs = [(i, j, part) for i in range(n) for j in range(n) if i != j]
    if kind == "broadcast":
        return step([(0, j, part) for j in range(1, n)]), step(pairs)
    return (step(pairs, 2 if kind == "all_reduce" else 1),)
