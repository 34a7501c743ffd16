"""Parameters that one rank holds: split over tensor ranks, whole on each of them, or of experts."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import (
    Attention,
    FeedForward,
    GroupedQueryAttention,
    LatentAttention,
    LayerGroup,
    LinearAttention,
    MixtureOfExperts,
    ModelSpec,
)
from superpod.parallel.layout import Layout
from superpod.result import Num
from superpod.train.stage_layers import StageLayers, stage_layers
from superpod.workload.parameters import (
    attention_params,
    dense_ffn_params,
    embedding_params,
    expert_params,
    feed_forward_weights,
    indexer_params,
    layer_norm_params,
    norm_params,
    routed_params,
    router_params,
    shared_ffn_params,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterShare:
    """Parameters that one rank holds: those of every token, and routed experts."""

    common: Num
    experts: Num

    def plus(self, other: "ParameterShare", factor: Num = 1.0) -> "ParameterShare":
        """Return the sum with `factor` times the other."""
        return ParameterShare(common=self.common + factor * other.common, experts=self.experts + factor * other.experts)


def parameter_share(spec: ModelSpec, layout: Layout) -> ParameterShare:
    """Return the parameters of one rank of the stage that holds most."""
    most: ParameterShare | None = None
    for stage in stage_layers(spec, layout):
        share = stage_share(spec, layout, stage)
        if most is None:
            most = share
            continue
        more = np.asarray(share.common + share.experts > most.common + most.experts)
        most = ParameterShare(
            common=np.where(more, share.common, most.common), experts=np.where(more, share.experts, most.experts)
        )
    return most if most is not None else ParameterShare(common=0.0, experts=0.0)


def stage_share(spec: ModelSpec, layout: Layout, stage: StageLayers) -> ParameterShare:
    """Return the parameters of one rank of a stage: its layers, and embedding, head and MTP layers where they are.

    A head that is tied to the table is a copy of it where both lie on different stages.
    """
    share = ParameterShare(common=0.0, experts=0.0)
    for group, count in zip(spec.layers, stage.group_layers_count, strict=True):
        share = share.plus(layer_share(group, spec.hidden_count, layout), count)
    edges = stage.embedding_frac * embedding_share(spec, layout) + stage.head_frac * head_share(spec, layout)
    if spec.tied_embeddings:
        edges = edges - stage.embedding_frac * stage.head_frac * head_share(spec, layout)
    last_norm = stage.head_frac * norm_params(spec.hidden_count, with_bias=spec.layers[-1].norm_bias)
    share = share.plus(ParameterShare(common=edges + last_norm, experts=0.0))
    if spec.mtp_layers_count:
        share = share.plus(mtp_share(spec, layout), stage.head_frac * spec.mtp_layers_count)
    return share


def embedding_share(spec: ModelSpec, layout: Layout) -> Num:
    """Return the rank's part of the input table, split by its words; learned positions are whole."""
    words = float(spec.vocab_count) * spec.hidden_count
    return words / layout.tensor + float(embedding_params(spec) - words)


def head_share(spec: ModelSpec, layout: Layout) -> Num:
    """Return the rank's part of the output projection, split by its words."""
    return float(spec.vocab_count) * spec.hidden_count / layout.tensor


def mtp_share(spec: ModelSpec, layout: Layout) -> ParameterShare:
    """Return one multi-token-prediction layer: a layer, the split projection that joins it, and three norms."""
    hidden, group = spec.hidden_count, spec.layers[-1]
    norms = 3.0 * norm_params(hidden, with_bias=group.norm_bias)
    joins = 2.0 * hidden * hidden / layout.tensor
    return layer_share(group, hidden, layout).plus(ParameterShare(common=joins + norms, experts=0.0))


def layer_share(group: LayerGroup, hidden: int, layout: Layout) -> ParameterShare:
    """Return one layer: products over t tensor ranks, experts over e t_e; norms, router and down-projections whole.

    Megatron-LM splits norms, router, gate of the shared expert and the down-projections of latent attention over
    nobody (`megatron/training/theoretical_memory_usage.py`; pull request 4687).
    """
    whole = whole_params(group.attention, hidden) + float(layer_norm_params(group, hidden))
    whole += float(router_params(group.ffn, hidden)) + _gate(group.ffn, hidden)
    ffn = float(dense_ffn_params(group.ffn, hidden) + shared_ffn_params(group.ffn, hidden)) - _gate(group.ffn, hidden)
    attention = float(attention_params(group.attention, hidden)) - whole_params(group.attention, hidden)
    common = (attention + ffn) / layout.tensor + repeated_params(group.attention, hidden, layout) + whole
    return ParameterShare(
        common=common, experts=float(routed_params(group.ffn, hidden)) / (layout.expert * layout.expert_tensor)
    )


def largest_products(group: LayerGroup, hidden: int, layout: Layout) -> tuple[Num, Num]:
    """Return the weights of a layer's distinct products on one rank, attention's and the feed-forward's.

    All experts have the same shape, so one of them counts.
    """
    attention = float(attention_params(group.attention, hidden)) - whole_params(group.attention, hidden)
    shared = float(dense_ffn_params(group.ffn, hidden) + shared_ffn_params(group.ffn, hidden))
    ffn: Num = shared / layout.tensor
    if isinstance(group.ffn, MixtureOfExperts):
        ffn = ffn + float(expert_params(group.ffn, hidden)) / layout.expert_tensor
    return attention / layout.tensor + whole_params(group.attention, hidden), ffn


def whole_params(attention: Attention, hidden: int) -> float:
    """Return what every tensor rank holds whole: inner norms, and the down-projections of latent attention."""
    if isinstance(attention, GroupedQueryAttention):
        norms = 2 * attention.head_dim if attention.qk_norm else 0
        return float(norms + (hidden if attention.out_bias else 0))
    if isinstance(attention, LatentAttention):
        queries = attention.q_lora_rank * (hidden + 1)
        latent = hidden * (attention.kv_lora_rank + attention.qk_rope_dim) + attention.kv_lora_rank
        return float(queries + latent + indexer_params(attention, hidden))
    return float(attention.value_dim)


def repeated_params(attention: Attention, hidden: int, layout: Layout) -> Num:
    """Return what more tensor ranks than key-value heads hold beyond a t-th: a head is never split."""
    if isinstance(attention, LatentAttention):
        return 0.0
    if isinstance(attention, LinearAttention):
        heads, width = attention.key_heads_count, 2 * attention.key_dim
    else:
        heads = attention.kv_heads_count
        width = attention.head_dim + (attention.value_dim or attention.head_dim)
    return hidden * width * (np.maximum(heads / layout.tensor, 1.0) - heads / layout.tensor)


def _gate(ffn: FeedForward, hidden: int) -> float:
    """Return the gate of a shared expert."""
    if not isinstance(ffn, MixtureOfExperts) or ffn.shared_width_count == 0:
        return 0.0
    plain = feed_forward_weights(hidden, ffn.shared_width_count, gated=ffn.gated, bias=ffn.bias)
    return float(shared_ffn_params(ffn, hidden) - plain)
