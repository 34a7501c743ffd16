"""The time of one training step, as a breakdown whose parts sum to the whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import ModelSpec
from superpod.parallel.axes import data, pipeline
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import Groups, groups
from superpod.parallel.stages import stages
from superpod.result import Num, Term, chosen, total
from superpod.train.data_parallel import Window, exposed_s
from superpod.train.layer import NOTHING, Pass, both_ways, layer_pass
from superpod.train.offload import offload_traffic
from superpod.train.schedules import SCHEDULES, by_schedule
from superpod.train.stage_layers import copies_count
from superpod.train.weights import parameter_share
from superpod.workload.build import build
from superpod.workload.op import gemm
from superpod.workload.phase import Phase, own_rows, training_phase
from superpod.workload.precision import Precision

# Per parameter: gradient norm 4, clipping 8, Adam reads 16 and writes 12, master to 16-bit weight 6, zeroed gradient 4.
UPDATE_BYTES = 50.0
UNSCALE_BYTES = 8.0  # fp16 also divides gradients by the loss scale and looks for infinities


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Seconds of one micro-batch on the embedding and on the vocabulary projection with its loss, both directions."""

    embedding_s: Num
    head_s: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The slowest stage, which the others wait for: its layers, what else it does, and what the others do on average.

    `waited_s` is the time in which kernels wait for the host to launch them, `hops_s` that for transfers between
    stages. `others_edge_s` holds what the others do and wait for beside their layers.
    """

    layers_count: Num
    body: Pass
    edge_s: Num
    waited_s: Num
    hops_s: Num
    others: Pass
    others_edge_s: Num

    @property
    def time_s(self) -> Num:
        """One micro-batch on the slowest stage."""
        return self.body.time_s + self.edge_s + self.waited_s + self.hops_s


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One optimizer step; `micro_batches` passes over the pipeline, and the counts that the bubble rests on."""

    term: Term
    micro_batches: Num
    bubble_frac: Num
    model_flop: float

    @property
    def time_s(self) -> Num:
        """Seconds of the step."""
        return self.term.time_s


def micro_batches(layout: Layout, batch_sequences: float) -> Num:
    """Return the passes of one step: a data rank's sequences over the micro-batch, the last one part-filled."""
    return np.ceil(batch_sequences / (layout.data * layout.micro_batch))


def step_time(engine: Engine, layout: Layout, batch: tuple[float, float]) -> StepTime:
    """Return the time of one step of `batch` = (sequences, tokens each).

    Each of m micro-batches takes the slowest stage's forward and backward time; filling and draining the pipeline adds
    the bubble of the schedule, of the other stages' times. Stages hold whole layers, the first also the embedding, the
    last one the vocabulary projection.
    """
    sequences, tokens = batch
    phase = training_phase(layout.micro_batch, tokens, layout.context, fused_attention=bool(layout.fused_attention))
    placed, passes = groups(layout), micro_batches(layout, sequences)
    mean = mean_layer(engine, layout, phase, placed)
    ends = edges(engine, layout, phase, mean)
    slowest = pace(engine, layout, mean, ends, hop_time(engine, layout, phase, placed), passes)
    return assembled(engine, layout, (sequences, tokens), slowest, bubble_time(layout, slowest, passes))


def assembled(engine: Engine, layout: Layout, batch: tuple[float, float], slowest: Pace, bubble: Num) -> StepTime:
    """Return a step from the pace of its slowest stage and the time in which that stage is idle."""
    passes = micro_batches(layout, batch[0])
    term = total(
        "training step",
        _micro_batch_term(slowest).scaled(passes),
        Term(name="pipeline bubble", time_s=bubble),
        Term(name="data-parallel collectives", time_s=exposed_s(engine, layout, passes, window(slowest))),
        *_copies(engine, layout, passes),
        *_host_terms(engine, layout, batch[1], passes, slowest),
    )
    return StepTime(
        term=term,
        micro_batches=passes,
        bubble_frac=bubble / (passes * slowest.time_s + bubble),
        model_flop=model_flop(engine.spec, *batch),
    )


def kernel_bound(engine: Engine, layout: Layout, batch: tuple[float, float], schedules: Sequence[str]) -> Num:
    """Return seconds that no step of these degrees beats: kernels alone, spread evenly, and the least bubble.

    Nothing is sent, recomputed or waited for; `schedules` are those that may be chosen.
    """
    phase = training_phase(layout.micro_batch, batch[1], layout.context, fused_attention=bool(layout.fused_attention))
    passes = micro_batches(layout, batch[0])
    free = replace(engine, fabric=replace(engine.fabric, ideal=True))
    layer = mean_layer(free, replace(layout, recompute="none"), phase, groups(layout))
    ends = edges(free, layout, phase, layer)
    stage = layer.scaled(engine.spec.layers_count / layout.pipeline)
    edge = (ends.embedding_s + ends.head_s) / layout.pipeline
    # Bubbles shrink where a stage does more beside its layers: at least this share of the layers' own remains.
    left = np.maximum(1.0 - edge / stage.time_s / np.maximum(layout.pipeline - 1.0, 1.0), 0.0)
    idle: Num = np.inf
    for name in schedules:
        item = SCHEDULES[name]
        forward, backward, weight = (part * left for part in (stage.forward, stage.backward, stage.weight))
        spent = item.bubble_s(forward, backward, weight, layout.pipeline, layout.virtual, passes)
        idle = np.minimum(idle, np.where(item.legal(layout.pipeline, layout.virtual, passes), spent, np.inf))
    return passes * (stage.time_s + edge) + idle


