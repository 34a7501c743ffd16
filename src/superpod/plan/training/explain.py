"""A training search put into an Answer: rates, where the time goes, what binds, why the others lose."""

from collections.abc import Mapping

from superpod.errors import InfeasibleError
from superpod.parallel.layout import Layout
from superpod.plan.answer import Answer, Repricer, binding_term
from superpod.plan.machine import Machine
from superpod.plan.measured import measured_note
from superpod.plan.report import Candidate, FrontPoint, Metric, Searched, Share
from superpod.plan.scenario import Training
from superpod.plan.training.levers import levers
from superpod.plan.training.search import Progress, Trained, TrainSearch, price, search
from superpod.plan.training.space import FLAGS
from superpod.result import Limit, at_row
from superpod.train.memory import TrainingMemory, stage_memory
from superpod.units import DAY_S, human, percent
from superpod.workload.phase import Phase, training_phase

SHOWN = (
    "tensor",
    "context",
    "pipeline",
    "virtual",
    "data",
    "shard",
    "expert",
    "expert_tensor",
    "micro_batch",
    "zero",
    "recompute",
    "schedule",
    "split",
    "overlap",
    "tensor_overlap",
    "context_kind",
    "offload",
    "order",
    "gradient_bytes",
    *FLAGS,
)
# Left out where they say nothing.
UNUSED: dict[str, float | str] = {
    "shard": 0.0,
    "tensor_overlap": "none",
    "offload": "none",
    "split": "even",
    "gradient_bytes": 4.0,
    **dict.fromkeys(FLAGS, 1.0),
}


def answer(
    machine: Machine,
    work: Training,
    fixed: Mapping[str, float | str],
    depth: str = "standard",
    progress: Progress | None = None,
) -> tuple[Answer, Repricer]:
    """Search and explain; raise InfeasibleError with the nearest misses where nothing fits."""
    found = search(machine, work, fixed, depth, progress)
    if found.best is None:
        raise infeasible(machine, found)
    best = found.best
    tokens = float(work.batch_sequences * work.sequence_tokens)

    def again(other: Machine) -> float:
        step, _ = price(other, work, best.layout)
        return tokens / float(step.time_s)

    return explained(machine, work, found, best), again


def explained(machine: Machine, work: Training, found: TrainSearch, best: Trained) -> Answer:
    """Return the answer for the best layout."""
    tokens = float(work.batch_sequences * work.sequence_tokens)
    time_s = float(best.step.time_s)
    memory = memory_limit(machine, best.memory)
    used = best.ranks_used / machine.fabric.ranks_per_chip
    return Answer(
        plan=best,
        headline=Metric(key="tokens_per_s", label="training throughput", value=tokens / time_s, unit="token/s"),
        metrics=metrics(machine, work, best),
        breakdowns=(best.step.term,),
        memory=memory_pools(machine, work, best),
        limits=(memory, cards_limit(machine, used), *host_limit(machine, best.memory)),
        binding=binding_term(best.step.term, memory),
        layout=described(best.layout),
        runners_up=runners_up(found, best, tokens),
        considered_count=found.considered_count,
        feasible_count=found.feasible_count,
        cards_used_count=used,
        searched=searched(machine, found),
        front=by_time(found),
        levers=lambda: () if found.interrupted else levers(machine, work, found.near),
        notes=(
            *(("interrupted: the best of what had been priced by then",) if found.interrupted else ()),
            f"{best.step.micro_batches:g} micro-batches a step, "
            f"pipeline bubble {percent(float(best.step.bubble_frac))} by the replay of {best.layout.schedule}",
            *measured_note(machine.engine, (("a training step", best.layout, micro_batch(work, best.layout)),)),
        ),
    )


