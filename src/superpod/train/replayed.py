"""One layout's step by the replay of its schedule, with the times of each stage's own layers."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import groups
from superpod.parallel.stages import part_layers
from superpod.train.layer import NOTHING, Pass, layer_pass
from superpod.train.schedules import SCHEDULES
from superpod.train.schedules.replay import Replay, replay
from superpod.train.schedules.schedule import Column, Schedule
from superpod.train.schedules.times import ChunkTimes
from superpod.train.stage_layers import layer_kinds
from superpod.train.step import (
    Pace,
    StepTime,
    assembled,
    edges,
    hop_time,
    hops_in_the_way,
    launch_wait,
    micro_batches,
)
from superpod.workload.phase import training_phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One micro-batch on one part of the model: its layers, what else it does, and how long the host makes it wait."""

    body: Pass
    layers_count: int
    edge_s: float
    waited_s: float

    @property
    def time_s(self) -> float:
        """All of it."""
        return float(self.body.time_s) + self.edge_s + self.waited_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What the replay of a layout runs on: `held[stage, chunk]` says which of `parts` lies where.

    A transfer between two stages takes `hop_s` beside kernels, or `blocking_s` of each of the two.
    """

    schedule: Schedule
    held: Column
    parts: tuple[Part, ...]
    times: ChunkTimes
    micro_batches_count: int
    hop_s: float
    blocking_s: float


def staged(engine: Engine, layout: Layout, batch: tuple[float, float]) -> Staged:
    """Return the parts of the model on their stages, each with the time of one micro-batch."""
    schedule = SCHEDULES[str(layout.schedule)]
    held = schedule.parts(int(layout.pipeline), int(layout.virtual))
    parts, hop = _parts(engine, layout, batch, held)
    blocking = hop if layout.virtual > 1 and layout.overlap == "none" else 0.0
    return Staged(
        schedule=schedule,
        held=held,
        parts=tuple(parts),
        times=_times(parts, held, blocking, hop - blocking),
        micro_batches_count=int(micro_batches(layout, batch[0])),
        hop_s=hop - blocking,
        blocking_s=blocking,
    )


def replayed_step(engine: Engine, layout: Layout, batch: tuple[float, float]) -> tuple[StepTime, Replay]:
    """Return the step of one layout and the replay that its bubble is from.

    The breakdown is that of the stage that is busy longest; what it is idle is the bubble, less the transfers that lie
    in its way. Raises ScenarioError where the schedule is not defined for the degrees.
    """
    base = staged(engine, layout, batch)
    held, parts, passes, blocking = base.held, base.parts, base.micro_batches_count, base.blocking_s
    made = replay(base.schedule, base.times, int(layout.virtual), passes)
    copies = held.shape[1] * held.shape[0] / len(parts)  # a micro-batch passes one of the copies of each part
    stage = int(np.argmax(made.busy_s))
    mine = [parts[part] for part in held[stage]]
    idle = max(float(made.time_s) - float(made.busy_s[stage]), 0.0)
    transfers = blocking * 2.0 * float(layout.virtual)
    if not blocking:
        transfers = min(float(hops_in_the_way(layout, base.hop_s, float(passes))), idle / passes)
    body = NOTHING
    for part in mine:
        body = body.plus(part.body.scaled(1.0 / copies))
    slowest = Pace(
        layers_count=sum(part.layers_count for part in mine) / copies,
        body=body,
        edge_s=sum(part.edge_s for part in mine) / copies,
        waited_s=sum(part.waited_s for part in mine) / copies,
        hops_s=transfers,
        others=NOTHING,
        others_edge_s=0.0,
    )
    bubble = float(made.time_s) - passes * float(slowest.time_s)
    return assembled(engine, layout, batch, slowest, max(bubble, 0.0)), made


def _parts(
    engine: Engine, layout: Layout, batch: tuple[float, float], held: np.ndarray[tuple[int, int], np.dtype[np.int64]]
) -> tuple[list[Part], float]:
    """Return the parts of the model in order, and the time of a hop between two stages."""
    spec = engine.spec
    phase = training_phase(layout.micro_batch, batch[1], layout.context, fused_attention=bool(layout.fused_attention))
    placed = groups(layout)
    passes = [layer_pass(engine, group, layout, phase, placed) for group in spec.layers]
    ends, kinds = edges(engine, layout, phase, passes[-1]), layer_kinds(spec)
    counts = part_layers(spec.layers_count, layout, held)
    parts: list[Part] = []
    for place, count in enumerate(counts):
        mine, kinds = Counter(kinds[:count]), kinds[count:]
        body = NOTHING
        for kind, number in mine.items():
            body = body.plus(passes[kind].scaled(float(number)))
        edge = float(ends.embedding_s) * (place == 0) + float(ends.head_s) * (place == len(counts) - 1)
        waited = float(launch_wait(engine, layout, body, float(count)))
        parts.append(Part(body=body, layers_count=count, edge_s=edge, waited_s=waited))
    return parts, float(hop_time(engine, layout, phase, placed))


def _times(
    parts: list[Part], held: np.ndarray[tuple[int, int], np.dtype[np.int64]], blocking: float, hop: float
) -> ChunkTimes:
    """Return seconds of each chunk: an edge is a third each way, and the host waits alike."""
    thirds = [(part.edge_s + part.waited_s) / 3.0 for part in parts]
    forward = np.array([float(part.body.forward) + third + blocking for part, third in zip(parts, thirds, strict=True)])
    backward = np.array(
        [float(part.body.backward) + third + blocking for part, third in zip(parts, thirds, strict=True)]
    )
    weight = np.array([float(part.body.weight) + third for part, third in zip(parts, thirds, strict=True)])
    return ChunkTimes(
        forward_s=forward[held],
        backward_s=backward[held],
        weight_s=weight[held],
        forward_hop_s=hop,
        backward_hop_s=hop,
    )
