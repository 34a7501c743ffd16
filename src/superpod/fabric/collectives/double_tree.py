"""Two binary trees with half of the message each, so that nobody is an inner node of both."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "broadcast")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return ceil(log2 n) steps and S to broadcast; twice the steps and 2 S to all-reduce (S n/2 for two or three).

    T = steps x step + bytes / B, pipelined, its filling left out
    (Sanders, Speck & Träff 2009, doi:10.1016/j.parco.2009.09.001).
    """
    deep = np.ceil(np.log2(np.maximum(ranks, 1.0)))
    if kind == "broadcast":
        return Cost(steps_count=deep, wire_bytes=message_bytes * np.where(ranks > 1.0, 1.0, 0.0))
    return Cost(steps_count=2.0 * deep, wire_bytes=message_bytes * np.minimum(2.0, ranks / 2.0))


def parents(n: int) -> list[tuple[int, int]]:
    """Return (member, parent) of a binary tree in order over 0 to n - 1: odd members are leaves."""
    edges: list[tuple[int, int]] = []
    for rank in range(1, n):
        low = rank & -rank
        above = (rank ^ low) | (low << 1)
        edges.append((rank, above if above < n else rank ^ low))
    return edges


def trees(n: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the edges of both trees: the second is the first in a mirror, or turned back by one where n is odd."""
    first = parents(n)
    if n % 2:
        return first, [((member - 1) % n, (parent - 1) % n) for member, parent in first]
    return first, [(n - 1 - member, n - 1 - parent) for member, parent in first]


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return the pipeline in its steady state: every edge of both trees carries its half of the message."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("double_tree", kind, KINDS)
    if n < 2:
        return ()
    half = message_bytes / 2.0
    first, second = trees(n)
    down = [(parent, member, half) for member, parent in (*first, *second)]
    if kind == "all_reduce":
        return (step([*down, *((member, parent, half) for parent, member, _ in down)]),)
    return (step([*((src, dst, size) for src, dst, size in down if dst != 0), (0, n - 1, half)]),)
