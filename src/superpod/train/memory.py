"""What one rank holds: weights, gradients, optimizer state, activations, caches."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import (
    Attention,
    DenseFeedForward,
    FeedForward,
    GroupedQueryAttention,
    LatentAttention,
    LayerGroup,
    MixtureOfExperts,
    ModelSpec,
)
from superpod.parallel.layout import Layout
from superpod.result import Num, chosen
from superpod.workload.blocks.moe import load_imbalance
from superpod.workload.parameters import count_parameters

OPTIMIZER_BYTES = 12.0  # fp32 master weight and two Adam moments
GRADIENT_BYTES = 4.0
RESERVE_FRAC = 0.06  # allocator and library share that SimuMax measures on training runs (divides by 0.94)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterShare:
    """Parameters that one rank of the fullest stage holds: those of every token, and routed experts."""

    common: Num
    experts: Num


def parameter_share(spec: ModelSpec, layout: Layout) -> ParameterShare:
    """Return the parameters per rank of the fullest stage: layers over stages, embeddings on the first or last."""
    count = count_parameters(spec)
    chunks = layout.pipeline * layout.virtual
    stage_frac = np.ceil(spec.layers_count / chunks) * layout.virtual / spec.layers_count
    tables = float(count.embedding + count.output_head)
    edge = np.where(layout.pipeline > 1, float(max(count.embedding, count.output_head)), tables)
    body = float(count.total) - tables - float(count.routed_experts)
    return ParameterShare(
        common=(body * stage_frac + edge) / layout.tensor,
        experts=float(count.routed_experts) * stage_frac / (layout.expert * layout.expert_tensor),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes of one rank while it trains."""

    weights_bytes: Num
    gradients_bytes: Num
    optimizer_bytes: Num
    activations_bytes: Num
    logits_bytes: Num
    gathered_bytes: Num
    reserve_bytes: Num

    @property
    def total_bytes(self) -> Num:
        """Everything."""
        held = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes
        working = self.activations_bytes + self.logits_bytes + self.gathered_bytes
        return held + working + self.reserve_bytes


def training_memory(spec: ModelSpec, layout: Layout, sequence_tokens: float, micro_batches: Num) -> TrainingMemory:
    """Return the memory of the fullest rank: stage 0 for activations, an edge stage for parameters.

    Model state: 2 bytes of weights, 4 of gradients, 12 of optimizer a parameter; ZeRO-1 shards the optimizer, 2 also
    the gradients, 3 also the weights, over data (x context) ranks; experts over the ranks that hold the same experts
    (arXiv 1910.02054, section 5; Megatron-LM's distributed optimizer).
    """
    share = parameter_share(spec, layout)
    sharing = layout.data * layout.context
    held = _sharded(share, 2.0, chosen(layout.zero, "3"), sharing, layout.expert_data)
    gradients = _sharded(share, GRADIENT_BYTES, chosen(layout.zero, "2", "3"), sharing, layout.expert_data)
    optimizer = _sharded(share, OPTIMIZER_BYTES, chosen(layout.zero, "1", "2", "3"), sharing, layout.expert_data)
    activations = activation_bytes(spec, layout, sequence_tokens, micro_batches)
    tokens = layout.micro_batch * sequence_tokens / layout.context
    last_stage = tokens * spec.vocab_count / layout.tensor * 6.0  # fp32 logits and their 16-bit gradient
    # Stage 0 holds p micro-batches and the last stage one: logits only count where one stage is both.
    logits = np.where(layout.pipeline > 1, 0.0, last_stage)
    gathered = gathered_bytes(spec, layout, share)
    total = held + gradients + optimizer + activations + logits + gathered
    return TrainingMemory(
        weights_bytes=held,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=activations,
        logits_bytes=logits,
        gathered_bytes=gathered,
        reserve_bytes=total * RESERVE_FRAC / (1.0 - RESERVE_FRAC),
    )


def gathered_bytes(spec: ModelSpec, layout: Layout, share: ParameterShare) -> Num:
    """Return the whole weights of two layers and gradients of one, which ZeRO-3 holds while it computes."""
    if layout.zero != "3":
        return 0.0 * share.common
    layers = np.ceil(spec.layers_count / (layout.pipeline * layout.virtual)) * layout.virtual
    return (share.common + share.experts) / layers * (2.0 * 2.0 + GRADIENT_BYTES)


def _sharded(share: ParameterShare, each_bytes: float, sharded: bool, ranks: Num, expert_ranks: Num) -> Num:
    if not sharded:
        return each_bytes * (share.common + share.experts)
    return each_bytes * (share.common / ranks + share.experts / expert_ranks)


