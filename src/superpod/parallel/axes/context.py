"""Context parallelism: ring attention passes keys and values around (arXiv 2310.01889), or all are gathered first."""

import numpy as np

from superpod.catalog.model_spec import Attention, GroupedQueryAttention, LatentAttention, LinearAttention
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group
from superpod.result import Num


def layer_time(fabric: Fabric, group: Group, attention: Attention, tokens: Num, tensor: Num) -> Num:
    """Return the time of c - 1 exchanges of one rank's keys and values, forward; the backward pass takes about twice.

    Each step sends this rank's (s / c) tokens of keys and values in 16 bits.
    """
    step = collective_time("p2p", fabric, group, tokens * kv_width(attention, tensor) * 2.0)
    return (group.size - 1.0) * step


def ulysses_time(fabric: Fabric, group: Group, attention: Attention, tokens: Num, tensor: Num) -> Num:
    """Return the exchanges of one direction that trade tokens for heads around attention (arXiv 2309.14509, 3.1).

    Queries, keys and values before it and its output after: each rank sends its share of them to all others, 16 bits.
    """
    if isinstance(attention, GroupedQueryAttention):
        queries, values = float(attention.head_dim), float(attention.value_dim or attention.head_dim)
        heads = attention.heads_count / tensor
        before = heads * queries + np.maximum(attention.kv_heads_count / tensor, 1.0) * (queries + values)
    elif isinstance(attention, LatentAttention):
        heads, values = attention.heads_count / tensor, float(attention.v_dim)
        before = heads * (2.0 * (attention.qk_nope_dim + attention.qk_rope_dim) + values)
    else:
        heads, values = attention.heads_count / tensor, float(attention.value_dim)
        before = 2.0 * attention.key_heads_count / tensor * attention.key_dim + heads * values
    there = collective_time("all_to_all", fabric, group, tokens * before * 2.0)
    return there + collective_time("all_to_all", fabric, group, tokens * heads * values * 2.0)


def gather_time(
    fabric: Fabric, group: Group, attention: Attention, keys: Num, tensor: Num, element_bytes: float
) -> Num:
    """Return the all-gather of keys and values of `keys` tokens before attention (arXiv 2407.21783, section 3.3.2).

    Latent attention gathers latents; linear layers their states, of 4 bytes, whatever the tokens (arXiv 2502.07563).
    """
    if isinstance(attention, LinearAttention):
        states = group.size * attention.heads_count / tensor * attention.key_dim * attention.value_dim
        return collective_time("all_gather", fabric, group, states * 4.0)
    return collective_time("all_gather", fabric, group, keys * kv_width(attention, tensor) * element_bytes)


def kv_width(attention: Attention, tensor: Num) -> Num:
    """Return the key and value elements of one token on one tensor rank."""
    if isinstance(attention, GroupedQueryAttention):
        return 2.0 * np.maximum(attention.kv_heads_count / tensor, 1.0) * attention.head_dim
    if isinstance(attention, LatentAttention):
        return float(attention.kv_lora_rank + attention.qk_rope_dim)
    return attention.heads_count / tensor * attention.key_dim * attention.value_dim / 64.0