def searched(machine: Machine, found: TrainSearch) -> Searched:
    """Return the front of a search."""
    front = tuple(
        FrontPoint(
            layout=described(item.layout),
            step_s=item.time_s,
            memory_bytes=float(item.memory.total_bytes),
            cards_count=item.ranks_used / machine.fabric.ranks_per_chip,
        )
        for item in by_time(found)
    )
    return Searched(pruned_count=found.pruned_count, interrupted=found.interrupted, front=front, levers=())


def by_time(found: TrainSearch) -> tuple[Trained, ...]:
    """Return the layouts of the front, the fastest first."""
    return tuple(sorted(found.front, key=lambda one: one.time_s))


def micro_batch(work: Training, layout: Layout) -> Phase:
    """Return the pass of one micro-batch."""
    tokens = float(work.sequence_tokens)
    return training_phase(layout.micro_batch, tokens, layout.context, fused_attention=bool(layout.fused_attention))


def metrics(machine: Machine, work: Training, best: Trained) -> tuple[Metric, ...]:
    """Return the rates of a step; utilisation against the peak of the number format and of BF16."""
    time_s = float(best.step.time_s)
    tokens = float(work.batch_sequences * work.sequence_tokens)
    rate = best.step.model_flop / time_s
    peaks = machine.device.matrix_flop_per_s
    made = [
        Metric(key="step_s", label="step time", value=time_s, unit="s"),
        Metric(
            key="tokens_per_s_per_card", label="per card", value=tokens / time_s / machine.cards_count, unit="token/s"
        ),
        Metric(
            key="model_flop_per_s_per_card",
            label="model FLOP/s per card",
            value=rate / machine.cards_count,
            unit="FLOP/s",
        ),
        Metric(
            key="mfu",
            label=f"MFU ({machine.precision.matmul} peak)",
            value=rate / machine.ranks_count / peaks[machine.precision.matmul],
            unit="",
        ),
    ]
    if machine.precision.matmul != "bf16":
        made.append(
            Metric(key="mfu_bf16", label="MFU (bf16 peak)", value=rate / machine.ranks_count / peaks["bf16"], unit="")
        )
    made.append(Metric(key="tokens_per_day", label="tokens a day", value=tokens / time_s * DAY_S, unit="token"))
    return tuple(made)


def memory_pools(machine: Machine, work: Training, best: Trained) -> tuple[tuple[str, tuple[Share, ...]], ...]:
    """Return what fills a rank of the fullest stage, and of the others where the pipeline has several."""
    if float(best.layout.pipeline) <= 1.0:
        return (("each rank", shares(best.memory)),)
    held = stage_memory(machine.spec, best.layout, float(work.sequence_tokens), best.step.micro_batches)
    named = {f"{name} stage": at_row(memory, 0) for name, memory in held.items()}
    if float(best.layout.pipeline) <= 2.0:
        del named["middle stage"]
    return tuple((name, shares(memory)) for name, memory in named.items())


def host_limit(machine: Machine, memory: TrainingMemory) -> tuple[Limit, ...]:
    """Return the limit of host memory where something is offloaded."""
    if not float(memory.offloaded_bytes):
        return ()
    return (
        Limit(
            code="host_memory",
            what="host memory of one rank's share",
            needed=float(memory.offloaded_bytes),
            available=machine.host.memory_bytes,
            unit="B",
            cure="offload less, or more host memory",
        ),
    )


def shares(memory: TrainingMemory) -> tuple[Share, ...]:
    """Return what fills a rank's memory."""
    named = {
        "weights": memory.weights_bytes,
        "gradients": memory.gradients_bytes,
        "optimizer state": memory.optimizer_bytes,
        "activations": memory.activations_bytes,
        "logits": memory.logits_bytes,
        "gathered layers": memory.gathered_bytes,
        "buffers": memory.buffers_bytes,
        "reserve": memory.reserve_bytes,
    }
    return tuple(Share(name=name, amount_bytes=float(amount)) for name, amount in named.items())


