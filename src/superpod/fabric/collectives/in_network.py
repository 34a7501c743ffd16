"""Switches that add what their ports receive and send one copy to each port."""

from collections.abc import Sequence

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "broadcast")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return (n + 1)/n S to all-reduce, S to broadcast, in two steps: to the switch and back.

    T = base + bytes / B. Each member owns S/n: the switch pulls the parts of all members, S from each port, and the
    owner writes the sum back once for all, S/n; so S (n + 1)/n pass a port each way. This explains bus rates above the
    injection bandwidth (within 2 % on 5 to 8 H200 and B200, stas00/ml-engineering commit 744d01e).
    """
    share: Num = 1.0 if kind == "broadcast" else (ranks + 1.0) / ranks
    return Cost(steps_count=2.0, wire_bytes=message_bytes * share)


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return the pipeline in its steady state, between members and the switch, which is index n."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("in_network", kind, KINDS)
    if n < 2:
        return ()
    if kind == "broadcast":
        return (step([(0, n, message_bytes), *((n, i, message_bytes) for i in range(1, n))]),)
    part = message_bytes * (n + 1) / n
    return (step([*((i, n, part) for i in range(n)), *((n, i, part) for i in range(n))]),)
