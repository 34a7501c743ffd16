"""The time of one training step, as a breakdown whose parts sum to the whole."""

from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import LayerGroup, MixtureOfExperts, ModelSpec
from superpod.parallel.axes import context, data, expert, pipeline
from superpod.parallel.axes.tensor import block_time, blocks_count
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import Groups, groups
from superpod.result import Num, Term, total
from superpod.train.memory import parameter_share
from superpod.workload.build import build, layer
from superpod.workload.op import ELEMENTWISE, GEMM, Op, backward
from superpod.workload.phase import Phase, training_phase
from superpod.workload.precision import Precision

# Per parameter: gradient norm 4, clipping 8, Adam reads 16 and writes 12, master to 16-bit weight 6, zeroed gradient 4.
UPDATE_BYTES = 50.0
UNSCALE_BYTES = 8.0  # fp16 also divides gradients by the loss scale and looks for infinities


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Seconds of one micro-batch on a layer or a stage: kernels and exposed waits, forward plus backward."""

    compute: Num
    recompute: Num
    attention: Num  # the part of `compute` inside attention kernels
    elementwise: Num  # the part of `compute` in norms, activations and other kernels that only move bytes
    tensor: Num
    context: Num
    expert: Num
    hidden: Num  # transfers behind kernels; they occupy the links that data-parallel traffic wants

    def scaled(self, factor: Num) -> "Pass":
        """Return every part multiplied by `factor`."""
        return Pass(**{name: getattr(self, name) * factor for name in self.__dataclass_fields__})

    def plus(self, other: "Pass") -> "Pass":
        """Return the sum, part by part."""
        return Pass(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    @property
    def time_s(self) -> Num:
        """All of it; attention and elementwise are inside compute."""
        return self.compute + self.recompute + self.tensor + self.context + self.expert


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

    Schedule: 1F1B, interleaved where v > 1. Each of m micro-batches takes a stage's forward and backward time; the
    pipeline fills and drains for (p - 1)/v of them (arXiv 2104.04473, section 2.2). The slowest stage sets the pace:
    stages round layers up, and the last one also runs the vocabulary projection.
    """
    sequences, tokens = batch
    phase = training_phase(layout.micro_batch, tokens, layout.context, fused_attention=layout.fused_attention)
    placed = groups(layout)
    passes = micro_batches(layout, sequences)
    body, edge = _stage(engine, layout, phase, placed), _head(engine, layout, phase)
    waited = _launch_wait(engine, layout, body)
    hop = pipeline.hop_time(engine.fabric, placed.pipeline, phase.tokens, engine.spec.hidden_count, layout.tensor)
    hops = np.where(layout.pipeline > 1, 2.0 * layout.virtual * hop, 0.0)
    bubble = (layout.pipeline - 1.0) / layout.virtual * (body.time_s + waited + hops)
    term = total(
        "training step",
        _micro_batch_term(body, edge, hops, waited).scaled(passes),
        Term(name="pipeline bubble", time_s=bubble),
        _data_term(engine, layout, placed, passes, body),
        Term(name="optimizer update", time_s=_optimizer_time(engine, layout)),
    )
    return StepTime(
        term=term,
        micro_batches=passes,
        bubble_frac=bubble / (passes * (body.time_s + waited + edge + hops) + bubble),
        model_flop=model_flop(engine.spec, sequences, tokens),
    )


def _launch_wait(engine: Engine, layout: Layout, body: Pass) -> Num:
    """Return how long a stage waits for its kernels to be launched: forward, and twice as many backward.

    Full recompute launches the forward kernels again.
    """
    rounds = 4.0 if layout.recompute == "full" else 3.0
    launches = rounds * engine.software.layer_s * _stage_layers(engine, layout)
    return np.maximum(launches - body.time_s, 0.0)


