"""A ring in both directions at once: parts meet half way round."""

from collections.abc import Sequence

import numpy as np

from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast")


def cost(kind: str, ranks: Num, message_bytes: Num) -> Cost:
    """Return ceil((n - 1)/2) steps and (n - 1)/n S over both directions together, twice both to all-reduce.

    T = steps x step + bytes / 2b for b each way; with an even n the last step carries half a part each way
    (Chan et al. 2007, doi:10.1002/cpe.1206). A broadcast sends half of S each way round, n - 1 steps in a pipeline; the
    torus of D axes has D such rings that share no link.
    """
    if kind == "broadcast":
        return Cost(steps_count=ranks - 1.0, wire_bytes=message_bytes * np.where(ranks > 1.0, 1.0, 0.0))
    passes = 2.0 if kind == "all_reduce" else 1.0
    return Cost(
        steps_count=passes * np.ceil((ranks - 1.0) / 2.0), wire_bytes=passes * message_bytes * (ranks - 1.0) / ranks
    )


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return whole parts both ways, then half parts where n is even; an all-reduce runs both phases twice."""
    (n,) = shape
    if kind not in KINDS:
        raise refuse("bidirectional", kind, KINDS)
    if kind == "broadcast":
        last = [(i, (i + way) % n, message_bytes / 2.0) for way in (1, -1) for i in range(n) if (i + way) % n]
        return (step(last),)
    passes = 2 if kind == "all_reduce" else 1
    part = message_bytes / n
    both = [(i, (i + way) % n) for i in range(n) for way in (1, -1)]
    made: list[Step] = []
    if (n - 1) // 2:
        made.append(step([(src, dst, part) for src, dst in both], passes * ((n - 1) // 2)))
    if n % 2 == 0:
        made.append(step([(src, dst, part / 2.0) for src, dst in both], passes))
    return tuple(made)
