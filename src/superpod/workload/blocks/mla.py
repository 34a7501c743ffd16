"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1), dense or with a sparse indexer."""

from functools import partial

import numpy as np

from superpod.catalog.model_spec import LatentAttention
from superpod.result import Num
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, FULL, INDEX, LATENT, AttentionShape, Op, elementwise, gemm
from superpod.workload.phase import Partition, Phase
from superpod.workload.precision import Precision
from superpod.workload.quantise import quantised


def operators(
    attention: LatentAttention, hidden: int, phase: Phase, part: Partition, precision: Precision
) -> tuple[Op, ...]:
    """Return the forward kernels of one rank.

    Down-projections are replicated over tensor ranks, heads are split. Prefill and training expand keys and values per
    head; decode absorbs the up-projections into queries and outputs and attends in the latent space (section 2.1.2).
    """
    heads = attention.heads_count / part.tensor
    size = (precision.weight_bytes, precision.activation_bytes)
    product = partial(gemm, rows=phase.tokens, dtype=precision.matmul, element_bytes=size, scaling=precision.scaling)
    query_width = heads * (attention.qk_nope_dim + attention.qk_rope_dim)
    query_depth = attention.q_lora_rank or hidden
    latent = attention.kv_lora_rank + attention.qk_rope_dim
    core = absorbed if phase.kind == "decode" else expanded
    compressed = attention.q_lora_rank > 0
    down = product("q and kv down", columns=float(attention.q_lora_rank + latent), depth=hidden)
    return (
        *quantised(phase.tokens * hidden, phase, precision),
        down,
        elementwise("latent norms", phase.tokens * (attention.q_lora_rank + latent) * 4.0),
        *(quantised(phase.tokens * query_depth, phase, precision) if compressed else ()),
        product("q up" if compressed else "q", columns=query_width, depth=query_depth),
        *indexer(attention, hidden, phase, precision),
        *core(attention, heads, phase, precision),
        *quantised(phase.tokens * heads * attention.v_dim, phase, precision),
        product("attention out", columns=hidden, depth=heads * attention.v_dim),
    )


def expanded(attention: LatentAttention, heads: Num, phase: Phase, precision: Precision) -> tuple[Op, ...]:
    """Return up-projection of keys and values and ordinary attention over them.

    Latents that are cached behind a chunk, or come from ranks that read other parts of it, are expanded anew, as by
    engines that read prompts in chunks; a sparse choice is read as it is.
    """
    nope, rope, value = attention.qk_nope_dim, attention.qk_rope_dim, attention.v_dim
    context = selected(attention, phase.context)
    width = nope + rope
    cached = phase.sequences * (phase.behind + phase.others) * (not attention.sparse_top_k_count)
    keys = phase.tokens + cached
    return (
        *quantised(keys * attention.kv_lora_rank, phase, precision),
        gemm(
            "kv up",
            rows=keys,
            columns=heads * (nope + value),
            depth=attention.kv_lora_rank,
            dtype=precision.matmul,
            element_bytes=(precision.weight_bytes, precision.activation_bytes),
            scaling=precision.scaling,
        ),
        elementwise("rope", phase.tokens * heads * width * 4.0, backward_ratio=1.0),
        # Keys are put together from their two parts: read both, write both.
        elementwise("assemble keys", keys * heads * (nope + width) * 2.0, backward_ratio=1.0),
        Op(
            name="attention",
            kind=ATTENTION,
            dtype=precision.attention,
            flop=2.0 * phase.tokens * context * heads * (width + value),
            traffic_bytes=(phase.tokens * heads * (2.0 * width + 2.0 * value) + cached * heads * (width + value)) * 2.0,
            rows=phase.tokens / phase.sequences,
            columns=phase.keys,
            depth=width,
            groups=phase.sequences * heads,
            backward_ratio=2.5,
            attention=AttentionShape(
                form=FULL,
                sequences=phase.sequences,
                query_tokens=phase.tokens / phase.sequences,
                keys=phase.keys,
                context=context,
                heads=heads,
                kv_heads=heads,
                head_dim=width,
                value_dim=value,
                cached=phase.kind != "train",
                selected_count=float(attention.sparse_top_k_count or 0),
            ),
        ),
    )


