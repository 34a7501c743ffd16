"""Rings along every axis of a torus at once: 2 D parts, each taking the axes in another order."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter")


def cost(kind: str, extents: Sequence[Num], message_bytes: Num) -> Cost:
    """Return sum(k_i - 1) steps and (N - 1)/N S over all 2 D links together, twice both to all-reduce.

    T = steps x step + bytes / (2 D b); exact for equal sides k_i, a lower bound otherwise, 13 % low for 8 x 4
    (multiport buckets: Jain & Sabharwal 2010, doi:10.1145/1810085.1810093).
    """
    passes = 2.0 if kind == "all_reduce" else 1.0
    ranks: Num = 1.0
    deep: Num = 0.0
    for extent in extents:
        ranks = ranks * np.ceil(extent)
        deep = deep + np.ceil(extent) - 1.0
    return Cost(steps_count=passes * deep, wire_bytes=passes * message_bytes * (ranks - 1.0) / ranks)


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return the rings of each phase; in phase p part c runs along axis (c + p) mod D, one way or the other.

    Rings of unequal sides run beside each other until the longest ends, the shorter ones at an even pace.
    """
    if kind not in KINDS:
        raise refuse("torus", kind, KINDS)
    axes = len(shape)
    scatter: list[Step] = []
    held = [message_bytes / (2 * axes)] * axes
    for phase in range(axes):
        sides = [shape[(axis + phase) % axes] for axis in range(axes)]
        held = [size / side for size, side in zip(held, sides, strict=True)]
        turns = max(sides) - 1
        moving = [
            (node, _neighbour(node, shape, (axis + phase) % axes, way), held[axis] * (sides[axis] - 1) / turns)
            for axis in range(axes)
            for node in range(int(np.prod(shape)))
            for way in (1, -1)
        ]
        scatter.append(step(moving, turns))
    gather = list(reversed(scatter))
    if kind == "reduce_scatter":
        return tuple(scatter)
    return tuple(gather) if kind == "all_gather" else (*scatter, *gather)


def _neighbour(node: int, shape: Sequence[int], axis: int, way: int) -> int:
    place = list(np.unravel_index(node, tuple(shape)))
    place[axis] = (place[axis] + way) % shape[axis]
    return int(np.ravel_multi_index(tuple(place), tuple(shape)))
