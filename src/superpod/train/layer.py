"""The time of one micro-batch on one layer: kernels, and what it waits for, forward and backward."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import LayerGroup, MixtureOfExperts
from superpod.parallel.axes import context, expert
from superpod.parallel.axes.tensor import block_times, blocks_count
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import Groups
from superpod.result import Flag, Num, chosen, holds
from superpod.train.overlap import exposed, pipelined
from superpod.workload.build import LayerWork, layer
from superpod.workload.op import ELEMENTWISE, GEMM, Op, backward
from superpod.workload.phase import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Seconds of one micro-batch on a layer or a stage: kernels and exposed waits, forward plus backward.

    `forward` is the part of everything that falls into the forward pass, `weight` the kernels of the gradients of
    weights, which zero-bubble schedules move; the gradients of inputs take the rest.
    """

    compute: Num
    recompute: Num
    attention: Num  # the part of `compute` inside attention kernels
    elementwise: Num  # the part of `compute` in norms, activations and other kernels that only move bytes
    tensor: Num
    context: Num
    expert: Num
    hidden: Num  # transfers behind kernels; they occupy the links that data-parallel traffic wants
    forward: Num
    weight: Num

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

    @property
    def backward(self) -> Num:
        """Gradients of inputs, with what is computed again for them and what they wait for."""
        return self.time_s - self.forward - self.weight


WEIGHTS = " wgrad"  # how `workload.op.backward` names the gradient of a product's weights

NOTHING = Pass(**dict.fromkeys(Pass.__dataclass_fields__, 0.0))


