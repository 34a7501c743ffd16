"""A model and a phase become the kernels of one rank, layer group by layer group."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import GroupedQueryAttention, LayerGroup, LinearAttention, ModelSpec
from superpod.result import Num
from superpod.workload.blocks import BLOCKS, KV_BYTES_PER_TOKEN
from superpod.workload.op import SOFTMAX, Op, elementwise, gemm
from superpod.workload.phase import Partition, Phase, own_rows
from superpod.workload.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWork:
    """One layer of a group: its kernels and how often the layer repeats."""

    group: LayerGroup
    attention: tuple[Op, ...]
    ffn: tuple[Op, ...]

    @property
    def operators(self) -> tuple[Op, ...]:
        """All kernels of the layer, in order."""
        return self.attention + self.ffn


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one rank does in one pass over the whole model."""

    layers: tuple[LayerWork, ...]
    embedding: tuple[Op, ...]
    head: tuple[Op, ...]


def build(spec: ModelSpec, phase: Phase, part: Partition, precision: Precision) -> Workload:
    """Return the forward kernels of one rank for a pass described by `phase`."""
    return Workload(
        layers=tuple(layer(spec, group, phase, part, precision) for group in spec.layers),
        embedding=(elementwise("embedding", phase.tokens * spec.hidden_count * 4.0),),
        head=head(spec, phase, part, precision),
    )


def layer(spec: ModelSpec, group: LayerGroup, phase: Phase, part: Partition, precision: Precision) -> LayerWork:
    """Return the kernels of one layer of a group."""
    hidden = spec.hidden_count
    attention = BLOCKS[group.attention.kind](group.attention, hidden, phase, part, precision)
    if spec.learned_positions:
        attention = tuple(op for op in attention if op.name != "rope")
    ffn = BLOCKS[group.ffn.kind](group.ffn, hidden, phase, part, precision)
    glue = residual_glue(hidden, phase, part)
    return LayerWork(group=group, attention=(*glue, *attention), ffn=(*glue, *ffn))


def residual_glue(hidden: int, phase: Phase, part: Partition) -> tuple[Op, ...]:
    """Return the norm and the residual addition around a block: 4 and 6 bytes an element; 7 where dropout keeps a mask.

    Serving engines run both as one kernel: two inputs, two outputs of 2 bytes. Tensor ranks share the rows where
    sequence parallelism is on (arXiv 2205.05198, section 4.2.2).
    """
    rows = own_rows(phase, part)
    if phase.kind != "train":
        return (elementwise("add and norm", rows * hidden * 8.0),)
    residual = 6.0 if phase.fused_attention else 7.0
    return (
        elementwise("norm", rows * hidden * 4.0),
        elementwise("residual", rows * hidden * residual),
    )


def head(spec: ModelSpec, phase: Phase, part: Partition, precision: Precision) -> tuple[Op, ...]:
    """Return the final norm, the vocabulary projection in 16 bits and the softmax over it.

    Training needs logits for every token; serving needs them for the tokens that it may emit.
    """
    rows = phase.sequences if phase.kind == "prefill" else phase.tokens
    columns = spec.vocab_count / part.tensor
    del precision
    return (
        elementwise("final norm", rows * spec.hidden_count * 4.0),
        gemm(
            "lm head",
            rows=rows,
            columns=columns,
            depth=float(spec.hidden_count),
            dtype="bf16",
            element_bytes=(2.0, 2.0),
        ),
        Op(
            name="softmax",
            kind=SOFTMAX,
            dtype="bf16",
            flop=0.0,
            traffic_bytes=rows * columns * 10.0,
            backward_ratio=1.5,
        ),
    )


def kv_cache_bytes(spec: ModelSpec, context_tokens: Num, part: Partition, precision: Precision) -> Num:
    """Return the cache that one sequence of `context_tokens` takes on one rank, summed over all layers.

    A sliding window keeps its window only; linear attention keeps one fp32 state.
    """
    held: Num = 0.0
    for group in spec.layers:
        attention = group.attention
        tokens = context_tokens
        if isinstance(attention, GroupedQueryAttention) and attention.window_count:
            tokens = np.minimum(context_tokens, attention.window_count)
        per_token = KV_BYTES_PER_TOKEN[attention.kind](attention, part, precision)
        state = (
            attention.heads_count / part.tensor * attention.key_dim * attention.value_dim * 4.0
            if isinstance(attention, LinearAttention)
            else 0.0
        )
        held = held + group.count * (tokens * per_token + state)
    return held