def activation_bytes(spec: ModelSpec, layout: Layout, sequence_tokens: float, micro_batches: Num) -> Num:
    """Return the activations of stage 0 at its peak.

    1F1B keeps min(m, p) micro-batches in flight; v chunks raise that by (p - 1)/(p v) (arXiv 2205.05198, section
    4.2.3). Full recompute keeps each layer's input, and one layer's activations while it is recomputed.
    """
    tokens = layout.micro_batch * sequence_tokens / layout.context
    stage_layers = np.ceil(spec.layers_count / (layout.pipeline * layout.virtual)) * layout.virtual
    per_layer: Num = 0.0
    largest: Num = 0.0
    for group in spec.layers:
        layer = layer_activation_bytes(group, spec.hidden_count, layout, tokens, sequence_tokens)
        per_layer = per_layer + layer * (group.count / spec.layers_count)
        largest = np.maximum(largest, layer)
    interleaved = np.where(layout.virtual > 1, 1.0 + (layout.pipeline - 1.0) / (layout.pipeline * layout.virtual), 1.0)
    in_flight = np.minimum(micro_batches, layout.pipeline * interleaved)
    if layout.recompute == "full":
        split = layout.tensor if layout.sequence_parallel else 1.0
        return in_flight * stage_layers * tokens * spec.hidden_count * 2.0 / split + largest
    return in_flight * stage_layers * per_layer


def layer_activation_bytes(group: LayerGroup, hidden: int, layout: Layout, tokens: Num, keys: float) -> Num:
    """Return what one layer keeps for its backward pass, per rank.

    Unfused attention with dropout: (s b h)(34 + 5 a s / h) / t, selective recompute drops the second term
    (arXiv 2205.05198, equations 1 to 4). Fused attention keeps the tensors that enter and leave it.
    """
    split = layout.tensor
    outer = layout.tensor if layout.sequence_parallel else 1.0
    if not layout.fused_attention and isinstance(group.attention, GroupedQueryAttention):
        scores = 0.0 if layout.recompute == "selective" else 5.0 * group.attention.heads_count * keys
        return tokens * (10.0 * hidden / outer + (24.0 * hidden + scores) / split)
    norms = 8.0 * hidden / outer  # inputs of both norms, of the projections and of the feed-forward, 16 bits
    attention = attention_activation_elements(group.attention) * 2.0 / split
    if layout.recompute == "selective":
        attention = 0.0 * attention  # the attention block is recomputed from the norm's output
    return tokens * (norms + attention + ffn_activation_bytes(group.ffn, hidden, layout, tokens))


def attention_activation_elements(attention: Attention) -> float:
    """Return elements a token that the attention block keeps: queries, keys, values, output, row statistics."""
    if isinstance(attention, GroupedQueryAttention):
        heads, shared = attention.heads_count * attention.head_dim, attention.kv_heads_count * attention.head_dim
        return 2.0 * heads + 2.0 * shared + 2.0 * attention.heads_count
    if isinstance(attention, LatentAttention):
        width = attention.qk_nope_dim + attention.qk_rope_dim
        expanded = attention.heads_count * (2.0 * width + 2.0 * attention.v_dim + 2.0)
        return expanded + attention.q_lora_rank + attention.kv_lora_rank + attention.qk_rope_dim
    keys = attention.key_heads_count * attention.key_dim
    return 2.0 * keys + 3.0 * attention.heads_count * attention.value_dim


def ffn_activation_bytes(ffn: FeedForward, hidden: int, layout: Layout, tokens: Num) -> Num:
    """Return bytes a token that the feed-forward keeps: up, gate and product in 16 bits; experts also keep inputs."""
    if isinstance(ffn, DenseFeedForward):
        return (3.0 if ffn.gated else 2.0) * 2.0 * ffn.width_count / layout.tensor
    return moe_activation_bytes(ffn, hidden, layout, tokens)


def moe_activation_bytes(ffn: MixtureOfExperts, hidden: int, layout: Layout, tokens: Num) -> Num:
    """Return 4 E (router, fp32) + lambda k (4 h + 6 f_e) + 6 f_shared a token, lambda the fullest rank's load."""
    share = tokens / layout.tensor
    fullest = load_imbalance(ffn, share, layout.partition)
    routed = fullest * ffn.top_k * (4.0 * hidden + 6.0 * ffn.width_count / layout.expert_tensor) / layout.tensor
    return 4.0 * ffn.experts_count / layout.tensor + routed + 6.0 * ffn.shared_width_count / layout.tensor