def layer_pass(engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, placed: Groups) -> Pass:
    """Return one micro-batch on one layer, forward and backward."""
    work = layer(engine.spec, group, phase, layout.partition, engine.precision)
    forward = engine.seconds(work.operators)
    kernels = _gradient_kernels(engine, work)
    weight = kernels.weights
    compute = forward + weight + kernels.inputs
    attention = both_ways(engine, tuple(op for op in work.operators if _is_core(op)))
    moving = both_ways(engine, tuple(op for op in work.operators if op.kind == ELEMENTWISE and not _is_core(op)))
    again = recomputed(engine, layout, work)
    tensor = _tensor_times(engine, work, layout, phase, placed, kernels)
    ring = _context_times(engine, group, layout, phase, placed, attention)
    sent, hidden = _expert_times(engine, group, layout, phase, placed, compute)
    return Pass(
        compute=compute,
        recompute=again,
        attention=attention,
        elementwise=moving,
        tensor=tensor[0] + tensor[1],
        context=ring[0] + ring[1],
        expert=sent,
        hidden=hidden,
        forward=forward + tensor[0] + ring[0] + sent / 2.0,
        weight=weight,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernels:
    """Seconds of a layer's backward kernels: gradients of inputs, of weights, and the column-parallel part of these."""

    inputs: Num
    weights: Num
    columns: Num


def _gradient_kernels(engine: Engine, work: LayerWork) -> _Kernels:
    gradients = tuple(item for op in work.operators for item in backward(op))
    of_weights = tuple(op for op in gradients if op.name.endswith(WEIGHTS))
    return _Kernels(
        inputs=engine.seconds(tuple(op for op in gradients if not op.name.endswith(WEIGHTS))),
        weights=engine.seconds(of_weights),
        columns=engine.seconds(tuple(op for op in of_weights if op.name.removesuffix(WEIGHTS) in COLUMN_PARALLEL)),
    )


def both_ways(engine: Engine, operators: tuple[Op, ...]) -> Num:
    """Return the seconds of kernels and of their backward kernels."""
    return engine.seconds(operators) + engine.seconds(tuple(item for op in operators for item in backward(op)))


# Kernels that the modules of Megatron-Core's `recompute_modules` run again, by name.
RECOMPUTED = {
    "mla_up_proj": {"q up", "kv up", "rope", "assemble keys"},
    "layernorm": {"norm"},
    "moe_act": {"experts activation"},
    "mlp": {"ffn up", "ffn activation", "ffn down"},
    "shared_experts": {"shared expert up", "shared expert activation", "shared expert down"},
}
EXPERTS = {"router", "permute", "experts up", "experts activation", "experts down", *RECOMPUTED["shared_experts"]}


def recomputed(engine: Engine, layout: Layout, work: LayerWork) -> Num:
    """Return the seconds of forward kernels that run again: all, the attention kernel, or those of named modules.

    Selective recompute repeats scores, softmax and values, and for latent attention the up-projections, which are what
    its keys and values come from (arXiv 2205.05198, section 5; arXiv 2412.19437, section 3.2.3).
    """
    word = layout.recompute
    latent = work.group.attention.kind == "mla"
    core = engine.seconds(tuple(op for op in work.operators if _is_core(op)))
    again = work.operators[:-1] if engine.software.stops_recompute else work.operators
    spent = np.where(chosen(word, "full"), engine.seconds(again), 0.0)
    selective: Num = core
    if latent:
        selective = core + _named(engine, work, RECOMPUTED["mla_up_proj"] - {"assemble keys"})
    spent = spent + np.where(chosen(word, "selective"), selective, 0.0)
    spent = spent + np.where(holds(word, "core_attn"), core, 0.0)
    spent = spent + np.where(holds(word, "moe"), _named(engine, work, EXPERTS), 0.0)
    for module, names in RECOMPUTED.items():
        spent = spent + np.where(holds(word, module), _named(engine, work, names), 0.0)
    return spent


def _named(engine: Engine, work: LayerWork, names: set[str]) -> Num:
    return engine.seconds(tuple(op for op in work.operators if op.name in names))


def _is_core(op: Op) -> bool:
    return op.kind not in {GEMM, ELEMENTWISE} or op.name in {"scores", "softmax", "attention dropout", "values"}


# Products whose inputs all tensor ranks need, so that the gradients of these inputs are reduced.
COLUMN_PARALLEL = {"qkv", "q", "q up", "kv up", "ffn up", "shared expert up"}


def _tensor_times(
    engine: Engine, work: LayerWork, layout: Layout, phase: Phase, placed: Groups, kernels: "_Kernels"
) -> tuple[Num, Num]:
    """Return the exposed collectives of tensor ranks, forward and backward: around attention and a shared feed-forward.

    Forward they are bare, and full recompute sends them again. Backward, the gradients of inputs are reduced beside the
    products of the weight gradients, and inputs that were not kept whole are gathered again beside those of the input
    gradients, as Megatron-Core's column-parallel layers do by default (arXiv 2205.05198, section 4.2.2). With
    `tensor_overlap`, step by step round a ring or half by half, only the first step and what exceeds the products is
    exposed in either direction.
    """
    fabric, hidden, shared = engine.fabric, engine.spec.hidden_count, layout.sequence_parallel
    blocks = np.where(layout.tensor > 1, blocks_count(work.group, layout), 0.0)
    before, after = block_times(fabric, placed.tensor, phase.tokens, hidden, sequence_parallel=shared)
    sent = blocks * (before + after)
    link = fabric.tiers[0].link
    products = engine.seconds(tuple(op for op in work.operators if op.kind == GEMM and not _is_core(op)))
    steps = np.where(chosen(layout.tensor_overlap, "ring"), np.maximum(layout.tensor, 1.0), 2.0)
    stepped = pipelined(sent, products, link.collective_tax_frac, steps)
    bare = chosen(layout.tensor_overlap, "none")
    again = np.where(layout.gather_again, blocks * before, 0.0)
    late = exposed(again, kernels.inputs, link.collective_tax_frac)
    reduced = blocks * before + exposed(blocks * after, kernels.columns, link.collective_tax_frac) + late
    forward = np.where(bare, sent, stepped)
    return forward, np.where(bare, reduced, stepped) + np.where(chosen(layout.recompute, "full"), forward, 0.0)


def _context_times(
    engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, placed: Groups, attention: Num
) -> tuple[Num, Num]:
    """Return what context parallelism leaves exposed, forward and backward.

    A ring sends keys and values behind the attention of those before (a third of attention is forward); Ulysses
    exchanges heads for tokens before and after attention, beside nothing.
    """
    ring = context.layer_time(engine.fabric, placed.context, group.attention, phase.tokens, layout.tensor)
    swap = context.ulysses_time(engine.fabric, placed.context, group.attention, phase.tokens, layout.tensor)
    is_ring = chosen(layout.context_kind, "ring")
    there = np.where(is_ring, np.maximum(ring - attention / 3.0, 0.0), swap)
    back = np.where(is_ring, np.maximum(2.0 * ring - attention * 2.0 / 3.0, 0.0), swap)
    return there, back


def _expert_times(
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
    covers: Flag = chosen(layout.overlap, "data+expert")
    beside = exposed(exchanged, compute, engine.fabric.tiers[-1].link.overlap_tax_frac)
    return np.where(covers, beside, exchanged), np.where(covers, np.minimum(exchanged, compute), 0.0)
