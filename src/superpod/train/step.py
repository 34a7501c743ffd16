"""The time of one training step, as a breakdown whose parts sum to the whole."""

from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import LayerGroup, MixtureOfExperts, ModelSpec
from superpod.compute.cost import op_time
from superpod.compute.device import Device
from superpod.fabric.topology import Fabric
from superpod.parallel.axes import context, data, expert, pipeline, tensor
from superpod.parallel.axes.tensor import blocks_count
from superpod.parallel.layout import Layout
from superpod.parallel.memory import ParameterShare, parameter_share
from superpod.parallel.place import Groups, groups
from superpod.result import Num, Term, total
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
        """All of it; attention is inside compute."""
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


def step_time(
    spec: ModelSpec,
    layout: Layout,
    device: Device,
    fabric: Fabric,
    precision: Precision,
    batch: tuple[float, float],
) -> StepTime:
    """Return the time of one step of `batch` = (sequences, tokens each).

    Schedule: 1F1B, interleaved where v > 1. Each of m micro-batches takes a stage's forward and backward time; the
    pipeline fills and drains for (p - 1)/v of them (arXiv 2104.04473, section 2.2). The slowest stage sets the pace:
    stages round layers up, and the last one also runs the vocabulary projection.
    """
    sequences, tokens = batch
    phase = training_phase(layout.micro_batch, tokens, layout.context, fused_attention=layout.fused_attention)
    placed = groups(layout)
    passes = micro_batches(layout, sequences)
    body = _stage(spec, layout, phase, device, fabric, placed, precision)
    edge = _head(spec, layout, phase, device, precision)
    hop = pipeline.hop_time(fabric, placed.pipeline, phase.tokens, spec.hidden_count, layout.tensor)
    hops = np.where(layout.pipeline > 1, 2.0 * layout.virtual * hop, 0.0)
    steady, bubble_count = body.time_s + edge + hops, (layout.pipeline - 1.0) / layout.virtual
    bubble = bubble_count * (body.time_s + hops)
    share = parameter_share(spec, layout)
    stage_layers = np.ceil(spec.layers_count / (layout.pipeline * layout.virtual)) * layout.virtual
    window = np.maximum(body.compute - body.hidden, 0.0)
    exchanged = _data_term(layout, fabric, placed, share, passes, window, stage_layers)
    update = _optimizer_time(layout, share, device, precision)
    term = total(
        "training step",
        total(
            "micro-batches",
            Term(name="attention kernels", time_s=passes * body.attention),
            Term(name="other kernels", time_s=passes * (body.compute - body.attention)),
            Term(name="recompute", time_s=passes * body.recompute),
            Term(name="vocabulary projection", time_s=passes * edge),
            Term(name="tensor-parallel collectives", time_s=passes * body.tensor),
            Term(name="context-parallel exchange", time_s=passes * body.context),
            Term(name="expert all-to-all", time_s=passes * body.expert),
            Term(name="pipeline transfers", time_s=passes * hops),
        ),
        Term(name="pipeline bubble", time_s=bubble),
        exchanged,
        Term(name="optimizer update", time_s=update),
    )
    return StepTime(
        term=term,
        micro_batches=passes,
        bubble_frac=bubble / (passes * steady + bubble),
        model_flop=model_flop(spec, sequences, tokens),
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


def _stage(
    spec: ModelSpec, layout: Layout, phase: Phase, device: Device, fabric: Fabric, placed: Groups, precision: Precision
) -> Pass:
    """Return one micro-batch on the fullest stage: the mean layer times the layers of v chunks, rounded up."""
    chunks = layout.pipeline * layout.virtual
    layers = np.ceil(spec.layers_count / chunks) * layout.virtual
    mean = Pass(compute=0.0, recompute=0.0, attention=0.0, tensor=0.0, context=0.0, expert=0.0, hidden=0.0)
    for group in spec.layers:
        share = group.count / spec.layers_count
        mean = mean.plus(_layer(spec, group, layout, phase, device, fabric, placed, precision).scaled(share))
    return mean.scaled(layers)


def _layer(
    spec: ModelSpec,
    group: LayerGroup,
    layout: Layout,
    phase: Phase,
    device: Device,
    fabric: Fabric,
    placed: Groups,
    precision: Precision,
) -> Pass:
    """Return one micro-batch on one layer, forward and backward."""
    work = layer(spec, group, phase, layout.partition, precision)
    forward = _seconds(work.operators, device)
    backward_ops = tuple(item for op in work.operators for item in backward(op))
    core = tuple(op for op in work.attention if _is_core(op))
    attention = _seconds(core, device) + _seconds(tuple(item for op in core for item in backward(op)), device)
    recompute, again = _recomputed(layout, forward, _seconds(_selective(group, work.attention), device))
    collective = _tensor_time(layout, group, fabric, placed, phase, spec.hidden_count)
    ring = context.layer_time(fabric, placed.context, group.attention, phase.tokens, layout.tensor)
    compute = forward + _seconds(backward_ops, device)
    exchanged, hidden = _expert_time(layout, group, fabric, placed, phase, spec.hidden_count, precision, compute)
    return Pass(
        compute=compute,
        recompute=recompute,
        attention=attention,
        tensor=collective * (2.0 + again),
        context=np.maximum(ring - attention / 3.0, 0.0) + np.maximum(2.0 * ring - attention * 2.0 / 3.0, 0.0),
        expert=exchanged,
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


def _tensor_time(layout: Layout, group: LayerGroup, fabric: Fabric, placed: Groups, phase: Phase, hidden: int) -> Num:
    """Return one direction's collectives of a layer: around attention, and around a dense or shared feed-forward."""
    block = tensor.block_time(fabric, placed.tensor, phase.tokens, hidden, sequence_parallel=layout.sequence_parallel)
    blocks = blocks_count(group, layout)
    return np.where(layout.tensor > 1, blocks * block, 0.0)


def _expert_time(
    layout: Layout,
    group: LayerGroup,
    fabric: Fabric,
    placed: Groups,
    phase: Phase,
    hidden: int,
    precision: Precision,
    compute: Num,
) -> tuple[Num, Num]:
    """Return the exposed and the hidden all-to-all of a layer, forward and backward.

    With `data+expert` overlap a second micro-batch computes while the first one's tokens travel (DualPipe,
    arXiv 2412.19437, section 3.2.1): what exceeds the layer's kernels is exposed, and the engines that drive the
    transfers are taken from the kernels.
    """
    if not isinstance(group.ffn, MixtureOfExperts):
        return 0.0 * compute, 0.0 * compute
    sent = expert.exchange_times(fabric, placed.expert, group.ffn, hidden, phase.tokens, layout.partition, precision)
    exchanged = np.where(layout.expert > 1, 2.0 * (sent[0] + sent[1]), 0.0)
    if layout.overlap != "data+expert":
        return exchanged, 0.0 * exchanged
    covered = np.minimum(exchanged, compute)
    return exchanged - covered + fabric.tiers[-1].link.overlap_tax_frac * covered, covered


def _head(spec: ModelSpec, layout: Layout, phase: Phase, device: Device, precision: Precision) -> Num:
    """Return the seconds of the vocabulary projection and loss of one micro-batch, forward and backward."""
    work = build(replace(spec, layers=()), phase, layout.partition, precision)
    operators = work.embedding + work.head
    return _seconds(operators, device) + _seconds(tuple(item for op in operators for item in backward(op)), device)


def _data_term(
    layout: Layout, fabric: Fabric, placed: Groups, share: ParameterShare, passes: Num, window: Num, stage_layers: Num
) -> Term:
    """Return the exposed part of gradient reduction and parameter gathering.

    Overlapped, gradients travel beside the last backward pass and parameters beside the next forward pass; all but one
    layer's share can hide.
    """
    common = data.step_time(fabric, placed.data, share.common, layout.zero, passes)
    routed = data.step_time(fabric, placed.expert_data, share.experts, layout.zero, passes)
    spent = np.where(layout.data * layout.context > 1, common, 0.0) + np.where(layout.expert_data > 1, routed, 0.0)
    if layout.overlap != "none":
        hidden = window * (passes if layout.zero == "3" else 1.0)
        spent = np.maximum(spent - hidden, spent / stage_layers)
    return Term(name="data-parallel collectives", time_s=spent)


def _optimizer_time(layout: Layout, share: ParameterShare, device: Device, precision: Precision) -> Num:
    """Return the seconds of the Adam update of the parameters that a rank owns."""
    sharded = layout.zero != "0"
    owned = share.common / (layout.data * layout.context if sharded else 1.0)
    owned = owned + share.experts / (layout.expert_data if sharded else 1.0)
    each = UPDATE_BYTES + (UNSCALE_BYTES if precision.loss_scaling else 0.0)
    return owned * each / (device.calibration.memory_frac * device.memory_bytes_per_s)


def _seconds(operators: tuple[Op, ...], device: Device) -> Num:
    spent: Num = 0.0
    for op in operators:
        spent = spent + op_time(op, device)
    return spent
