"""Multi-head, grouped-query and sliding-window attention."""

from functools import partial

import numpy as np

from superpod.catalog.model_spec import GroupedQueryAttention
from superpod.result import Num
from superpod.workload.op import (
    ATTENTION,
    DECODE_ATTENTION,
    ELEMENTWISE,
    FULL,
    SOFTMAX,
    AttentionShape,
    Op,
    elementwise,
    gemm,
)
from superpod.workload.phase import Partition, Phase
from superpod.workload.precision import Precision
from superpod.workload.quantise import quantised


def operators(
    attention: GroupedQueryAttention, hidden: int, phase: Phase, part: Partition, precision: Precision
) -> tuple[Op, ...]:
    """Return the forward kernels of one rank: QKV projection, rotary embedding, attention, output projection."""
    heads, kv_heads = local_heads(attention, part)
    size = (precision.weight_bytes, precision.activation_bytes)
    value_dim = attention.value_dim or attention.head_dim
    query_width, output_width = heads * attention.head_dim, heads * value_dim
    kv_width = kv_heads * (attention.head_dim + value_dim)
    gate = output_width if attention.output_gate else 0.0
    product = partial(gemm, rows=phase.tokens, dtype=precision.matmul, element_bytes=size, scaling=precision.scaling)
    return (
        *quantised(phase.tokens * hidden, phase, precision),
        product("qkv", columns=query_width + kv_width + gate, depth=hidden),
        elementwise("rope", phase.tokens * (query_width + kv_heads * attention.head_dim) * 4.0, backward_ratio=1.0),
        *core(attention, phase, part, precision),
        *quantised(phase.tokens * output_width, phase, precision),
        product("attention out", columns=hidden, depth=output_width),
    )


def core(attention: GroupedQueryAttention, phase: Phase, part: Partition, precision: Precision) -> tuple[Op, ...]:
    """Return the kernels that softmax sits in: one fused kernel, or the three of an unfused implementation."""
    heads, kv_heads = local_heads(attention, part)
    window = attention.window_count or np.inf
    if phase.kind == "train" and not phase.fused_attention:
        return unfused(heads, attention.head_dim, phase)
    context = np.minimum(phase.context, window)
    width = attention.head_dim + (attention.value_dim or attention.head_dim)  # one key and one value
    kv_bytes = phase.sequences * np.minimum(phase.keys, window) * kv_heads * width * precision.kv_bytes
    query_bytes = phase.tokens * heads * width * 2.0
    return (
        Op(
            name="attention",
            kind=DECODE_ATTENTION if phase.kind == "decode" else ATTENTION,
            dtype=precision.attention,
            flop=2.0 * phase.tokens * context * heads * width,
            traffic_bytes=kv_bytes + query_bytes,
            rows=phase.tokens / phase.sequences,
            columns=phase.keys,
            depth=attention.head_dim,
            groups=phase.sequences * heads,
            backward_ratio=2.5,
            attention=AttentionShape(
                form=FULL,
                sequences=phase.sequences,
                query_tokens=phase.tokens / phase.sequences,
                keys=phase.keys,
                context=context,
                heads=heads,
                kv_heads=kv_heads,
                head_dim=attention.head_dim,
                value_dim=attention.value_dim or attention.head_dim,
                causal=phase.kind != "decode",
                window_count=float(attention.window_count or 0),
                kv_bytes=precision.kv_bytes,
                cached=phase.kind != "train",
            ),
        ),
    )


def unfused(heads: Num, head_dim: float, phase: Phase) -> tuple[Op, ...]:
    """Return scores, softmax with dropout, and values as separate kernels over the whole square of keys.

    Bytes per score: softmax reads and writes 2 + 2; dropout reads 2, writes 2 and a 1-byte mask (arXiv 2205.05198,
    section 4.1, which counts the same tensors as activations).
    """
    groups = phase.sequences * heads
    rows = phase.tokens / phase.sequences
    scores = groups * rows * phase.keys
    product = partial(gemm, rows=rows, dtype="bf16", element_bytes=(2.0, 2.0), groups=groups)
    return (
        product("scores", columns=phase.keys, depth=head_dim),
        Op(name="softmax", kind=SOFTMAX, dtype="bf16", flop=0.0, traffic_bytes=scores * 4.0, backward_ratio=1.5),
        Op(
            name="attention dropout",
            kind=ELEMENTWISE,
            dtype="bf16",
            flop=0.0,
            traffic_bytes=scores * 5.0,
            backward_ratio=1.0,
        ),
        product("values", columns=head_dim, depth=phase.keys),
    )


def local_heads(attention: GroupedQueryAttention, part: Partition) -> tuple[Num, Num]:
    """Return the query and key-value heads of one tensor-parallel rank; a key-value head is never split."""
    return attention.heads_count / part.tensor, np.maximum(attention.kv_heads_count / part.tensor, 1.0)


def kv_bytes_per_token(attention: GroupedQueryAttention, part: Partition, precision: Precision) -> Num:
    """Return the cache bytes that one more token of context costs a rank, before any window."""
    width = attention.head_dim + (attention.value_dim or attention.head_dim)
    return local_heads(attention, part)[1] * width * precision.kv_bytes
