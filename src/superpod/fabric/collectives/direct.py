"""Every member sends to every other at once."""

from collections.abc import Sequence

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p", "dispatch", "combine")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return one step and (n - 1)/n S to gather, scatter or exchange; two of them to all-reduce; S from one to one.

    T = steps x step + bytes / B; S is what each member sends, its own part included (Thakur et al. 2005,
    doi:10.1177/1094342005051521). What posting to n - 1 peers costs is the transport's own fact.
    """
    if kind == "p2p":
        return Cost(steps_count=1.0, wire_bytes=message_bytes)
    passes = 2.0 if kind == "all_reduce" else 1.0
    return Cost(steps_count=passes, wire_bytes=passes * message_bytes * (ranks - 1.0) / ranks)


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return all pairs at once, twice for an all-reduce; each member to the next for p2p."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("direct", kind, KINDS)
    if n < 2:
        return ()
    if kind == "p2p":
        return (step([(i, (i + 1) % n, message_bytes) for i in range(n)]),)
    pairs = [(i, j, message_bytes / n) for i in range(n) for j in range(n) if i != j]
    return (step(pairs, 2 if kind == "all_reduce" else 1),)
