"""Tensor parallelism, with or without sequence parallelism (arXiv 2205.05198, section 4.2)."""

import numpy as np

from superpod.catalog.model_spec import (
    Attention,
    GroupedQueryAttention,
    LatentAttention,
    LayerGroup,
    MixtureOfExperts,
)
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group
from superpod.parallel.layout import Layout
from superpod.result import Flag, Num

ELEMENT_BYTES = 2.0  # activations travel in 16 bits


def block_times(fabric: Fabric, group: Group, tokens: Num, hidden: int, *, sequence_parallel: Flag) -> tuple[Num, Num]:
    """Return what gathers before one tensor-parallel block (attention or feed-forward) and what reduces after it.

    Without sequence parallelism nothing and an all-reduce of the activations; with it an all-gather and a
    reduce-scatter. The backward pass sends the same.
    """
    message = tokens * hidden * ELEMENT_BYTES
    scattered: Num = 0.0
    reduced: Num = 0.0
    gathered: Num = 0.0
    if np.any(sequence_parallel):
        gathered = gather_time(fabric, group, tokens, hidden)
        scattered = collective_time("reduce_scatter", fabric, group, message)
    if not np.all(sequence_parallel):
        reduced = collective_time("all_reduce", fabric, group, message)
    return np.where(sequence_parallel, gathered, 0.0), np.where(sequence_parallel, scattered, reduced)


def gather_time(fabric: Fabric, group: Group, tokens: Num, hidden: int) -> Num:
    """Return the time in which tensor ranks gather the tokens that each keeps a share of."""
    return collective_time("all_gather", fabric, group, tokens * hidden * ELEMENT_BYTES)


def blocks_count(group: LayerGroup, layout: Layout) -> Num:
    """Return how many blocks of a layer tensor ranks split: attention, and a feed-forward that they share.

    A mixture of experts without a shared one, whose experts lie whole on ranks, needs none of its own.
    """
    if isinstance(group.ffn, MixtureOfExperts) and not group.ffn.shared_width_count:
        return np.where(np.asarray(layout.expert_tensor) > 1, 2.0, 1.0)
    return 2.0


def staged_time(fabric: Fabric, group: Group, attention: Attention, tokens: Num) -> Num:
    """Return the exchanges of attention whose projections are split by tokens and whose heads are split by ranks.

    Latent attention gathers its compressed queries and keys before, and exchanges head outputs after (SP-TP-SP,
    arXiv 2506.12708, section 4.3.1); others exchange queries, keys and values before (arXiv 2309.14509). Linear layers
    keep their tokens.
    """
    if isinstance(attention, LatentAttention):
        latent = attention.q_lora_rank + attention.kv_lora_rank + attention.qk_rope_dim
        before = collective_time("all_gather", fabric, group, group.size * tokens * latent * ELEMENT_BYTES)
        width = attention.heads_count * attention.v_dim
    elif isinstance(attention, GroupedQueryAttention):
        value_dim = attention.value_dim or attention.head_dim
        width = attention.heads_count * value_dim
        moved = attention.heads_count * attention.head_dim + attention.kv_heads_count * (attention.head_dim + value_dim)
        before = collective_time("all_to_all", fabric, group, tokens * moved * ELEMENT_BYTES)
    else:
        return 0.0 * tokens * group.size
    return before + collective_time("all_to_all", fabric, group, tokens * width * ELEMENT_BYTES)
