"""Which layout trains fastest: a lattice is screened by closed forms, and the finalists' schedules are replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.scenario import Training
from superpod.plan.training.screen import (
    FRONT_FACTOR,
    NEAR_FACTOR,
    Candidate,
    Progress,
    Screened,
    bounds,
    price,
    runnable,
    screen,
    screened_s,
)
from superpod.plan.training.space import Space, space
from superpod.result import at_row
from superpod.train.memory import TrainingMemory, training_memory
from superpod.train.replayed import replayed_step
from superpod.train.schedules.replay import Replay
from superpod.train.step import StepTime

__all__ = ["Progress", "TrainSearch", "Trained", "price", "runnable", "screened_s", "search", "trained"]

ALWAYS_REPLAYED = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One layout with its step by the replay of its schedule, and its memory, as plain numbers."""

    layout: Layout
    step: StepTime
    memory: TrainingMemory
    ranks_used: float
    replay: Replay

    @property
    def time_s(self) -> float:
        """Seconds of its step."""
        return float(self.step.time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSearch:
    """What the search found: the fastest that fits, others of different shape, and the nearest misses.

    `front` are layouts, of those within twice the best time, that none beats in step time, memory and cards together.
    `pruned_count` layouts were not priced: their degrees fit in no memory, or their kernels alone take longer.
    `near` are the degrees that come near to the best, or to fitting: those that a slightly better machine might favour.
    """

    best: Trained | None
    others: tuple[Trained, ...]
    misses: tuple[Candidate, ...]
    front: tuple[Trained, ...]
    considered_count: int
    feasible_count: int
    pruned_count: int
    near: Space
    interrupted: bool = False


def search(
    machine: Machine,
    work: Training,
    fixed: Mapping[str, float | str],
    depth: str = "standard",
    progress: Progress | None = None,
) -> TrainSearch:
    """Search layouts of `machine` for one training step; `fixed` pins degrees or choices.

    Rows of degrees come in the order of a lower bound, the time of their kernels alone, so that the search ends where
    no row can come near the best or onto the front any more. Interrupted, it returns what it has found so far.
    """
    whole = space(machine, work, fixed, depth)
    bound = bounds(machine, work, whole)
    order = np.argsort(bound, kind="stable")
    found, interrupted, done = Screened(), False, 0
    each = whole.points_count // whole.rows_count
    try:
        for piece in whole.rows(order).pieces():
            if bound[order[done // each]] > FRONT_FACTOR * found.best_s:
                found.pruned_count += whole.points_count - done
                break
            screen(machine, work, piece, found)
            done += piece.points_count
            if progress is not None:
                progress(done, whole.points_count)
    except KeyboardInterrupt:
        interrupted = True
    return _result(machine, work, found, whole, interrupted=interrupted)


def trained(machine: Machine, work: Training, layout: Layout) -> Trained:
    """Return a layout with the time of its schedule's replay, stage by stage, and its memory."""
    tokens = float(work.sequence_tokens)
    step, made = replayed_step(machine.engine, layout, (float(work.batch_sequences), tokens))
    memory = training_memory(machine.spec, layout, tokens, step.micro_batches)
    return Trained(
        layout=layout,
        step=step,
        memory=at_row(memory, 0),
        ranks_used=float(layout.ranks_count),
        replay=made,
    )


def _result(machine: Machine, work: Training, found: Screened, whole: Space, *, interrupted: bool) -> TrainSearch:
    """Replay the finalists and the front, and rank them by it."""
    near = [
        item
        for place, item in enumerate(found.ranked())
        if place < ALWAYS_REPLAYED or item.time_s <= NEAR_FACTOR * found.best_s
    ]
    ranked = sorted((trained(machine, work, item.layout) for item in near), key=lambda item: item.time_s)
    best = ranked[0] if ranked else None
    points = [item for item in found.front.values() if item.time_s <= FRONT_FACTOR * found.best_s]
    front = [trained(machine, work, item.layout) for item in _worth_replaying(points)]
    best_of = _undominated([*ranked, *front])
    misses = [item for _, _, item in sorted(found.misses, key=lambda entry: -entry[0])]
    return TrainSearch(
        best=best,
        others=_distinct([*ranked[1:], *sorted(front, key=lambda item: item.time_s)], best),
        misses=tuple(misses),
        front=tuple(best_of),
        considered_count=whole.points_count,
        feasible_count=found.feasible_count,
        pruned_count=found.pruned_count,
        near=found.nearest(whole),
        interrupted=interrupted,
    )


def _worth_replaying(items: Sequence[Candidate]) -> list[Candidate]:
    """Return those that none beats in time, memory and ranks together, by closed forms."""
    front: list[Candidate] = []
    for item in sorted(items, key=lambda one: (one.time_s, one.held_bytes, one.ranks_count)):
        if not any(one.held_bytes <= item.held_bytes and one.ranks_count <= item.ranks_count for one in front):
            front.append(item)
    return front


def _undominated(items: list[Trained]) -> list[Trained]:
    """Return those that none beats in time, memory and ranks together, fastest first."""
    front: list[Trained] = []
    for item in sorted(items, key=lambda one: (one.time_s, float(one.memory.total_bytes), one.ranks_used)):
        held, ranks = float(item.memory.total_bytes), item.ranks_used
        if not any(float(one.memory.total_bytes) <= held and one.ranks_used <= ranks for one in front):
            front.append(item)
    return front


def _distinct(items: list[Trained], best: Trained | None) -> tuple[Trained, ...]:
    """Return up to five layouts whose degrees differ from the best and from each other in more than a choice."""
    seen = {shape(best.layout)} if best else set()
    kept: list[Trained] = []
    for item in items:
        if shape(item.layout) not in seen and len(kept) < 5:
            seen.add(shape(item.layout))
            kept.append(item)
    return tuple(kept)


def shape(layout: Layout) -> tuple[float, ...]:
    """Return the degrees that make two layouts different kinds of plan."""
    return tuple(float(getattr(layout, name)) for name in ("tensor", "context", "pipeline", "expert"))
