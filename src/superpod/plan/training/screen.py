"""A lattice of layouts priced by closed forms, piece by piece: what is the fastest, and what else is worth a look."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.scenario import Training
from superpod.plan.training.space import Columns, Space, keep
from superpod.result import at_row, chosen
from superpod.train.memory import TrainingMemory, training_memory
from superpod.train.schedules import by_schedule
from superpod.train.step import StepTime, kernel_bound, micro_batches, step_time

FINALISTS = 12  # of each schedule: closed forms err by a few percent, and alike for layouts of one schedule
MISSES = 3
NEAR_MOST = 64  # rows of degrees that a slightly better machine might favour
NEAR_FACTOR = 1.1
FRONT_FACTOR = 2.0  # of the least step time: nobody waits longer to save memory or cards
FRONT_BINS = 24  # of memory, for the front: one point a bin and a number of cards

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layout with its step time by closed forms and what a rank of its fullest stage holds."""

    layout: Layout
    time_s: float
    held_bytes: float

    @property
    def ranks_count(self) -> float:
        """Ranks that it uses."""
        return float(self.layout.ranks_count)


Heap = list[tuple[float, int, Candidate]]  # (-what is to be low, -number, candidate): the highest on top


@dataclass(slots=True, kw_only=True)
class Screened:
    """What is kept while pieces of a lattice are priced.

    `finalists` are the fastest of each schedule, `misses` those nearest to fitting, `front` the fastest of each number
    of ranks and bin of memory, `near` the best times and degrees of rows that a slightly better machine might favour.
    """

    finalists: dict[str, Heap] = field(default_factory=dict)
    misses: Heap = field(default_factory=list)
    front: dict[tuple[float, int], Candidate] = field(default_factory=dict)
    near: list[tuple[Any, Columns]] = field(default_factory=list)
    best_s: float = np.inf
    feasible_count: int = 0
    pruned_count: int = 0
    added_count: int = 0

    def ranked(self) -> list[Candidate]:
        """Return the finalists of all schedules, fastest first."""
        entries = [entry for heap in self.finalists.values() for entry in heap]
        return [item for _, _, item in sorted(entries, key=lambda entry: (-entry[0], -entry[1]))]

    def nearest(self, whole: Space) -> Space:
        """Return the rows of the best times as one space; rows that fit in no memory yet come last."""
        if not self.near:
            return whole.rows(slice(0, 0))
        rows = {name: np.concatenate([piece[name] for _, piece in self.near]) for name in whole.degrees}
        first = np.argsort(np.concatenate([times for times, _ in self.near]), kind="stable")[:NEAR_MOST]
        return replace(whole, degrees=keep(rows, first))

    def push(self, heap: Heap, score: float, item: Candidate, most: int) -> None:
        """Add to a heap what is among its `most` lowest scores."""
        self.added_count += 1
        heapq.heappush(heap, (-score, -self.added_count, item))
        if len(heap) > most:
            heapq.heappop(heap)


def price(machine: Machine, work: Training, layout: Layout) -> tuple[StepTime, TrainingMemory]:
    """Return step time and memory of a layout or of a lattice of them, by closed forms."""
    batch = (float(work.batch_sequences), float(work.sequence_tokens))
    step = step_time(machine.engine, layout, batch)
    return step, training_memory(machine.spec, layout, float(work.sequence_tokens), step.micro_batches)


def bounds(machine: Machine, work: Training, whole: Space) -> np.ndarray[Any, Any]:
    """Return seconds that no choice can beat, for each row of degrees."""
    batch = (float(work.batch_sequences), float(work.sequence_tokens))
    rows = Layout(**whole.degrees)  # type: ignore[arg-type]
    bound = kernel_bound(machine.engine, rows, batch, whole.choices["schedule"])
    return np.broadcast_to(np.asarray(bound), (whole.rows_count,))


def screened_s(machine: Machine, work: Training, among: Space) -> float:
    """Return the least step time among layouts by closed forms alone; infinite where none fits."""
    found = Screened()
    for piece in among.pieces():
        screen(machine, work, piece, found)
    return found.best_s