def absorbed(attention: LatentAttention, heads: Num, phase: Phase, precision: Precision) -> tuple[Op, ...]:
    """Return attention in the latent space: one shared key-value head of width kv_lora + rope for all query heads."""
    latent, rope = attention.kv_lora_rank, attention.qk_rope_dim
    keys = selected(attention, phase.keys)
    product = partial(gemm, rows=phase.tokens, dtype=precision.attention, element_bytes=(2.0, 2.0), groups=heads)
    cache_bytes = phase.sequences * keys * (latent + rope) * precision.kv_bytes
    query_bytes = phase.tokens * heads * (2.0 * latent + rope) * 2.0
    return (
        elementwise("rope and cache", phase.tokens * (heads * rope + latent + rope) * 4.0),
        product("absorb keys", columns=latent, depth=attention.qk_nope_dim),
        Op(
            name="attention",
            kind=DECODE_ATTENTION,
            dtype=precision.attention,
            flop=2.0 * phase.tokens * selected(attention, phase.context) * heads * (2.0 * latent + rope),
            traffic_bytes=cache_bytes + query_bytes,
            rows=heads * phase.tokens / phase.sequences,
            columns=keys,
            depth=latent + rope,
            groups=phase.sequences,
            attention=AttentionShape(
                form=LATENT,
                sequences=phase.sequences,
                query_tokens=phase.tokens / phase.sequences,
                keys=phase.keys,
                context=selected(attention, phase.context),
                heads=heads,
                kv_heads=1.0,
                head_dim=latent + rope,
                value_dim=latent,
                causal=False,
                selected_count=float(attention.sparse_top_k_count or 0),
                kv_bytes=precision.kv_bytes,
            ),
        ),
        product("absorb values", columns=attention.v_dim, depth=latent),
    )


def indexer(attention: LatentAttention, hidden: int, phase: Phase, precision: Precision) -> tuple[Op, ...]:
    """Return the lightning indexer that picks keys (DeepSeek-V3.2): low-rank queries against one key per token."""
    if not attention.sparse_top_k_count or not attention.indexer_heads_count:
        return ()  # dense attention, or a layer that reuses an earlier layer's choice
    heads, dim = attention.indexer_heads_count, attention.indexer_dim
    size = (precision.weight_bytes, precision.activation_bytes)
    return (
        gemm(
            "indexer projection",
            rows=phase.tokens,
            columns=float(heads * dim + dim + heads),
            depth=attention.q_lora_rank or hidden,
            dtype=precision.matmul,
            element_bytes=size,
            scaling=precision.scaling,
        ),
        Op(
            name="indexer scores",
            kind=DECODE_ATTENTION if phase.kind == "decode" else ATTENTION,
            dtype=precision.matmul,
            flop=2.0 * phase.tokens * phase.context * heads * dim,
            traffic_bytes=phase.sequences * phase.keys * dim * precision.activation_bytes,
            rows=phase.tokens / phase.sequences,
            columns=phase.keys,
            depth=float(dim),
            groups=phase.sequences * heads,
            attention=AttentionShape(
                form=INDEX,
                sequences=phase.sequences,
                query_tokens=phase.tokens / phase.sequences,
                keys=phase.keys,
                context=phase.context,
                heads=heads,
                kv_heads=1.0,
                head_dim=dim,
                value_dim=0.0,
                causal=phase.kind != "decode",
                kv_bytes=precision.activation_bytes,
            ),
        ),
    )


def selected(attention: LatentAttention, context: Num) -> Num:
    """Return the keys that a query attends to: all, or the indexer's choice."""
    return np.minimum(context, attention.sparse_top_k_count) if attention.sparse_top_k_count else context


def kv_bytes_per_token(attention: LatentAttention, part: Partition, precision: Precision) -> Num:
    """Return the cache bytes of one token: the latent vector, whole on every tensor rank, and the indexer's key."""
    del part
    indexer_bytes = attention.indexer_dim * precision.activation_bytes if attention.indexer_heads_count else 0.0
    return (attention.kv_lora_rank + attention.qk_rope_dim) * precision.kv_bytes + indexer_bytes