def mean_layer(engine: Engine, layout: Layout, phase: Phase, placed: Groups) -> Pass:
    """Return one micro-batch on the mean layer: groups by their share of layers."""
    mean = NOTHING
    for group in engine.spec.layers:
        mean = mean.plus(
            layer_pass(engine, group, layout, phase, placed).scaled(group.count / engine.spec.layers_count)
        )
    return mean


def edges(engine: Engine, layout: Layout, phase: Phase, layer: Pass) -> Edges:
    """Return what the first and the last stage do beside their layers.

    Each multi-token-prediction layer adds a projection of two inputs to one, a layer like the last ones, and the loss
    again (DeepSeek-V3, arXiv 2412.19437, section 2.2).
    """
    spec = engine.spec
    work = build(replace(spec, layers=()), phase, layout.partition, engine.precision)
    head = both_ways(engine, work.head)
    if spec.mtp_layers_count:
        rows, hidden, size = own_rows(phase, layout.partition), float(spec.hidden_count), (2.0, 2.0)
        join = gemm("mtp projection", rows=rows, columns=hidden, depth=2.0 * hidden, dtype="bf16", element_bytes=size)
        head = head + spec.mtp_layers_count * (both_ways(engine, (join,)) + layer.time_s + head)
    return Edges(embedding_s=both_ways(engine, work.embedding), head_s=head)


def hop_time(engine: Engine, layout: Layout, phase: Phase, placed: Groups) -> Num:
    """Return the time of one transfer of a micro-batch's activations to the next stage; 0 for a single stage."""
    share = np.where(layout.scatter_gather, layout.tensor, 1.0)
    hop = pipeline.hop_time(engine.fabric, placed.pipeline, phase.tokens, engine.spec.hidden_count, share)
    return np.where(layout.pipeline > 1, hop, 0.0)


def pace(engine: Engine, layout: Layout, layer: Pass, ends: Edges, hop: Num, passes: Num) -> Pace:
    """Return the slowest of the middle stages, the first with the embedding and the last with the vocabulary."""
    laid = stages(engine.spec.layers_count, layout)
    first_edge = ends.embedding_s + np.where(laid.folded, ends.head_s, 0.0)
    last_edge = np.where(laid.folded, first_edge, ends.head_s)
    middle = laid.middle_count * layer.time_s
    first, last = laid.first_count * layer.time_s + first_edge, laid.last_count * layer.time_s + last_edge
    last_leads = (last >= first) & (last >= middle)
    first_leads = (first >= middle) & ~last_leads
    count = np.where(last_leads, laid.last_count, np.where(first_leads, laid.first_count, laid.middle_count))
    edge = np.where(last_leads, last_edge, np.where(first_leads, first_edge, 0.0))
    body = layer.scaled(count)
    waited = launch_wait(engine, layout, body, count)
    others = np.maximum(np.asarray(layout.pipeline) - 1.0, 1.0)
    left = np.maximum(engine.spec.layers_count - count, 0.0) / others
    return Pace(
        layers_count=count,
        body=body,
        edge_s=edge,
        waited_s=waited,
        hops_s=hops_in_the_way(layout, hop, passes),
        others=layer.scaled(left),
        others_edge_s=np.maximum(ends.embedding_s + ends.head_s - edge, 0.0) / others
        + waited * left / np.maximum(count, 1.0),
    )


def hops_in_the_way(layout: Layout, hop: Num, passes: Num) -> Num:
    """Return what the slowest stage waits for transfers between stages, per micro-batch, by the schedule's count.

    Where interleaved chunks' transfers run beside nothing, every one of them is waited for.
    """
    counted = by_schedule(layout.schedule, lambda item: item.hops_count(layout.pipeline, layout.virtual, passes))
    blocking = chosen(layout.overlap, "none") & (np.asarray(layout.virtual) > 1.0)
    return hop * np.where(blocking, 2.0 * layout.virtual, counted / passes)


def bubble_time(layout: Layout, slowest: Pace, passes: Num) -> Num:
    """Return the idle time of the slowest stage while the pipeline fills and drains, by the schedule's closed form."""
    forward = slowest.others.forward + slowest.others_edge_s / 3.0
    weight = slowest.others.weight + slowest.others_edge_s / 3.0
    backward = slowest.others.backward + slowest.others_edge_s / 3.0
    return by_schedule(
        layout.schedule,
        lambda item: item.bubble_s(forward, backward, weight, layout.pipeline, layout.virtual, passes),
    )


