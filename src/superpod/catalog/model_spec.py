"""What a language model is made of: a list of layer groups, each an attention and a feed-forward kind.

Shapes only; nothing here knows hardware. `workload.parameters` counts weights, `workload.build` lists operators.
"""

from dataclasses import field
from typing import Literal

from superpod.catalog.record import record


@record
class GroupedQueryAttention:
    """Multi-head (kv_heads = heads), grouped-query and multi-query attention, with an optional sliding window."""

    kind: Literal["gqa"]
    heads_count: int
    kv_heads_count: int
    head_dim: int  # of queries and keys
    value_dim: int = 0  # of values; 0 = head_dim
    window_count: int = 0  # keys seen by a query; 0 = all
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    output_gate: bool = False


@record
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), optionally sparse (DeepSeek-V3.2)."""

    kind: Literal["mla"]
    heads_count: int
    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_dim: int
    qk_rope_dim: int
    v_dim: int
    sparse_top_k_count: int = 0  # keys selected for each query; 0 = dense attention
    indexer_heads_count: int = 0  # 0 beside a sparse_top_k_count: the layer reuses the keys an earlier layer selected
    indexer_dim: int = 0


@record
class LinearAttention:
    """Gated delta-rule style linear attention: a constant state per head in place of a KV cache."""

    kind: Literal["linear"]
    heads_count: int
    key_heads_count: int
    key_dim: int
    value_dim: int
    conv_width_count: int = 4


@record
class DenseFeedForward:
    """One feed-forward block that every token passes."""

    kind: Literal["dense"]
    width_count: int
    gated: bool = True
    bias: bool = False


@record
class MixtureOfExperts:
    """Routed experts, of which each token visits `top_k`, and an optional shared expert."""

    kind: Literal["moe"]
    experts_count: int
    top_k: int
    width_count: int
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    shared_width_count: int = 0
    shared_gate: bool = False
    expert_groups_count: int = 1
    expert_groups_limit: int = 1


Attention = GroupedQueryAttention | LatentAttention | LinearAttention
FeedForward = DenseFeedForward | MixtureOfExperts


@record
class LayerGroup:
    """`count` equal layers in a row."""

    count: int
    attention: Attention
    ffn: FeedForward
    norms_count: int = 2  # norm weight vectors of width `hidden_count` in one layer
    norm_bias: bool = False


@record
class PublishedSize:
    """The parameter counts that the model's authors print; None where they print none."""

    params_count: float | None = None
    active_params_count: float | None = None


@record
class ModelSpec:
    """A decoder-only language model by its shapes."""

    id: str
    version: str
    name: str
    org: str
    hidden_count: int
    vocab_count: int
    context_max_count: int
    layers: tuple[LayerGroup, ...]
    tied_embeddings: bool = False
    learned_positions: bool = False
    mtp_layers_count: int = 0
    published: PublishedSize = field(default_factory=PublishedSize)
    source: str = ""  # one source and kind stand for all shapes of the entry
    kind: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""

    @property
    def layers_count(self) -> int:
        """Transformer layers, multi-token-prediction layers not counted."""
        return sum(group.count for group in self.layers)
