"""A training step as a picture: what every stage does when, stream by stream."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.train.data_parallel import step_traffic
from superpod.train.replayed import Staged, replayed_step, staged
from superpod.train.schedules.replay import replay
from superpod.train.schedules.schedule import BACKWARD, FORWARD, FULL, KINDS, WEIGHT, Column
from superpod.train.schedules.times import Seconds

STREAMS = ("compute", "tensor", "context", "expert", "pipeline", "data", "optimizer", "offload")
COMPUTE, TENSOR, CONTEXT, EXPERT, PIPELINE, DATA, OPTIMIZER, OFFLOAD = range(len(STREAMS))
WORDS = (
    *KINDS,
    "host wait",
    "parameter gather",
    "gradient reduction",
    "data-parallel collectives",
    "gradient copies",
    "optimizer update",
    "host memory transfers",
)
HOST, GATHER, REDUCE, EXPOSED, COPY, UPDATE, MOVE = range(len(KINDS), len(WORDS))
AFTER = ((DATA, EXPOSED), (DATA, COPY), (OPTIMIZER, UPDATE), (OFFLOAD, MOVE))  # terms of a step that follow the replay
STAGE_EVENTS = 2_000  # blocks of a stage that a timeline holds, and of all stages
ALL_EVENTS = 64_000
PARTS = ((COMPUTE, -1), (TENSOR, -1), (CONTEXT, -1), (EXPERT, -1), (PIPELINE, -1), (COMPUTE, HOST))  # of a block

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Stretches of time as columns, sorted by stage, stream and start; -1 where a column says nothing.

    `stream` counts into `STREAMS`, `kind` into `WORDS`; a transfer goes to stage `to`, where what waits for it starts
    at `awaited_s` (NaN where that is not shown). What is not `exposed` runs beside kernels, at no time of its own.
    """

    stage: Column
    stream: Column
    kind: Column
    micro_batch: Column
    chunk: Column
    to: Column
    start_s: Seconds
    end_s: Seconds
    awaited_s: Seconds
    exposed: Flags

    def keep(self, chosen_rows: Flags | Column | slice) -> "Spans":
        """Return some of the rows."""
        return Spans(**{name: getattr(self, name)[chosen_rows] for name in self.__dataclass_fields__})

    def __len__(self) -> int:
        return len(self.stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """When so many micro-batches go on as before and are not shown: no block that starts then."""

    start_s: float
    end_s: float
    micro_batches_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimeline:
    """One step from its first start. `step_s` is the time between steps; `end_s` that of the last end.

    They differ where no stage's optimizer waits for another stage: a stage then starts its next step while later ones
    are still at this one. `kernels_s` is what kernels take of each stage in the whole step.
    """

    schedule: str
    stages_count: int
    chunks_count: int
    micro_batches_count: int
    step_s: float
    end_s: float
    kernels_s: Seconds
    spans: Spans
    gap: Gap | None

    def track(self, stage: int, stream: int) -> Spans:
        """Return what one stream of a stage does, in order of time."""
        key = self.spans.stage * len(STREAMS) + self.spans.stream
        low, high = np.searchsorted(key, [stage * len(STREAMS) + stream, stage * len(STREAMS) + stream + 1])
        return self.spans.keep(slice(int(low), int(high)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """F, B and W as the replay has them, stage after stage; a pair that runs together lies one after the other."""

    stage: Column
    chunk: Column
    micro_batch: Column
    kind: Column
    start_s: Seconds
    end_s: Seconds
    done_s: Seconds  # when the results leave: of a pair both at its end

    def keep(self, chosen_rows: Flags) -> "_Blocks":
        return _Blocks(**{name: getattr(self, name)[chosen_rows] for name in self.__dataclass_fields__})


def step_timeline(
    engine: Engine, layout: Layout, batch: tuple[float, float], stage_events_count: int = STAGE_EVENTS
) -> StepTimeline:
    """Return the timeline of one step of `batch` = (sequences, tokens each) by the replay of its schedule.

    Blocks (F, B, W of a micro-batch on a chunk), hops and their times are the replay's. What fills a block is drawn,
    not simulated: its kernels in one stretch, then what it waits for: tensor, context and expert collectives, transfers
    that run beside nothing, the host. Each is as long as the sum over the block's layers, where a stage alternates
    between kernels and collectives layer by layer. Tensor and context collectives share what the forward block waits
    for in proportion to their whole. Of data-parallel collectives what is exposed follows the stage's last block, that
    of all micro-batches in one stretch; the rest lies beside the first F and the last B of each chunk, or beside all
    where each micro-batch gathers or reduces.

    Beyond `stage_events_count` blocks a stage (`ALL_EVENTS` together) the steady middle is left out; what follows keeps
    its true time. Raises ScenarioError where the schedule is not defined for the degrees.
    """
    step, _ = replayed_step(engine, layout, batch)
    base = staged(engine, layout, batch)
    free = staged(replace(engine, fabric=replace(engine.fabric, ideal=True)), layout, batch)
    table = _parts_of_blocks(base, free)
    limit = min(stage_events_count, ALL_EVENTS // len(base.held))
    blocks, gap = _shown(base, table.sum(axis=0), limit)
    leaves = {leaf.name: float(leaf.time_s) for leaf in step.term.leaves()}
    shown, update = (leaves.get(WORDS[kind], 0.0) for kind in (EXPOSED, UPDATE))
    pieces = [
        *_inside(base, blocks, table),
        _hops(base, blocks),
        *_beside(blocks, base, _hidden_data(engine, layout, base, shown)),
        *_after(blocks, leaves),
    ]
    spans = _together(pieces)
    return StepTimeline(
        schedule=base.schedule.name,
        stages_count=len(base.held),
        chunks_count=base.held.shape[1],
        micro_batches_count=base.micro_batches_count,
        step_s=float(step.time_s),
        end_s=float(np.max(spans.end_s)),
        kernels_s=_kernels(base, table) + update,
        spans=spans,
        gap=gap,
    )


def _parts_of_blocks(base: Staged, free: Staged) -> Seconds:
    """Return seconds of each of `PARTS`, shape (parts, kinds, stages, chunks).

    `free` has a fabric that costs nothing: its forward pass is kernels alone.
    """
    body = {name: np.array([float(getattr(part.body, name)) for part in base.parts]) for name in _FIELDS}
    third, waited = (np.array([getattr(part, name) / 3.0 for part in base.parts]) for name in ("edge_s", "waited_s"))
    kernels = np.minimum([float(part.body.forward) for part in free.parts], body["forward"])
    sent, others = body["expert"] / 2.0, body["tensor"] + body["context"]
    ahead = np.clip(body["forward"] - kernels - sent, 0.0, others)
    ratio = np.divide(ahead, others, out=np.zeros_like(others), where=others > 0.0)
    hop = np.full_like(third, base.blocking_s)
    inputs = body["compute"] + body["recompute"] - kernels - body["weight"]
    forward = [kernels + third, ratio * body["tensor"], ratio * body["context"], sent, hop, waited]
    back = [inputs + third, (1.0 - ratio) * body["tensor"], (1.0 - ratio) * body["context"], sent, hop, waited]
    weight = [body["weight"] + third, *[np.zeros_like(third)] * 4, waited]
    table = np.zeros((len(PARTS), len(KINDS), len(third)))
    table[:, FORWARD], table[:, BACKWARD], table[:, WEIGHT] = forward, back, weight
    table[:, FULL] = table[:, BACKWARD] + table[:, WEIGHT]
    return table[:, :, base.held]


def _kernels(base: Staged, table: Seconds) -> Seconds:
    """Return what the kernels of all micro-batches take of each stage; copies of a part share them."""
    copies = base.held.size / len(base.parts)
    each: Seconds = (table[0, FORWARD] + table[0, FULL]).sum(axis=-1)
    return each * base.micro_batches_count / copies


_FIELDS = ("compute", "recompute", "weight", "tensor", "context", "expert", "forward")


def _shown(base: Staged, own_s: Seconds, limit: int) -> tuple[_Blocks, Gap | None]:
    """Return the blocks to show, about `limit` a stage, and the time between in which others are left out.

    A folded replay is that of a shorter step: its second half, moved, is the end of the whole one.
    """
    schedule, count = base.schedule, base.micro_batches_count
    stages, held = base.held.shape
    chunks = len(base.parts) // stages
    chains = held // chunks
    few = 3 * count * held / chains <= limit or schedule.affine
    made = replay(schedule, base.times, chunks, count, fold=not few)
    line, more = made.timeline, count - made.replayed_count
    blocks = _one_by_one(
        _Blocks(
            stage=line.stage,
            chunk=line.chunk,
            micro_batch=line.micro_batch,
            kind=line.kind,
            start_s=line.start_s,
            end_s=line.end_s,
            done_s=line.end_s,
        ),
        own_s,
    )
    low, high = _cut(blocks.start_s, blocks.end_s, limit * stages, halves=more > 0)
    if not more and low >= high:
        return blocks, None
    before, after = blocks.start_s < low, blocks.start_s >= high
    left = ~before & ~after & (blocks.stage == 0)
    omitted = int(np.max(np.bincount(blocks.kind[left] * held + blocks.chunk[left]), initial=0)) * chains + more
    later = float(made.makespan_s) - float(np.max(blocks.end_s))
    gap = Gap(start_s=low, end_s=high + later, micro_batches_count=omitted)
    return _moved(blocks, after, later, more).keep(before | after), gap


def _moved(blocks: _Blocks, rows: Flags, later_s: float, more: int) -> _Blocks:
    """Return blocks of which some are those of later micro-batches."""
    moved = np.where(rows, later_s, 0.0)
    return replace(
        blocks,
        micro_batch=blocks.micro_batch + np.where(rows, more, 0),
        start_s=blocks.start_s + moved,
        end_s=blocks.end_s + moved,
        done_s=blocks.done_s + moved,
    )


def _cut(start_s: Seconds, end_s: Seconds, most: int, *, halves: bool) -> tuple[float, float]:
    """Return from when to when blocks are left out, by their starts, so that at most about `most` are left."""
    begins = np.sort(start_s)
    if len(begins) > most:
        return float(begins[most // 2]), float(begins[-(most // 2)])
    middle = float(np.max(end_s)) / 2.0 if halves else 0.0
    return middle, middle


def _one_by_one(blocks: _Blocks, own_s: Seconds) -> _Blocks:
    """Return pairs that share their time one after the other, each with its share of it."""
    own = own_s[blocks.kind, blocks.stage, blocks.chunk]
    start, end = blocks.start_s.copy(), blocks.end_s.copy()
    same = (blocks.stage[1:] == blocks.stage[:-1]) & (start[1:] == start[:-1]) & (end[1:] == end[:-1])
    second = np.flatnonzero(same & (end[1:] > start[1:])) + 1
    cut = start[second] + (end - start)[second] * own[second - 1] / (own[second - 1] + own[second])
    start[second], end[second - 1] = cut, cut
    return replace(blocks, start_s=start, end_s=end)


def _spans(
    blocks: _Blocks,
    stream: int,
    start_s: Seconds,
    end_s: Seconds,
    *,
    kind: int = -1,
    exposed: bool = True,
    goes: tuple[Column, Seconds] | None = None,
) -> Spans:
    """Return one span a block, of the block's own kind unless another is given; empty ones are left out."""
    count = len(blocks.stage)
    none = np.full(count, -1)
    made = Spans(
        stage=blocks.stage,
        stream=np.full(count, stream),
        kind=blocks.kind if kind < 0 else np.full(count, kind),
        micro_batch=blocks.micro_batch,
        chunk=blocks.chunk,
        to=none if goes is None else goes[0],
        start_s=start_s,
        end_s=end_s,
        awaited_s=np.full(count, np.nan) if goes is None else goes[1],
        exposed=np.full(count, exposed),
    )
    return made.keep(end_s > start_s)


def _inside(base: Staged, blocks: _Blocks, table: Seconds) -> list[Spans]:
    """Return what fills the blocks: kernels, then waits; where a pair is faster than its two, the waits are shorter."""
    own = table[:, blocks.kind, blocks.stage, blocks.chunk]
    whole, kernels = blocks.end_s - blocks.start_s, own[0]
    waits = own[1:].sum(axis=0)
    worked = np.where(waits > 0.0, np.minimum(kernels, whole), whole)
    lengths = own * np.divide(whole - worked, waits, out=np.zeros_like(waits), where=waits > 0.0)
    lengths[0] = worked
    ends = blocks.start_s + np.cumsum(lengths, axis=0)
    goes = _next(base, blocks)
    made = [
        _spans(blocks, stream, ends[place] - lengths[place], ends[place], kind=kind, goes=goes)
        if stream == PIPELINE
        else _spans(blocks, stream, ends[place] - lengths[place], ends[place], kind=kind)
        for place, (stream, kind) in enumerate(PARTS)
        if np.any(own[place] > 0.0)
    ]
    hidden = np.array([float(part.body.hidden) / 2.0 for part in base.parts])[base.held][blocks.stage, blocks.chunk]
    hidden = np.where(blocks.kind == WEIGHT, 0.0, np.minimum(hidden, worked))
    return [*made, _spans(blocks, EXPERT, blocks.start_s, blocks.start_s + hidden, exposed=False)]


def _next(base: Staged, blocks: _Blocks) -> tuple[Column, Seconds]:
    """Return the other stage that waits for each block, and when its own block starts."""
    stages, held = base.held.shape
    chains = base.schedule.chains(stages, len(base.parts) // stages)
    ahead = np.full((2, stages, held, 2), -1)
    for chain in chains:
        one, two = chain[:-1], chain[1:]
        ahead[0, one[:, 0], one[:, 1]], ahead[1, two[:, 0], two[:, 1]] = two, one
    way, moves = np.where(blocks.kind == FORWARD, 0, 1), blocks.kind != WEIGHT
    names, number = np.unique(blocks.micro_batch, return_inverse=True)
    starts = np.full((2, stages, held, len(names)), np.nan)
    starts[way[moves], blocks.stage[moves], blocks.chunk[moves], number[moves]] = blocks.start_s[moves]
    to = ahead[way, blocks.stage, blocks.chunk]
    goes = moves & (to[:, 0] >= 0) & (to[:, 0] != blocks.stage)
    return np.where(goes, to[:, 0], -1), np.where(goes, starts[way, to[:, 0], to[:, 1], number], np.nan)


def _hops(base: Staged, blocks: _Blocks) -> Spans:
    """Return the transfers that run beside kernels, from the end of a block on."""
    to, awaited = _next(base, blocks)
    taken = np.where(to >= 0, base.hop_s, 0.0)
    return _spans(blocks, PIPELINE, blocks.done_s, blocks.done_s + taken, exposed=False, goes=(to, awaited))


def _hidden_data(engine: Engine, layout: Layout, base: Staged, shown_s: float) -> tuple[tuple[float, bool], ...]:
    """Return seconds of a step that parameters and gradients travel beside kernels, and whether every micro-batch's do.

    What is exposed is taken from both alike.
    """
    sent = step_traffic(engine, layout, float(base.micro_batches_count))
    gathers, reduces = float(sent.gathers_count), float(sent.reduces_count)
    ahead, behind = gathers * float(sent.gather_s), reduces * float(sent.reduce_s)
    bare = ahead + behind
    hidden = max(bare - shown_s, 0.0) / bare if bare > 0.0 else 0.0
    return (ahead * hidden, gathers > 1.0), (behind * hidden, reduces > 1.0)


def _beside(blocks: _Blocks, base: Staged, hidden: tuple[tuple[float, bool], ...]) -> list[Spans]:
    """Return the data-parallel collectives that run beside kernels."""
    forward = np.flatnonzero(blocks.kind == FORWARD)
    backward = np.flatnonzero((blocks.kind == BACKWARD) | (blocks.kind == FULL))[::-1]
    chunks = base.held.shape[1]
    copies = base.held.size / len(base.parts)  # they share the micro-batches
    made: list[Spans] = []
    for rows, kind, (seconds, always) in zip((forward, backward), (GATHER, REDUCE), hidden, strict=True):
        key = blocks.stage[rows] * chunks + blocks.chunk[rows]
        chosen_rows = np.sort(rows if always else rows[np.unique(key, return_index=True)[1]])
        each = seconds / (chunks * (base.micro_batches_count / copies if always else 1.0))
        mine = _Blocks(**{name: getattr(blocks, name)[chosen_rows] for name in blocks.__dataclass_fields__})
        ends = np.minimum(mine.start_s + each, mine.end_s)
        made.append(_spans(mine, DATA, mine.start_s, ends, kind=kind, exposed=False))
    return made


def _after(blocks: _Blocks, leaves: Mapping[str, float]) -> list[Spans]:
    """Return what each stage does after its last block, one after the other."""
    rows = np.append(blocks.stage[1:] != blocks.stage[:-1], True)
    last = replace(blocks.keep(rows), micro_batch=np.full(rows.sum(), -1), chunk=np.full(rows.sum(), -1))
    made: list[Spans] = []
    start = last.done_s
    for stream, kind in AFTER:
        end = start + leaves.get(WORDS[kind], 0.0)
        made.append(_spans(last, stream, start, end, kind=kind))
        start = end
    return made


def _together(pieces: list[Spans]) -> Spans:
    """Return all spans in order."""
    every = Spans(
        **{name: np.concatenate([getattr(item, name) for item in pieces]) for name in Spans.__dataclass_fields__}
    )
    return every.keep(np.lexsort((every.start_s, every.stream, every.stage)))