def launch_wait(engine: Engine, layout: Layout, body: Pass, layers: Num) -> Num:
    """Return how long a stage waits for its kernels to be launched: forward, and twice as many backward.

    Full recompute launches the forward kernels again.
    """
    rounds = np.where(chosen(layout.recompute, "full"), 4.0, 3.0)
    return np.maximum(rounds * engine.software.layer_s * layers - body.time_s, 0.0)


def _micro_batch_term(slowest: Pace) -> Term:
    """Return one micro-batch on the slowest stage by what it waits for."""
    body = slowest.body
    return total(
        "micro-batches",
        Term(name="attention kernels", time_s=body.attention),
        Term(name="matrix products", time_s=body.compute - body.attention - body.elementwise),
        Term(name="elementwise kernels", time_s=body.elementwise),
        Term(name="recompute", time_s=body.recompute),
        Term(name="vocabulary projection", time_s=slowest.edge_s),
        Term(name="tensor-parallel collectives", time_s=body.tensor),
        Term(name="context-parallel exchange", time_s=body.context),
        Term(name="expert all-to-all", time_s=body.expert),
        Term(name="pipeline transfers", time_s=slowest.hops_s),
        Term(name="host", time_s=slowest.waited_s),
    )


def model_flop(spec: ModelSpec, sequences: float, tokens: float) -> float:
    """Return the flop that the model itself asks of one step: products only, backward twice forward, no recompute.

    Causal attention counts half of the square, as fused kernels do.
    """
    phase = training_phase(1.0, tokens, 1.0, fused_attention=True)
    work = build(spec, phase, Layout().partition, _PLAIN)
    layers = sum(item.group.count * sum(float(op.flop) for op in item.operators) for item in work.layers)
    return 3.0 * sequences * (layers + sum(float(op.flop) for op in work.head))


_PLAIN = Precision(name="count", matmul="bf16", weight_bytes=2.0, activation_bytes=2.0)


def window(slowest: Pace) -> Window:
    """Return what data-parallel traffic may run beside on the slowest stage, expert traffic that is hidden left out."""
    free = np.maximum(slowest.body.time_s - slowest.body.hidden, 0.0)
    ahead = np.minimum(np.maximum(slowest.body.forward - slowest.body.hidden / 2.0, 0.0), free)
    return Window(ahead_s=ahead, behind_s=free - ahead, layers_count=slowest.layers_count)


def _copies(engine: Engine, layout: Layout, passes: Num) -> tuple[Term, ...]:
    """Return the copies of gradients that a framework makes each time before it reduces them, where it makes any."""
    each = engine.software.gradient_copy_bytes
    if not each:
        return ()
    share = parameter_share(engine.spec, layout)
    moved = each * (share.common + share.experts) * data.rounds(layout, passes)[1]
    spent = moved / (engine.device.calibration.memory_frac * engine.device.memory_bytes_per_s)
    return (Term(name="gradient copies", time_s=np.where(layout.data * layout.context > 1, spent, 0.0)),)


def _host_terms(engine: Engine, layout: Layout, tokens: float, passes: Num, slowest: Pace) -> tuple[Term, ...]:
    """Return the optimizer's update, and what offloading leaves exposed of the traffic with host memory.

    Weights and activations travel beside the kernels of a micro-batch by copy engines, which take nothing from them;
    the optimizer's state beside its update. Both directions run at once. Where the way to host memory is not published,
    offloading takes for ever.
    """
    update = _optimizer_time(engine, layout)
    if not np.any(layout.offload != "none"):
        return (Term(name="optimizer update", time_s=update),)
    moved = offload_traffic(engine.spec, layout, tokens)
    rate = engine.host.bytes_per_s or 1e-300
    each = np.maximum(moved.in_micro_bytes, moved.out_micro_bytes) / rate
    once = np.maximum(moved.in_step_bytes, moved.out_step_bytes) / rate
    shown = passes * np.maximum(each - slowest.body.time_s, 0.0) + np.maximum(once - update, 0.0)
    return Term(name="optimizer update", time_s=update), Term(name="host memory transfers", time_s=shown)


def _optimizer_time(engine: Engine, layout: Layout) -> Num:
    """Return the seconds of the Adam update of the parameters that a rank owns."""
    share, sharded = parameter_share(engine.spec, layout), chosen(layout.zero, "1", "2", "3")
    copies = copies_count(layout)  # each is updated once, its state sharded over both
    owned = share.common / np.where(sharded, layout.sharing * copies, 1.0)
    owned = owned + share.experts / np.where(sharded, layout.expert_sharing * copies, 1.0)
    each = UPDATE_BYTES + (UNSCALE_BYTES if engine.precision.loss_scaling else 0.0)
    return owned * each / (engine.device.calibration.memory_frac * engine.device.memory_bytes_per_s)
