"""Which layout trains fastest: a lattice is screened by closed forms, and the schedule of the finalists is replayed."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.scenario import Training
from superpod.plan.train_space import Columns, Space, keep, space
from superpod.result import Place, at_row, chosen
from superpod.train.memory import TrainingMemory, training_memory
from superpod.train.replayed import replayed_step
from superpod.train.schedules import SCHEDULES
from superpod.train.schedules.replay import Replay
from superpod.train.step import StepTime, kernel_bound, micro_batches, step_time

FINALISTS = 12  # of each schedule: closed forms err by a few percent, and alike for layouts of one schedule
NEAR_FACTOR = 1.1  # of the best time: what a machine a tenth better might make the best
NEAR_MOST = 64
FRONT_BINS = 24  # of memory, for the front: one point a bin and a number of cards

Progress = Callable[[int, int], None]
Heap = list[tuple[float, int, "Trained"]]  # (-what is to be low, tie-breaker, layout): the highest on top


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One layout with its step and memory, as plain numbers; a finalist also has its schedule replayed."""

    layout: Layout
    step: StepTime
    memory: TrainingMemory
    ranks_used: float
    replay: Replay | None = None

    @property
    def time_s(self) -> float:
        """Seconds of its step."""
        return float(self.step.time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSearch:
    """What the search found: the fastest that fits, others of different shape, and the nearest misses.

    `front` are the layouts that none beats in step time, memory and cards together. `pruned_count` layouts were never
    priced: their degrees fit in no memory, or their kernels alone take longer than the finalists do. `near` are the
    degrees that come near to the best, or to fitting: those that a slightly better machine might favour.
    """

    best: Trained | None
    others: tuple[Trained, ...]
    misses: tuple[Trained, ...]
    front: tuple[Trained, ...]
    considered_count: int
    feasible_count: int
    pruned_count: int
    near: Space
    interrupted: bool = False


@dataclass(slots=True, kw_only=True)
class _Found:
    """What is kept while the search goes on."""

    finalists: dict[str, Heap] = field(default_factory=dict)  # by schedule
    misses: Heap = field(default_factory=list)
    front: dict[tuple[float, int], Trained] = field(default_factory=dict)
    near: list[tuple[Any, Columns]] = field(default_factory=list)  # the best time and the degrees of rows
    considered: int = 0
    feasible: int = 0
    pruned: int = 0
    added: int = 0

    @property
    def best_s(self) -> float:
        """The least step time yet."""
        return min((-key for heap in self.finalists.values() for key, _, _ in heap), default=np.inf)

    @property
    def screened(self) -> list[Trained]:
        """The finalists of all schedules, fastest first."""
        entries = [entry for heap in self.finalists.values() for entry in heap]
        return [item for _, _, item in sorted(entries, key=lambda entry: (-entry[0], -entry[1]))]

    def worst_s(self, schedule: str) -> float:
        """What a layout of a schedule has to beat to become a finalist."""
        heap = self.finalists.get(schedule, [])
        return -heap[0][0] if len(heap) >= FINALISTS else np.inf


def search(
    machine: Machine,
    work: Training,
    fixed: Mapping[str, float | str],
    depth: str = "standard",
    progress: Progress | None = None,
) -> TrainSearch:
    """Search layouts of `machine` for one training step; `fixed` pins degrees or choices.

    Rows of degrees come in the order of a lower bound, the time of their kernels alone, so that the search ends where
    no row can come near the best any more. Interrupted, it returns what it has found so far.
    """
    whole = space(machine, work, fixed, depth)
    bound = _bounds(machine, work, whole)
    order = np.argsort(bound, kind="stable")
    found, interrupted, done = _Found(), False, 0
    each = whole.points_count // whole.rows_count
    try:
        for piece in whole.rows(order).pieces():
            if bound[order[done // each]] > NEAR_FACTOR * found.best_s:
                found.pruned += whole.points_count - done
                break
            _screen(machine, work, piece, found)
            done += piece.points_count
            if progress is not None:
                progress(done, whole.points_count)
    except KeyboardInterrupt:
        interrupted = True
    found.considered = whole.points_count
    return _result(machine, work, found, whole, interrupted=interrupted)


def screened_s(machine: Machine, work: Training, among: Space) -> float:
    """Return the least step time among layouts by closed forms alone; infinite where none fits."""
    found = _Found()
    for piece in among.pieces():
        _screen(machine, work, piece, found)
    return found.best_s


def price(machine: Machine, work: Training, layout: Layout) -> tuple[StepTime, TrainingMemory]:
    """Return step time and memory of a layout or of a lattice of them, by closed forms."""
    batch = (float(work.batch_sequences), float(work.sequence_tokens))
    step = step_time(machine.engine, layout, batch)
    return step, training_memory(machine.spec, layout, float(work.sequence_tokens), step.micro_batches)


def _bounds(machine: Machine, work: Training, whole: Space) -> np.ndarray[Any, Any]:
    """Return seconds that no choice can beat, for each row of degrees."""
    batch = (float(work.batch_sequences), float(work.sequence_tokens))
    rows = Layout(**whole.degrees)  # type: ignore[arg-type]
    bound = kernel_bound(machine.engine, rows, batch, whole.choices["schedule"])
    return np.broadcast_to(np.asarray(bound), (whole.rows_count,))


def _screen(machine: Machine, work: Training, piece: Space, found: _Found) -> None:
    """Price a piece of the lattice: memory first, time where any choice fits; keep what may matter later."""
    tokens = float(work.sequence_tokens)
    lattice = piece.layout()
    passes = micro_batches(lattice, float(work.batch_sequences))
    allowed = np.broadcast_to(runnable(lattice, passes), piece.shape)
    memory = training_memory(machine.spec, lattice, tokens, passes)
    held = np.where(allowed, memory.total_bytes, np.inf)
    fits = (held <= machine.device.memory_bytes) & (memory.offloaded_bytes <= machine.host.memory_bytes)
    rows = fits.reshape(piece.rows_count, -1).any(axis=1)
    if not rows.any():
        _keep_misses(machine, work, piece, held, found)
        found.pruned += piece.points_count
        return
    found.pruned += int(np.sum(~rows)) * (piece.points_count // piece.rows_count)
    kept, fits, held = piece.rows(rows), fits[rows], held[rows]
    layout = kept.layout()
    step = step_time(machine.engine, layout, (float(work.batch_sequences), tokens))
    time = np.where(fits, step.time_s, np.inf)
    found.feasible += int(np.sum(fits))
    _keep_finalists(machine, work, kept, layout, time, found)
    _keep_front(machine, work, layout, time, held, found)
    fastest = time.reshape(kept.rows_count, -1).min(axis=1)
    near = np.argsort(fastest, kind="stable")[:NEAR_MOST]
    found.near.append((fastest[near], kept.rows(near).degrees))


def _keep_finalists(machine: Machine, work: Training, kept: Space, layout: Layout, time: Any, found: _Found) -> None:
    """Keep the fastest layouts of each schedule."""
    axis = 1 + list(kept.choices).index("schedule")
    for number, name in enumerate(kept.choices["schedule"]):
        part = time.take([number], axis=axis)
        heap = found.finalists.setdefault(name, [])
        for place in _lowest(part, FINALISTS):
            if part[place] < found.worst_s(name):
                whole = (*place[:axis], number, *place[axis + 1 :])
                _push(found, heap, -float(part[place]), _priced(machine, work, layout, whole), FINALISTS)


def runnable(layout: Layout, passes: Any) -> Any:
    """Return where the schedule is defined for the degrees, and where experts' traffic finds kernels to run beside.

    That takes another micro-batch at work on the same stage: DualPipe pairs them by design; 1F1B as Megatron-Core does,
    with interleaved chunks or without a pipeline, and not where whole layers are recomputed.
    """
    good: Any = True
    for name, schedule in SCHEDULES.items():
        here = layout.schedule == name
        if np.any(here):
            defined = schedule.legal(layout.pipeline, layout.virtual, passes)
            single = (np.asarray(layout.pipeline) > 1) | (name == "1f1b")
            good = good & np.where(here, defined & single, True)
    looped = (layout.schedule == "1f1b") & ((np.asarray(layout.virtual) > 1) | (np.asarray(layout.pipeline) <= 1))
    paired = looped & (passes > 1) & ~np.asarray(chosen(layout.recompute, "full"))
    paired = paired | chosen(layout.schedule, "dualpipe", "dualpipev")
    return good & np.where(chosen(layout.overlap, "data+expert"), paired & (np.asarray(layout.expert) > 1), True)


def _priced(machine: Machine, work: Training, lattice: Layout, place: Place) -> Trained:
    layout = at_row(lattice, place)
    step, memory = price(machine, work, layout)
    return Trained(layout=layout, step=at_row(step, 0), memory=at_row(memory, 0), ranks_used=float(layout.ranks_count))


def _lowest(values: np.ndarray[Any, Any], count: int) -> list[tuple[int, ...]]:
    """Return the places of the lowest finite values, lowest first."""
    flat = values.ravel()
    count = min(count, flat.size)
    near = np.argpartition(flat, count - 1)[:count]
    near = near[np.argsort(flat[near], kind="stable")]
    return [place_of(item, values.shape) for item in near if np.isfinite(flat[item])]


def place_of(item: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return where an element of the flat lattice lies along each axis."""
    return tuple(int(axis) for axis in np.unravel_index(item, shape))


def _push(found: _Found, heap: Heap, key: float, item: Trained, most: int) -> None:
    found.added += 1
    heapq.heappush(heap, (key, -found.added, item))
    if len(heap) > most:
        heapq.heappop(heap)


def _keep_misses(machine: Machine, work: Training, piece: Space, held: Any, found: _Found) -> None:
    """Keep the layouts nearest to fitting, for the answer that nothing fits."""
    for place in _lowest(np.asarray(held), 2):
        if len(found.misses) < 3 or held[place] < -found.misses[0][0]:
            _push(found, found.misses, -float(held[place]), _priced(machine, work, piece.layout(), place), 3)


def _keep_front(machine: Machine, work: Training, layout: Layout, time: Any, held: Any, found: _Found) -> None:
    """Keep the fastest layout of each bin of memory and each number of cards, of those within twice the best time."""
    limit = 2.0 * min(float(np.min(time)), *(item.time_s for item in found.front.values()), np.inf)
    flat = np.flatnonzero(time.ravel() <= limit)
    if not flat.size:
        return
    ranks = np.broadcast_to(layout.ranks_count, time.shape).ravel()[flat]
    bins = np.floor(held.ravel()[flat] / machine.device.memory_bytes * FRONT_BINS)
    spent = time.ravel()[flat]
    order = np.lexsort((spent, bins, ranks))
    keys = np.stack((ranks[order], bins[order]), axis=1)
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.any(keys[1:] != keys[:-1], axis=1)
    for item in order[first]:
        key = (float(ranks[item]), int(bins[item]))
        known = found.front.get(key)
        if known is None or float(spent[item]) < known.time_s:
            found.front[key] = _priced(machine, work, layout, place_of(flat[item], time.shape))


def _result(machine: Machine, work: Training, found: _Found, whole: Space, *, interrupted: bool) -> TrainSearch:
    """Replay the finalists and rank them by it."""
    near = [item for item in found.screened if item.time_s <= NEAR_FACTOR * found.best_s or len(found.screened) < 24]
    ranked = sorted((replayed(machine, work, item) for item in near), key=lambda item: item.time_s)
    best = ranked[0] if ranked else None
    front = _undominated([*ranked, *(replayed(machine, work, item) for item in _undominated([*found.front.values()]))])
    misses = [item for _, _, item in sorted(found.misses, key=lambda entry: -entry[0])]
    return TrainSearch(
        best=best,
        others=distinct([*ranked[1:], *front], best),
        misses=tuple(misses),
        front=tuple(front),
        considered_count=found.considered,
        feasible_count=found.feasible,
        pruned_count=found.pruned,
        near=_nearest(whole, found.near),
        interrupted=interrupted,
    )


def _nearest(whole: Space, pieces: list[tuple[Any, Columns]]) -> Space:
    """Return the fastest rows of several pieces as one space; rows that nearly fit come last."""
    if not pieces:
        return whole.rows(slice(0, 0))
    rows = {name: np.concatenate([piece[name] for _, piece in pieces]) for name in whole.degrees}
    first = np.argsort(np.concatenate([times for times, _ in pieces]), kind="stable")[:NEAR_MOST]
    return replace(whole, degrees=keep(rows, first))


def replayed(machine: Machine, work: Training, item: Trained) -> Trained:
    """Return a layout with the time of its schedule's replay, stage by stage, in place of the closed form."""
    if item.replay is not None:
        return item
    batch = (float(work.batch_sequences), float(work.sequence_tokens))
    step, made = replayed_step(machine.engine, item.layout, batch)
    return replace(item, step=step, replay=made)


def _undominated(items: list[Trained]) -> list[Trained]:
    """Return those that none beats in time, memory and ranks together, fastest first."""
    front: list[Trained] = []
    for item in sorted(items, key=lambda one: (one.time_s, float(one.memory.total_bytes), one.ranks_used)):
        held, ranks = float(item.memory.total_bytes), item.ranks_used
        if not any(float(one.memory.total_bytes) <= held and one.ranks_used <= ranks for one in front):
            front.append(item)
    return front


def distinct(items: list[Trained], best: Trained | None) -> tuple[Trained, ...]:
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
