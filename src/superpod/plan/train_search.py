"""Which layout trains fastest: enumerate degrees as columns, price each group of choices in one call, keep the best."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from superpod.catalog.model_spec import LinearAttention, MixtureOfExperts, ModelSpec
from superpod.errors import ScenarioError
from superpod.parallel.layout import Layout, legal
from superpod.parallel.place import packed_ranks
from superpod.plan.machine import Machine
from superpod.plan.scenario import Training
from superpod.result import at_row
from superpod.train.memory import TrainingMemory, training_memory
from superpod.train.step import StepTime, step_time

Columns = dict[str, np.ndarray[Any, np.dtype[np.float64]]]
DEGREES = ("tensor", "context", "pipeline", "virtual", "expert", "expert_tensor", "micro_batch")
CHOICES = ("zero", "recompute", "overlap", "order")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One layout with its step and memory, as plain numbers."""

    layout: Layout
    step: StepTime
    memory: TrainingMemory
    ranks_used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSearch:
    """What the search found: the fastest that fits, others of different shape, and the nearest misses."""

    best: Trained | None
    others: tuple[Trained, ...]
    misses: tuple[Trained, ...]
    considered_count: int
    feasible_count: int


def search(machine: Machine, work: Training, fixed: Mapping[str, float | str]) -> TrainSearch:
    """Search layouts of `machine` for one training step; `fixed` pins degrees or choices."""
    check_fixed(fixed)
    columns = enumerate_degrees(machine, work, fixed)
    found: list[tuple[float, Trained]] = []
    misses: list[tuple[float, Trained]] = []
    considered = feasible = 0
    for choice in choices(machine.spec, fixed):
        batch = Layout(**columns, **choice)  # type: ignore[arg-type]
        step, memory = price(machine, work, batch)
        fits = memory.total_bytes <= machine.device.memory_bytes
        considered += len(columns["tensor"])
        feasible += int(np.sum(fits))
        found += top(batch, step, memory, np.where(fits, step.time_s, np.inf), 6)
        misses += top(batch, step, memory, np.where(fits, np.inf, memory.total_bytes), 2)
    found.sort(key=lambda item: item[0])
    misses.sort(key=lambda item: item[0])
    best = found[0][1] if found else None
    return TrainSearch(
        best=best,
        others=distinct([item for _, item in found[1:]], best),
        misses=tuple(item for _, item in misses[:3]),
        considered_count=considered,
        feasible_count=feasible,
    )


def price(machine: Machine, work: Training, layout: Layout) -> tuple[StepTime, TrainingMemory]:
    """Return step time and memory of a layout or of columns of them."""
    batch = (float(work.batch_sequences), float(work.sequence_tokens))
    step = step_time(machine.engine, layout, batch)
    return step, training_memory(machine.spec, layout, float(work.sequence_tokens), step.micro_batches)


def enumerate_degrees(machine: Machine, work: Training, fixed: Mapping[str, float | str]) -> Columns:
    """Return every legal combination of degrees as columns; ranks left over by a combination stay idle.

    Data parallelism takes what the other axes leave, at most one rank a sequence.
    """
    spec, ranks = machine.spec, machine.ranks_count
    axes = [axis_values(name, spec, machine, work, fixed) for name in DEGREES]
    grid = np.meshgrid(*[np.asarray(values, dtype=float) for values in axes], indexing="ij")
    columns: Columns = {name: values.ravel() for name, values in zip(DEGREES, grid, strict=True)}
    inner = columns["tensor"] * columns["context"] * columns["pipeline"]
    unit = np.maximum(columns["tensor"] * columns["context"], columns["expert"] * columns["expert_tensor"])
    usable = packed_ranks(machine.fabric, float(ranks), unit)
    data = np.minimum(np.floor(usable / inner), float(work.batch_sequences))
    block = (
        columns["expert"]
        * columns["expert_tensor"]
        / np.gcd.reduce(
            [
                (columns["expert"] * columns["expert_tensor"]).astype(int),
                (columns["tensor"] * columns["context"]).astype(int),
            ]
        )
    )
    columns["data"] = np.floor(data / block) * block  # expert groups must divide tensor x context x data
    if "data" in fixed:
        asked = float(fixed["data"])
        columns["data"] = np.where((asked <= data) & (np.mod(asked, block) == 0), asked, 0.0)
    columns = keep(columns, columns["data"] >= 1)
    sized = Layout(**columns)  # type: ignore[arg-type]
    good = legal(sized, heads=heads(spec), layers=spec.layers_count, experts=experts(spec))
    good &= np.asarray(columns["micro_batch"] * columns["data"] <= work.batch_sequences)
    if "data" not in fixed:
        good &= np.asarray(sized.ranks_count >= 0.5 * ranks)  # a layout that idles half the machine is no plan for it
    columns = keep(columns, good)
    if not len(columns["tensor"]):
        raise ScenarioError(
            f"no combination of degrees fits {ranks} ranks, {work.batch_sequences} sequences and {spec.name}",
            where=f"pods/{machine.pod.id}",
            hint="fewer cards (--cards), a larger --batch, or fewer pinned degrees",
        )
    return columns