def memory_limit(machine: Machine, memory: TrainingMemory) -> Limit:
    """Return the memory limit of one rank."""
    return Limit(
        code="memory",
        what="device memory of one rank",
        needed=float(memory.total_bytes),
        available=machine.device.memory_bytes,
        unit="B",
        cure="more ranks, more pipeline or expert ranks, or recompute",
    )


def cards_limit(machine: Machine, used: float) -> Limit:
    """Return how many of the machine's cards the layout occupies."""
    return Limit(
        code="cards",
        what="cards that the degrees can use",
        needed=used,
        available=machine.cards_count,
        unit="cards",
        cure="another card count",
    )


def described(layout: Layout) -> Mapping[str, float | str]:
    """Return the layout for people and JSON, without the choices that are not used."""
    named = {name: getattr(layout, name) for name in SHOWN}
    if float(layout.context) <= 1.0:
        del named["context_kind"]
    return {
        name: value if isinstance(value, str) else float(value)
        for name, value in named.items()
        if name not in UNUSED or value != UNUSED[name]
    }


def layout_of(described: Mapping[str, float | str]) -> Layout:
    """Return the layout that `described` tells of."""
    flags = {name: bool(value) for name, value in described.items() if name in FLAGS}
    return Layout(**{**described, **flags})  # type: ignore[arg-type]


def runners_up(found: TrainSearch, best: Trained, tokens: float) -> tuple[Candidate, ...]:
    """Return other kinds of layout and why each loses: the part that grew most; then the nearest that do not fit."""
    kept = [
        Candidate(layout=described(item.layout), value=tokens / float(item.step.time_s), why=why_slower(item, best))
        for item in found.others
    ]
    kept += [
        Candidate(
            layout=described(miss.layout),
            value=0.0,
            why=f"does not fit: needs {human(miss.held_bytes, 'B')} a rank",
        )
        for miss in found.misses[:1]
    ]
    return tuple(kept)


def why_slower(item: Trained, best: Trained) -> str:
    """Return the part of the step that grew most against the best layout."""
    grown = {leaf.name: float(leaf.time_s) for leaf in item.step.term.leaves()}
    for leaf in best.step.term.leaves():
        grown[leaf.name] -= float(leaf.time_s)
    name = max(grown, key=lambda key: grown[key])
    slower = float(item.step.time_s) / float(best.step.time_s) - 1.0
    return f"{percent(slower)} slower: {name} +{human(grown[name], 's')}"


def infeasible(machine: Machine, found: TrainSearch) -> InfeasibleError:
    """Return the error that names the nearest misses and their margins, or what no degrees can run."""
    if not found.misses:
        return InfeasibleError(
            f"none of {found.considered_count:,} layouts can run: the schedule, or what is to overlap, is not defined"
            " for these degrees and micro-batches",
            where=f"pods/{machine.pod.id}",
            hint="fewer pinned degrees and choices; docs/theory/pipeline-schedules.md says when each schedule is legal",
        )
    capacity = machine.device.memory_bytes
    nearest = {short(miss.layout): miss.held_bytes for miss in found.misses}
    lines = [
        f"{name}: needs {human(held, 'B')} of {human(capacity, 'B')} a rank ({percent(1.0 - held / capacity)} margin)"
        for name, held in nearest.items()
    ]
    return InfeasibleError(
        f"none of {found.considered_count:,} layouts of {machine.spec.name} fits {machine.cards_count:,.0f} cards"
        "\n  nearest: " + "\n  nearest: ".join(lines),
        where=f"pods/{machine.pod.id}",
        hint="more cards, or fewer pinned degrees",
    )


def short(layout: Layout) -> str:
    """Return a layout in a few letters."""
    names = {"tensor": "tp", "context": "cp", "pipeline": "pp", "data": "dp", "expert": "ep"}
    degrees = " ".join(f"{mark}{float(getattr(layout, name)):g}" for name, mark in names.items())
    return f"{degrees} zero{layout.zero} recompute={layout.recompute}"
