"""One ring, one direction: each member passes parts to the next."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return n - 1 steps and (n - 1)/n S to gather or scatter, twice both to all-reduce, S to broadcast in a pipeline.

    T = steps x step + bytes / B + S/n / own copy. Bandwidth-optimal (Patarasuk & Yuan 2009,
    doi:10.1016/j.jpdc.2008.09.002); between buffers a member also copies its own part, S/n, which is why rings of two
    reach less than rings of eight.
    """
    if kind == "broadcast":
        return Cost(steps_count=ranks - 1.0, wire_bytes=message_bytes * 1.0)
    passes = 2.0 if kind == "all_reduce" else 1.0
    return Cost(
        steps_count=passes * (ranks - 1.0),
        wire_bytes=passes * message_bytes * (ranks - 1.0) / ranks,
        own_bytes=message_bytes * np.where(ranks > 1.0, 1.0 / ranks, 0.0),
    )


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return the step that the ring repeats; a broadcast's pipeline in its steady state."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("ring", kind, KINDS)
    if n < 2:
        return ()
    if kind == "broadcast":
        return (step([(i, i + 1, message_bytes) for i in range(n - 1)]),)
    passes = 2 if kind == "all_reduce" else 1
    return (step([(i, (i + 1) % n, message_bytes / n) for i in range(n)], passes * (n - 1)),)
