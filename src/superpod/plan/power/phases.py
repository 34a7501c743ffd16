"""What chips do in a training step or while serving, as activities that power follows from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.facility.power.chip import Activity
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving, Training
from superpod.plan.serving.explain import passes, used_ranks
from superpod.plan.serving.search import Deployment, decode_ranks, instance_ranks
from superpod.plan.training.search import Trained
from superpod.result import Term
from superpod.serve.steady import Apart, Decode
from superpod.workload.build import head, layer
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, ELEMENTWISE, GEMM, Op, backward
from superpod.workload.phase import Phase, training_phase

# Leaves of a training step whose time is not spent in kernels, and whether links are busy then.
WAITS = {
    "tensor-parallel collectives": 1.0,
    "context-parallel exchange": 1.0,
    "expert all-to-all": 1.0,
    "expert dispatch": 1.0,
    "expert combine": 1.0,
    "pipeline transfers": 1.0,
    "data-parallel collectives": 1.0,
    "host memory transfers": 0.0,
    "pipeline bubble": 0.0,
    "host": 0.0,
}
STREAMS = ("optimizer update", "gradient copies")  # kernels that only move bytes
BUBBLE = "pipeline bubble"
IDLE_LEAST = 1e-9
UNFUSED = {"scores", "softmax", "attention dropout", "values"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Chips that all do the same on average: what each does in one cycle of the work."""

    name: str
    chips_count: float
    activities: tuple[Activity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Kernels of one kind on one rank: seconds as they run, at peak rate, at peak bandwidth, and by the clock."""

    time_s: float = 0.0
    at_peak_s: float = 0.0
    moving_s: float = 0.0
    bound_s: float = 0.0

    def plus(self, other: "Sums", times: float) -> "Sums":
        """Return self + times x other."""
        return Sums(**{name: getattr(self, name) + times * getattr(other, name) for name in self.__dataclass_fields__})

    def activity(self, name: str, time_s: float, *, routed: bool, steady: bool) -> Activity:
        """Return these kernels as an activity of some length: utilisations are shares of that length's own kernels."""
        own = max(self.time_s, 1e-300)
        return Activity(
            name=name,
            kind="kernel",
            time_s=time_s,
            flop_frac=self.at_peak_s / own,
            memory_frac=min(self.moving_s / own, 1.0),
            bound_frac=self.bound_s / own,
            routed=routed,
            steady=steady,
        )


def sums(engine: Engine, operators: Iterable[Op]) -> Sums:
    """Return the seconds of kernels, and what they would take at peak rate and at peak bandwidth.

    The share of a kernel that follows the clock is t_flop / (t_flop + t_memory).
    """
    found = Sums()
    for op in operators:
        time = float(engine.seconds((op,)))
        at_peak = float(op.flop) / engine.device.matrix_flop_per_s[op.dtype]
        moving = float(op.traffic_bytes) / engine.device.memory_bytes_per_s
        bound = time * at_peak / max(at_peak + moving, 1e-300)
        found = found.plus(Sums(time_s=time, at_peak_s=at_peak, moving_s=moving, bound_s=bound), 1.0)
    return found


def is_routed(spec: ModelSpec) -> bool:
    """Return whether a model is a mixture of experts."""
    return any(isinstance(group.ffn, MixtureOfExperts) for group in spec.layers)


def kernel_kind(op: Op) -> str:
    """Return the leaf of a training step that a kernel is counted in."""
    if op.kind in {ATTENTION, DECODE_ATTENTION} or op.name in UNFUSED or op.kind not in {GEMM, ELEMENTWISE}:
        return "attention kernels"
    return "elementwise kernels" if op.kind == ELEMENTWISE else "matrix products"


def training_kernels(engine: Engine, layout: Layout, phase: Phase) -> dict[str, Sums]:
    """Return the kernels of one micro-batch on the mean layer by kind, forward and backward, and the head."""
    found: dict[str, Sums] = {}
    part = layout.partition
    for group in engine.spec.layers:
        work = layer(engine.spec, group, phase, part, engine.precision)
        for op in work.operators:
            kind = kernel_kind(op)
            both = sums(engine, (op, *backward(op)))
            found[kind] = found.get(kind, Sums()).plus(both, float(group.count))
    ends = head(engine.spec, phase, part, engine.precision)
    found["vocabulary projection"] = sums(engine, [item for op in ends for item in (op, *backward(op))])
    return found


def loads_of(machine: Machine, work: Training | Serving, plan: Trained | Deployment) -> tuple[Load, ...]:
    """Return what chips do under a plan that a search found."""
    if isinstance(work, Training) and isinstance(plan, Trained):
        return training_loads(machine, work, plan)
    if isinstance(work, Serving) and isinstance(plan, Deployment):
        return serving_loads(machine, work, plan)
    raise TypeError(f"a plan of {type(plan).__name__} is none for {type(work).__name__}")


def training_loads(machine: Machine, work: Training, best: Trained) -> tuple[Load, ...]:
    """Return what the mean chip does in one step, and the chips that the layout leaves idle.

    Times are those of the slowest stage's breakdown; what the other stages do less is added to the bubble. Recomputed
    kernels are as busy as the mean of all.
    """
    engine, layout = machine.engine, best.layout
    tokens = float(work.sequence_tokens)
    phase = training_phase(layout.micro_batch, tokens, layout.context, fused_attention=bool(layout.fused_attention))
    kernels = training_kernels(engine, layout, phase)
    every = Sums()
    for part in kernels.values():
        every = every.plus(part, 1.0)
    busy = np.asarray(best.replay.busy_s, dtype=float)
    share = float(np.mean(busy) / np.max(busy))
    inner = {leaf.name for part in best.step.term.parts[:1] for leaf in part.leaves()}
    found: list[Activity] = []
    freed = 0.0
    for leaf in best.step.term.leaves():
        time = float(leaf.time_s)
        if leaf.name in inner:
            freed += time * (1.0 - share)
            time *= share
        found.append(_training_activity(engine, leaf.name, time, kernels, every))
    found = [replace(item, time_s=item.time_s + freed) if item.name == BUBBLE else item for item in found]
    chips = best.ranks_used / machine.fabric.ranks_per_chip
    step = Load(name="training step", chips_count=chips, activities=tuple(item for item in found if item.time_s > 0.0))
    return (step, *idle_load(machine.cards_count - chips, float(best.step.time_s)))


def _training_activity(engine: Engine, name: str, time_s: float, kernels: dict[str, Sums], every: Sums) -> Activity:
    """Return one leaf of a step as an activity."""
    if name in WAITS:
        return Activity(name=name, kind="wait", time_s=time_s, link_frac=WAITS[name])
    if name in STREAMS:
        share = engine.device.calibration.memory_frac
        return Activity(name=name, kind="kernel", time_s=time_s, memory_frac=share, steady=True)
    return kernels.get(name, every).activity(name, time_s, routed=False, steady=True)


def idle_load(chips: float, time_s: float) -> tuple[Load, ...]:
    """Return chips without work."""
    if chips < 0.5:
        return ()
    return (Load(name="idle", chips_count=chips, activities=(Activity(name="idle", kind="idle", time_s=time_s),)),)


def serving_loads(machine: Machine, work: Serving, best: Deployment) -> tuple[Load, ...]:
    """Return what the chips of each pool do: a decode step, a prefill pass, or both in turn.

    See `pass_activities`.
    """
    made = pass_activities(machine.engine, work, best)
    chips = used_ranks(best) / machine.fabric.ranks_per_chip
    idle = idle_load(machine.cards_count - chips, 1.0)
    if best.mode == "aggregated":
        mixed = in_turn({"decode": 1.0 - best.prompt_frac, "prefill": best.prompt_frac}, made)
        return (Load(name="decode and prefill in turn", chips_count=chips, activities=mixed), *idle)
    each = machine.fabric.ranks_per_chip
    decode = best.decode_instances * float(decode_ranks(best.decode)) / each
    prefill = best.prefill_instances * float(instance_ranks(best.prefill.layout)) / each
    return (
        Load(name="decode pool", chips_count=decode, activities=made["decode"]),
        Load(name="prefill pool", chips_count=prefill, activities=made["prefill"]),
        *idle,
    )


def pass_activities(engine: Engine, work: Serving, best: Deployment) -> dict[str, tuple[Activity, ...]]:
    """Return what a chip does in a decode step and in a prefill pass.

    A decode step is one activity with the utilisations of its whole time, waits included, as the shares of chips were
    fitted to serving; a prefill pass is kernels and waits apart, as in training.
    """
    steps = dict(zip(("decode", "prefill"), passes(work, best), strict=True))
    terms = {"decode": best.decode.term, "prefill": best.prefill.term}
    made = {name: _pass_activities(engine, *steps[name][1:], terms[name]) for name in steps}
    if best.decode.apart is not None:
        made["decode"] = apart_activities(engine, best.decode, best.decode.apart, steps["decode"][-1])
    return made


def in_turn(shares: Mapping[str, float], made: Mapping[str, tuple[Activity, ...]]) -> tuple[Activity, ...]:
    """Return a second of which each pass takes its share, and nothing the rest."""
    given = {name: share for name, share in shares.items() if share > 0.0}
    busy = tuple(_scaled(item, share, made[name]) for name, share in given.items() for item in made[name])
    left = 1.0 - sum(shares.values())
    return busy if left < IDLE_LEAST else (*busy, Activity(name="idle", kind="idle", time_s=left))


def apart_activities(engine: Engine, one: Decode, apart: Apart, phase: Phase) -> tuple[Activity, ...]:
    """Return a decode step of the mean chip of both sides: attention on its ranks, feed-forward on the others.

    What all ranks do in a step over all ranks: the shares of chips were fitted to means like these.
    """
    near, far = float(one.layout.tensor * one.layout.data), float(apart.layout.tensor * apart.layout.data)
    groups = float(one.layout.data / apart.layout.data)
    there = replace(phase, sequences=phase.sequences * groups, tokens=phase.tokens * groups)
    sides = ((one.layout, phase, near), (apart.layout, there, far))
    parts = [replace(layout.partition, sequence_parallel=False) for layout, _, _ in sides]
    mean = [ranks / (near + far) for _, _, ranks in sides]
    every = Sums().plus(sums(engine, head(engine.spec, phase, parts[0], engine.precision)), mean[0])
    for group in engine.spec.layers:
        attention, other = (
            layer(engine.spec, group, side[1], part, engine.precision) for side, part in zip(sides, parts, strict=True)
        )
        every = every.plus(sums(engine, attention.attention), float(group.count) * mean[0])
        every = every.plus(sums(engine, other.ffn), float(group.count) * mean[1])
    waited = float(apart.links_busy_frac * one.term.time_s)
    return (decode_activity(every, float(one.term.time_s), waited, routed=is_routed(engine.spec)),)


def _scaled(item: Activity, share: float, of: tuple[Activity, ...]) -> Activity:
    """Return an activity whose pass takes `share` of a second."""
    whole = sum(float(one.time_s) for one in of)
    return replace(item, time_s=share * float(item.time_s) / whole)


def _pass_activities(engine: Engine, layout: Layout, phase: Phase, term: Term) -> tuple[Activity, ...]:
    """Return one pass of serving as activities."""
    part = replace(layout.partition, sequence_parallel=phase.kind == "prefill")
    every = sums(engine, head(engine.spec, phase, part, engine.precision))
    for group in engine.spec.layers:
        work = layer(engine.spec, group, phase, part, engine.precision)
        every = every.plus(sums(engine, work.operators), float(group.count))
    whole, waits = float(term.time_s), {leaf.name: float(leaf.time_s) for leaf in term.leaves() if leaf.name in WAITS}
    if phase.kind == "decode":
        return (decode_activity(every, whole, sum(waits.values()), routed=is_routed(engine.spec)),)
    found = [every.activity("prefill kernels", whole - sum(waits.values()), routed=False, steady=True)]
    found += [
        Activity(name=name, kind="wait", time_s=time, link_frac=WAITS[name]) for name, time in waits.items() if time > 0
    ]
    return tuple(found)


def decode_activity(every: Sums, time_s: float, waited_s: float, *, routed: bool) -> Activity:
    """Return a decode step of `time_s`, with utilisations over its whole length."""
    return Activity(
        name="decode step",
        kind="kernel",
        time_s=time_s,
        flop_frac=every.at_peak_s / time_s,
        memory_frac=min(every.moving_s / time_s, 1.0),
        link_frac=min(waited_s / time_s, 1.0),
        bound_frac=min(every.bound_s / time_s, 1.0),
        routed=routed,
    )
