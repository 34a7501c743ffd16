"""Partners at distances that double: as many bytes as a ring, in a logarithm of the steps."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return ceil(log2 n) steps and (n - 1)/n S, twice both to all-reduce.

    T = steps x step + bytes / B on a fabric that does not block. Any n: Bruck's gather and its mirror image
    (Thakur et al. 2005, doi:10.1177/1094342005051521; Träff 2024, arXiv 2410.14234).
    """
    passes = 2.0 if kind == "all_reduce" else 1.0
    return Cost(
        steps_count=passes * np.ceil(np.log2(np.maximum(ranks, 1.0))),
        wire_bytes=passes * message_bytes * (ranks - 1.0) / ranks,
    )


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return Bruck's rounds: in round r each member sends min(2^r, n - 2^r) parts to the one 2^r before it."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("halving_doubling", kind, KINDS)
    gather: list[Step] = []
    distance = 1
    while distance < n:
        parts = min(distance, n - distance)
        gather.append(step([(i, (i - distance) % n, parts * message_bytes / n) for i in range(n)]))
        distance *= 2
    scatter = [
        Step(src=one.dst.copy(), dst=one.src.copy(), size_bytes=one.size_bytes.copy()) for one in reversed(gather)
    ]
    if kind == "all_gather":
        return tuple(gather)
    return tuple(scatter) if kind == "reduce_scatter" else (*scatter, *gather)