def screen(machine: Machine, work: Training, piece: Space, found: Screened) -> None:
    """Price a piece of the lattice: memory first, time where any choice fits; keep what may matter later."""
    tokens, each = float(work.sequence_tokens), piece.points_count // piece.rows_count
    lattice = piece.layout()
    passes = micro_batches(lattice, float(work.batch_sequences))
    allowed = np.broadcast_to(runnable(lattice, passes), piece.shape)
    memory = training_memory(machine.spec, lattice, tokens, passes)
    held = np.where(allowed, memory.total_bytes, np.inf)
    fits = (held <= machine.device.memory_bytes) & (memory.offloaded_bytes <= machine.host.memory_bytes)
    rows = fits.reshape(piece.rows_count, -1).any(axis=1)
    _keep_misses(machine, piece, held, rows, found)
    found.pruned_count += int(np.sum(~rows)) * each
    if not rows.any():
        return
    kept, fits, held = piece.rows(rows), fits[rows], held[rows]
    layout = kept.layout()
    step = step_time(machine.engine, layout, (float(work.batch_sequences), tokens))
    time = np.where(fits, step.time_s, np.inf)
    found.best_s = min(found.best_s, float(np.min(time)))
    found.feasible_count += int(np.sum(fits))
    _keep_finalists(kept, layout, time, held, found)
    _keep_front(machine, layout, time, held, found)
    fastest = time.reshape(kept.rows_count, -1).min(axis=1)
    near = np.argsort(fastest, kind="stable")[:NEAR_MOST]
    found.near.append((fastest[near], kept.rows(near).degrees))


def runnable(layout: Layout, passes: Any) -> Any:
    """Return where the schedule is defined for the degrees, and where experts' traffic finds kernels to run beside.

    That takes another micro-batch at work on the same stage: DualPipe pairs them by design; 1F1B as Megatron-Core does,
    with interleaved chunks or without a pipeline, and not where whole layers are recomputed.
    """
    defined = by_schedule(
        layout.schedule, lambda item: np.where(item.legal(layout.pipeline, layout.virtual, passes), 1.0, 0.0)
    )
    good = (defined > 0.0) & ((np.asarray(layout.pipeline) > 1) | chosen(layout.schedule, "1f1b"))
    looped = (layout.schedule == "1f1b") & ((np.asarray(layout.virtual) > 1) | (np.asarray(layout.pipeline) <= 1))
    paired = looped & (passes > 1) & ~np.asarray(chosen(layout.recompute, "full"))
    paired = paired | chosen(layout.schedule, "dualpipe", "dualpipev")
    return good & np.where(chosen(layout.overlap, "data+expert"), paired & (np.asarray(layout.expert) > 1), True)


def _candidate(lattice: Layout, place: tuple[int, ...], time: float, held: Any) -> Candidate:
    return Candidate(layout=at_row(lattice, place), time_s=time, held_bytes=float(held[place]))


def _lowest(values: np.ndarray[Any, Any], count: int) -> list[tuple[int, ...]]:
    """Return the places of the lowest finite values, lowest first."""
    flat = values.ravel()
    count = min(count, flat.size)
    near = np.argpartition(flat, count - 1)[:count]
    near = near[np.argsort(flat[near], kind="stable")]
    return [_place(item, values.shape) for item in near if np.isfinite(flat[item])]


def _place(item: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return where an element of the flat lattice lies along each axis."""
    return tuple(int(axis) for axis in np.unravel_index(item, shape))


def _keep_finalists(kept: Space, layout: Layout, time: Any, held: Any, found: Screened) -> None:
    """Keep the fastest layouts of each schedule."""
    axis = 1 + list(kept.choices).index("schedule")
    for number, name in enumerate(kept.choices["schedule"]):
        part = time.take([number], axis=axis)
        heap = found.finalists.setdefault(name, [])
        for place in _lowest(part, FINALISTS):
            spent = float(part[place])
            if len(heap) < FINALISTS or spent < -heap[0][0]:
                whole = (*place[:axis], number, *place[axis + 1 :])
                found.push(heap, spent, _candidate(layout, whole, spent, held), FINALISTS)


def _keep_misses(machine: Machine, piece: Space, held: Any, rows: Any, found: Screened) -> None:
    """Keep the layouts nearest to fitting, and the degrees of those that a little more memory would let in."""
    without = np.where(rows.reshape(-1, *(1,) * (held.ndim - 1)), np.inf, held)
    for place in _lowest(without, MISSES):
        if len(found.misses) < MISSES or without[place] < -found.misses[0][0]:
            item = _candidate(piece.layout(), place, np.inf, held)
            found.push(found.misses, item.held_bytes, item, MISSES)
    least = without.reshape(piece.rows_count, -1).min(axis=1)
    close = np.flatnonzero(least <= NEAR_FACTOR * machine.device.memory_bytes)[:NEAR_MOST]
    if close.size:
        found.near.append((np.full(close.size, np.inf), piece.rows(close).degrees))


def _keep_front(machine: Machine, layout: Layout, time: Any, held: Any, found: Screened) -> None:
    """Keep the fastest layout of each bin of memory and each number of ranks."""
    flat = np.flatnonzero(time.ravel() <= FRONT_FACTOR * found.best_s)
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
            place = _place(flat[item], time.shape)
            found.front[key] = _candidate(layout, place, float(spent[item]), held)
