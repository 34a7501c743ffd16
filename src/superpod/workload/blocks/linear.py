"""Gated linear attention: a state of key_dim x value_dim per head in place of a growing cache."""

from functools import partial

from superpod.catalog.model_spec import LinearAttention
from superpod.result import Num
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, LINEAR, AttentionShape, Op, elementwise, gemm
from superpod.workload.phase import Partition, Phase
from superpod.workload.precision import Precision
from superpod.workload.quantise import quantised

CHUNK = 64.0  # tokens per chunk of the parallel form (Gated DeltaNet, arXiv 2412.06464, section 3.3)


def operators(
    attention: LinearAttention, hidden: int, phase: Phase, part: Partition, precision: Precision
) -> tuple[Op, ...]:
    """Return the forward kernels of one rank: projections, short convolution, the state recurrence, output projection.

    In chunks of C tokens the recurrence costs about 2 (2 d_k d_v + C (d_k + d_v)) flop a token and head.
    """
    heads, key_heads = attention.heads_count / part.tensor, attention.key_heads_count / part.tensor
    keys, values = key_heads * attention.key_dim, heads * attention.value_dim
    size = (precision.weight_bytes, precision.activation_bytes)
    product = partial(gemm, rows=phase.tokens, dtype=precision.matmul, element_bytes=size, scaling=precision.scaling)
    state = heads * attention.key_dim * attention.value_dim
    decode = phase.kind == "decode"
    chunk = 0.0 if decode else CHUNK * (attention.key_dim + attention.value_dim) * heads
    return (
        *quantised(phase.tokens * hidden, phase, precision),
        product("qkv and gate", columns=2.0 * keys + 2.0 * values, depth=hidden),
        elementwise("convolution", phase.tokens * (2.0 * keys + values) * 4.0),
        Op(
            name="state update",
            kind=DECODE_ATTENTION if decode else ATTENTION,
            dtype=precision.attention,
            flop=2.0 * phase.tokens * (2.0 * state + chunk),
            traffic_bytes=phase.sequences * state * 8.0 + phase.tokens * (2.0 * keys + 2.0 * values) * 2.0,
            rows=phase.tokens / phase.sequences,
            columns=attention.value_dim,
            depth=attention.key_dim,
            groups=phase.sequences * heads,
            backward_ratio=2.5,
            attention=AttentionShape(
                form=LINEAR,
                sequences=phase.sequences,
                query_tokens=phase.tokens / phase.sequences,
                keys=phase.tokens / phase.sequences,  # a recurrence walks its tokens, not a cache
                context=phase.tokens / phase.sequences,
                heads=heads,
                kv_heads=key_heads,
                head_dim=attention.key_dim,
                value_dim=attention.value_dim,
                kv_bytes=4.0,
            ),
        ),
        *quantised(phase.tokens * values, phase, precision),
        product("attention out", columns=hidden, depth=values),
    )


def kv_bytes_per_token(attention: LinearAttention, part: Partition, precision: Precision) -> Num:
    """Return 0: the state does not grow with context."""
    del attention, part, precision
    return 0.0
