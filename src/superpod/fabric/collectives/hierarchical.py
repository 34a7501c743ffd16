"""Inside first, then across: each tier moves what the tiers inside it leave."""

from collections.abc import Sequence

from superpod.fabric.collectives import direct, ring
from superpod.fabric.collectives.step import Cost, Step, refuse, step
from superpod.result import Num

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "dispatch", "combine")


def buffer(kind: str, below: Num, message_bytes: Num) -> Num:
    """Return the bytes that a tier works on when `below` members are joined inside it.

    Reductions and gathers leave S / below to each rail (Thakur et al. 2005, doi:10.1177/1094342005051521, tier by
    tier); a broadcast and an all-to-all pass whole.
    """
    return message_bytes / below if kind in {"all_reduce", "all_gather", "reduce_scatter"} else message_bytes


def cost(kind: str, shape: Sequence[Num], message_bytes: Num) -> tuple[Cost, ...]:
    """Return what each tier costs from the innermost out, by rings, or directly for an all-to-all.

    All-reduce over k groups of g: 2 (g - 1)/g S inside and 2 (k - 1)/k S/g across, one after the other.
    """
    made: list[Cost] = []
    below: Num = 1.0
    form = direct if kind in {"all_to_all", "dispatch", "combine"} else ring
    for arity in shape:
        made.append(form.cost(kind, arity, buffer(kind, below, message_bytes)))
        below = below * arity
    return tuple(made)


def steps(kind: str, shape: Sequence[int], message_bytes: float) -> tuple[Step, ...]:
    """Return the steps for shape (members inside, groups): member i of group j has index j g + i."""
    inside, groups = shape
    if kind not in KINDS:
        raise refuse("hierarchical", kind, KINDS)
    within = [[j * inside + i for i in range(inside)] for j in range(groups)]
    rails = [[j * inside + i for j in range(groups)] for i in range(inside)]
    shared = message_bytes / inside
    if kind == "all_reduce":
        across = _spread(rails, ring.steps("all_reduce", [groups], shared))
        down = _spread(within, ring.steps("all_gather", [inside], message_bytes))
        return (*_spread(within, ring.steps("reduce_scatter", [inside], message_bytes)), *across, *down)
    if kind == "broadcast":
        up = _spread(rails[:1], ring.steps(kind, [groups], message_bytes))
        return (*up, *_spread(within, ring.steps(kind, [inside], message_bytes)))
    if kind in {"all_gather", "reduce_scatter"}:
        across = _spread(rails, ring.steps(kind, [groups], shared))
        near = _spread(within, ring.steps(kind, [inside], message_bytes))
        return (*across, *near) if kind == "all_gather" else (*near, *across)
    near = _spread(within, direct.steps(kind, [inside], message_bytes))
    return (*near, *_spread(rails, direct.steps(kind, [groups], message_bytes)))


def _spread(places: list[list[int]], made: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps of one group run by all groups at once."""
    return tuple(
        step(
            [
                (place[src], place[dst], float(size))
                for place in places
                for src, dst, size in zip(one.src, one.dst, one.size_bytes, strict=True)
            ],
            one.repeat_count,
        )
        for one in made
    )
