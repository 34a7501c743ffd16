"""One ring, one direction: each member passes parts to the next."""

from collections.abc import Sequence

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return n - 1 steps and (n - 1)/n S to gather or scatter, twice both to all-reduce, S to broadcast in a pipeline.

    T = steps x step + bytes / B. Bandwidth-optimal (Patarasuk & Yuan 2009, doi:10.1016/j.jpdc.2008.09.002).
    """
    passes = 2.0 if kind == "all_reduce" else 1.0
    share: Num = 1.0 if kind == "broadcast" else passes * (ranks - 1.0) / ranks
    return Cost(steps_count=passes * (ranks - 1.0), wire_bytes=message_bytes * share)


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