def axis_values(
    name: str, spec: ModelSpec, machine: Machine, work: Training, fixed: Mapping[str, float | str]
) -> list[float]:
    """Return the degrees of one axis that are worth trying."""
    if name in fixed:
        return [float(fixed[name])]
    ranks = machine.ranks_count
    powers = [float(2**power) for power in range(12) if 2**power <= ranks]
    has_experts = experts(spec) > 1
    layers = spec.layers_count
    values: dict[str, list[float]] = {
        "tensor": [value for value in powers if value <= min(64.0, heads(spec))],
        "context": [value for value in powers if value <= max(1.0, work.sequence_tokens / 8192.0)],
        "pipeline": sorted(
            {1.0, *(value for value in powers if 2 <= value <= min(layers, 64)), *divisors(layers, ranks)}
        ),
        "virtual": [1.0, 2.0, 4.0],
        "expert": [value for value in powers if value <= experts(spec)] if has_experts else [1.0],
        "expert_tensor": [1.0],
        "micro_batch": [1.0, 2.0, 4.0],
    }
    return values[name]


def divisors(layers: int, ranks: int) -> list[float]:
    """Return divisors of the layer count up to 64 that also fit the machine."""
    return [float(stages) for stages in range(2, min(layers, ranks, 64) + 1) if layers % stages == 0]


def choices(spec: ModelSpec, fixed: Mapping[str, float | str]) -> list[dict[str, str]]:
    """Return combinations of the word choices."""
    overlap = ["data", "data+expert"] if experts(spec) > 1 else ["data"]
    options = {
        "zero": ["1", "3"],
        "recompute": ["none", "selective", "full"],
        "overlap": overlap[-1:],
        "order": ["tp-cp-dp-pp", "tp-cp-pp-dp"],
    }
    for name in CHOICES:
        if name in fixed:
            options[name] = [str(fixed[name])]
    return [dict(zip(options, combination, strict=True)) for combination in itertools.product(*options.values())]


def top(
    batch: Layout, step: StepTime, memory: TrainingMemory, score: np.ndarray[Any, Any], count: int
) -> list[tuple[float, Trained]]:
    """Return the `count` rows of the lowest finite score, as plain numbers."""
    order = np.argsort(score, kind="stable")[:count]
    return [(float(score[row]), trained(batch, step, memory, int(row))) for row in order if np.isfinite(score[row])]


def trained(batch: Layout, step: StepTime, memory: TrainingMemory, row: int) -> Trained:
    """Return one row of a priced batch."""
    layout = at_row(batch, row)
    return Trained(
        layout=layout, step=at_row(step, row), memory=at_row(memory, row), ranks_used=float(layout.ranks_count)
    )


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


def keep(columns: Columns, rows: np.ndarray[Any, Any]) -> Columns:
    """Return the columns at the rows that are True."""
    return {name: values[rows] for name, values in columns.items()}


def heads(spec: ModelSpec) -> float:
    """Return the heads that tensor ranks can share; linear layers count their key heads."""
    return float(
        min(
            group.attention.key_heads_count
            if isinstance(group.attention, LinearAttention)
            else group.attention.heads_count
            for group in spec.layers
        )
    )


def experts(spec: ModelSpec) -> float:
    """Return the routed experts of a layer, 1 for a dense model."""
    return float(
        max((group.ffn.experts_count for group in spec.layers if isinstance(group.ffn, MixtureOfExperts)), default=1)
    )


def check_fixed(fixed: Mapping[str, float | str]) -> None:
    """Raise ScenarioError for a pinned name that is no degree and no choice."""
    known = {*DEGREES, "data", *CHOICES}
    for name in fixed:
        if name not in known:
            raise ScenarioError(f"cannot pin {name!r}", where="layout", hint=f"known: {', '.join(sorted(known))}")