def _micro_batch_term(body: Pass, edge: Num, hops: Num, waited: Num) -> Term:
    """Return one micro-batch on the slowest stage by what it waits for."""
    return total(
        "micro-batches",
        Term(name="attention kernels", time_s=body.attention),
        Term(name="matrix products", time_s=body.compute - body.attention - body.elementwise),
        Term(name="elementwise kernels", time_s=body.elementwise),
        Term(name="recompute", time_s=body.recompute),
        Term(name="vocabulary projection", time_s=edge),
        Term(name="tensor-parallel collectives", time_s=body.tensor),
        Term(name="context-parallel exchange", time_s=body.context),
        Term(name="expert all-to-all", time_s=body.expert),
        Term(name="pipeline transfers", time_s=hops),
        Term(name="host", time_s=waited),
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


def _stage_layers(engine: Engine, layout: Layout) -> Num:
    """Return the layers of the fullest stage: v chunks, each rounded up."""
    return np.ceil(engine.spec.layers_count / (layout.pipeline * layout.virtual)) * layout.virtual


def _stage(engine: Engine, layout: Layout, phase: Phase, placed: Groups) -> Pass:
    """Return one micro-batch on the fullest stage: its layers times the mean layer."""
    mean = Pass(**dict.fromkeys(Pass.__dataclass_fields__, 0.0))
    for group in engine.spec.layers:
        share = group.count / engine.spec.layers_count
        mean = mean.plus(_layer(engine, group, layout, phase, placed).scaled(share))
    return mean.scaled(_stage_layers(engine, layout))


def _layer(engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, placed: Groups) -> Pass:
    """Return one micro-batch on one layer, forward and backward."""
    work = layer(engine.spec, group, phase, layout.partition, engine.precision)
    forward, compute = engine.seconds(work.operators), _both_ways(engine, work.operators)
    attention = _both_ways(engine, tuple(op for op in work.operators if _is_core(op)))
    moving = _both_ways(engine, tuple(op for op in work.operators if op.kind == ELEMENTWISE and not _is_core(op)))
    recompute, again = _recomputed(layout, forward, engine.seconds(_selective(group, work.attention)))
    ring = context.layer_time(engine.fabric, placed.context, group.attention, phase.tokens, layout.tensor)
    exposed, hidden = _expert_time(engine, group, layout, phase, placed, compute)
    return Pass(
        compute=compute,
        recompute=recompute,
        attention=attention,
        elementwise=moving,
        tensor=_tensor_time(engine, group, layout, phase, placed) * (2.0 + again),
        context=np.maximum(ring - attention / 3.0, 0.0) + np.maximum(2.0 * ring - attention * 2.0 / 3.0, 0.0),
        expert=exposed,
        hidden=hidden,
    )


def _recomputed(layout: Layout, forward: Num, attention_core: Num) -> tuple[Num, float]:
    """Return the seconds of forward work done again, and the share of forward collectives sent again."""
    if layout.recompute == "full":
        return forward, 1.0
    if layout.recompute == "selective":
        return attention_core, 0.0
    return 0.0 * forward, 0.0


def _selective(group: LayerGroup, operators: tuple[Op, ...]) -> tuple[Op, ...]:
    """Return what selective recompute repeats: scores, softmax and values; for MLA also the up-projections."""
    names = {"q up", "kv up", "rope"} if group.attention.kind == "mla" else set()
    return tuple(op for op in operators if _is_core(op) or op.name in names)


def _is_core(op: Op) -> bool:
    return op.kind not in {GEMM, ELEMENTWISE} or op.name in {"scores", "softmax", "attention dropout", "values"}


def _tensor_time(engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, placed: Groups) -> Num:
    """Return one direction's collectives of a layer: around attention, and around a feed-forward that ranks share."""
    sequence_parallel, hidden = layout.sequence_parallel, engine.spec.hidden_count
    block = block_time(engine.fabric, placed.tensor, phase.tokens, hidden, sequence_parallel=sequence_parallel)
    return np.where(layout.tensor > 1, blocks_count(group, layout) * block, 0.0)


def _expert_time(
    engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, placed: Groups, compute: Num
) -> tuple[Num, Num]:
    """Return the exposed and the hidden all-to-all of a layer, forward and backward.

    With `data+expert` overlap a second micro-batch computes while the first one's tokens travel (DualPipe,
    arXiv 2412.19437, section 3.2.1): what exceeds the layer's kernels is exposed, and the engines that drive the
    transfers are taken from the kernels.
    """
    if not isinstance(group.ffn, MixtureOfExperts):
        return 0.0 * compute, 0.0 * compute
    sent = expert.exchange_times(engine, placed.expert, group.ffn, phase, layout.partition)
    exchanged = np.where(layout.expert > 1, 2.0 * (sent[0] + sent[1]), 0.0)
    if layout.overlap != "data+expert":
        return exchanged, 0.0 * exchanged
    covered = np.minimum(exchanged, compute)
    return exchanged - covered + engine.fabric.tiers[-1].link.overlap_tax_frac * covered, covered


def _head(engine: Engine, layout: Layout, phase: Phase) -> Num:
    """Return the seconds of the vocabulary projection and loss of one micro-batch, forward and backward."""
    work = build(replace(engine.spec, layers=()), phase, layout.partition, engine.precision)
    return _both_ways(engine, work.embedding + work.head)


def _data_term(engine: Engine, layout: Layout, placed: Groups, passes: Num, body: Pass) -> Term:
    """Return the exposed part of gradient reduction and parameter gathering.

    Overlapped, gradients travel beside the last backward pass and parameters beside the next forward pass; all but one
    layer's share can hide, where expert traffic does not hold the links already.
    """
    share = parameter_share(engine.spec, layout)
    common = data.step_time(engine.fabric, placed.data, share.common, layout.zero, passes)
    routed = data.step_time(engine.fabric, placed.expert_data, share.experts, layout.zero, passes)
    spent = np.where(layout.data * layout.context > 1, common, 0.0) + np.where(layout.expert_data > 1, routed, 0.0)
    if layout.overlap != "none":
        window = np.maximum(body.compute - body.hidden, 0.0) * (passes if layout.zero == "3" else 1.0)
        spent = np.maximum(spent - window, spent / _stage_layers(engine, layout))
    return Term(name="data-parallel collectives", time_s=spent)


def _optimizer_time(engine: Engine, layout: Layout) -> Num:
    """Return the seconds of the Adam update of the parameters that a rank owns."""
    share, sharded = parameter_share(engine.spec, layout), layout.zero != "0"
    owned = share.common / (layout.data * layout.context if sharded else 1.0)
    owned = owned + share.experts / (layout.expert_data if sharded else 1.0)
    each = UPDATE_BYTES + (UNSCALE_BYTES if engine.precision.loss_scaling else 0.0)
    return owned * each / (engine.device.calibration.memory_frac * engine.device.memory_bytes_per_s)


def _both_ways(engine: Engine, operators: tuple[Op, ...]) -> Num:
    """Return the seconds of kernels and of their backward kernels."""
    return engine.seconds(operators) + engine.seconds(tuple(item for op in operators for item in backward(op)))
