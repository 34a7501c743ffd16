"""How many weights a model has, counted from its shapes alone.

Conventions, which differ between publications:

* `total` and `active` leave out multi-token-prediction layers; `mtp` counts them apart.
* `active` is what one token passes: everything but the routed experts it does not visit. It includes the input
  embedding and the output head; authors who leave one of them out print a smaller number.
* Buffers that no gradient reaches (expert selection corrections of DeepSeek-V3) are no weights.
"""

from dataclasses import dataclass

from superpod.catalog.model_spec import (
    Attention,
    DenseFeedForward,
    FeedForward,
    GroupedQueryAttention,
    LatentAttention,
    LayerGroup,
    LinearAttention,
    MixtureOfExperts,
    ModelSpec,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCount:
    """Weights of a whole model by part; `mtp` is in neither `total` nor `active`."""

    embedding: int  # input table, and learned positions
    output_head: int  # 0 where it is tied to the input table
    attention: int
    dense_ffn: int
    shared_ffn: int
    router: int
    routed_experts: int
    routed_active: int  # the routed experts that one token visits
    norms: int
    mtp: int

    @property
    def total(self) -> int:
        """All weights of the model."""
        return self._always_active + self.routed_experts

    @property
    def active(self) -> int:
        """Weights that one token passes."""
        return self._always_active + self.routed_active

    @property
    def _always_active(self) -> int:
        blocks = self.attention + self.dense_ffn + self.shared_ffn + self.router + self.norms
        return self.embedding + self.output_head + blocks


def count_parameters(spec: ModelSpec) -> ParameterCount:
    """Count the weights of a model.

    total = embedding + output head + sum over layers (attention + feed-forward + norms) + final norm;
    active = total - routed experts + top_k / experts of them.

    Valid for decoder-only models whose layers are the kinds of `catalog.model_spec`; vision towers are left out.
    """
    hidden = spec.hidden_count
    groups = spec.layers
    last_norm = norm_params(hidden, with_bias=groups[-1].norm_bias)
    return ParameterCount(
        embedding=embedding_params(spec),
        output_head=0 if spec.tied_embeddings else spec.vocab_count * hidden,
        attention=sum(group.count * attention_params(group.attention, hidden) for group in groups),
        dense_ffn=sum(group.count * dense_ffn_params(group.ffn, hidden) for group in groups),
        shared_ffn=sum(group.count * shared_ffn_params(group.ffn, hidden) for group in groups),
        router=sum(group.count * router_params(group.ffn, hidden) for group in groups),
        routed_experts=sum(group.count * routed_params(group.ffn, hidden) for group in groups),
        routed_active=sum(group.count * routed_active_params(group.ffn, hidden) for group in groups),
        norms=sum(group.count * layer_norm_params(group, hidden) for group in groups) + last_norm,
        mtp=spec.mtp_layers_count * mtp_layer_params(groups[-1], hidden),
    )


def embedding_params(spec: ModelSpec) -> int:
    """Count the input table, V x h, and a learned position table, s x h."""
    positions = spec.context_max_count if spec.learned_positions else 0
    return (spec.vocab_count + positions) * spec.hidden_count


def layer_params(group: LayerGroup, hidden: int) -> int:
    """Count one layer of a group: attention, feed-forward (all its experts) and norms."""
    return attention_params(group.attention, hidden) + ffn_params(group.ffn, hidden) + layer_norm_params(group, hidden)


def mtp_layer_params(group: LayerGroup, hidden: int) -> int:
    """Count one multi-token-prediction layer: a layer, the 2h x h projection that joins it, and three norms.

    Embedding and output head are those of the main model. Reference: DeepSeek-V3, arXiv 2412.19437, equation 21.
    """
    return layer_params(group, hidden) + 2 * hidden * hidden + 3 * norm_params(hidden, with_bias=group.norm_bias)


def norm_params(width: int, *, with_bias: bool) -> int:
    """Count one RMSNorm (a scale) or LayerNorm (a scale and a bias)."""
    return 2 * width if with_bias else width


def layer_norm_params(group: LayerGroup, hidden: int) -> int:
    """Count the norms of width h in one layer; those inside attention belong to attention."""
    return group.norms_count * norm_params(hidden, with_bias=group.norm_bias)


def attention_params(attention: Attention, hidden: int) -> int:
    """Count the weights of one attention block, its inner norms and biases included."""
    if isinstance(attention, GroupedQueryAttention):
        return grouped_query_params(attention, hidden)
    if isinstance(attention, LatentAttention):
        return latent_params(attention, hidden)
    return linear_params(attention, hidden)


def grouped_query_params(attention: GroupedQueryAttention, hidden: int) -> int:
    """Count queries, keys, values and output: h (a d_k + g d_k + g d_v) + a d_v h, for a heads and g key-value heads.

    An output gate adds h a d_v; query-key norms add 2 d_k (one scale for all heads, as in Qwen3); sinks add a.
    Reference: Ainslie et al. 2023, GQA, arXiv 2305.13245.

    >>> from superpod.catalog.model_spec import GroupedQueryAttention
    >>> grouped_query_params(GroupedQueryAttention(kind="gqa", heads_count=4, kv_heads_count=1, head_dim=2), 8)
    160
    """
    value_dim = attention.value_dim or attention.head_dim
    queries = attention.heads_count * attention.head_dim
    gates = attention.heads_count * value_dim if attention.output_gate else 0
    keys_values = attention.kv_heads_count * (attention.head_dim + value_dim)
    weights = hidden * (queries + gates + keys_values) + attention.heads_count * value_dim * hidden
    biases = (queries + gates + keys_values if attention.qkv_bias else 0) + (hidden if attention.out_bias else 0)
    norms = 2 * attention.head_dim if attention.qk_norm else 0
    return weights + biases + norms + (attention.heads_count if attention.sinks else 0)


def latent_params(attention: LatentAttention, hidden: int) -> int:
    """Count multi-head latent attention: low-rank queries, the joint key-value latent, its expansion and the output.

    h r_q + r_q + r_q a (d_n + d_r) + h (r_kv + d_r) + r_kv + r_kv a (d_n + d_v) + a d_v h, plus the indexer of sparse
    attention. Without query compression (r_q = 0) the first three terms become h a (d_n + d_r).
    Reference: DeepSeek-V2, arXiv 2405.04434, section 2.1 and appendix C.
    """
    rank = attention.q_lora_rank
    heads = attention.heads_count
    query_width = heads * (attention.qk_nope_dim + attention.qk_rope_dim)
    queries = hidden * rank + rank + rank * query_width if rank else hidden * query_width
    latent = hidden * (attention.kv_lora_rank + attention.qk_rope_dim) + attention.kv_lora_rank
    expansion = attention.kv_lora_rank * heads * (attention.qk_nope_dim + attention.v_dim)
    output = heads * attention.v_dim * hidden
    return queries + latent + expansion + output + indexer_params(attention, hidden)


def indexer_params(attention: LatentAttention, hidden: int) -> int:
    """Count the indexer that selects keys: queries from the query latent, one key head with a LayerNorm, head weights.

    r_q a_i d_i + h d_i + 2 d_i + h a_i; 0 where a layer has none. Reference: DeepSeek-V3.2, arXiv 2512.02556, section
    2.
    """
    heads, width = attention.indexer_heads_count, attention.indexer_dim
    if heads == 0:
        return 0
    query_input = attention.q_lora_rank or hidden
    return query_input * heads * width + hidden * width + norm_params(width, with_bias=True) + hidden * heads


def linear_params(attention: LinearAttention, hidden: int) -> int:
    """Count a gated delta-rule block: queries, keys, values, output gate, two gates a head, short convolution, output.

    h (2 g d_k + 2 a d_v + 2 a) + w (2 g d_k + a d_v) + 2 a + d_v + a d_v h, for a value heads, g key heads and
    convolution width w. Reference: Yang et al. 2024, Gated Delta Networks, arXiv 2412.06464, as in Qwen3-Next.
    """
    keys = attention.key_heads_count * attention.key_dim
    values = attention.heads_count * attention.value_dim
    projections = hidden * (2 * keys + 2 * values + 2 * attention.heads_count)
    convolution = attention.conv_width_count * (2 * keys + values)
    decay_and_norm = 2 * attention.heads_count + attention.value_dim
    return projections + convolution + decay_and_norm + values * hidden


def ffn_params(ffn: FeedForward, hidden: int) -> int:
    """Count one feed-forward block: dense, or router, shared expert and all routed experts."""
    dense_and_shared = dense_ffn_params(ffn, hidden) + shared_ffn_params(ffn, hidden)
    return dense_and_shared + router_params(ffn, hidden) + routed_params(ffn, hidden)


def feed_forward_weights(hidden: int, width: int, *, gated: bool, bias: bool) -> int:
    """Count one feed-forward network: h w in (twice if gated), w h out, and a bias on each projection.

    Reference: Shazeer 2020, GLU variants, arXiv 2002.05202.

    >>> feed_forward_weights(4, 10, gated=True, bias=False)
    120
    """
    inputs = 2 if gated else 1
    return (inputs + 1) * hidden * width + (inputs * width + hidden if bias else 0)


def dense_ffn_params(ffn: FeedForward, hidden: int) -> int:
    """Count a dense block; 0 where the layer has routed experts."""
    if not isinstance(ffn, DenseFeedForward):
        return 0
    return feed_forward_weights(hidden, ffn.width_count, gated=ffn.gated, bias=ffn.bias)


def shared_ffn_params(ffn: FeedForward, hidden: int) -> int:
    """Count the shared expert and its gate; 0 where there is none."""
    if not isinstance(ffn, MixtureOfExperts) or ffn.shared_width_count == 0:
        return 0
    gate = hidden if ffn.shared_gate else 0
    return feed_forward_weights(hidden, ffn.shared_width_count, gated=ffn.gated, bias=ffn.bias) + gate


def router_params(ffn: FeedForward, hidden: int) -> int:
    """Count the router, E h, and its bias; 0 where the block is dense."""
    if not isinstance(ffn, MixtureOfExperts):
        return 0
    return ffn.experts_count * (hidden + (1 if ffn.router_bias else 0))


def expert_params(ffn: MixtureOfExperts, hidden: int) -> int:
    """Count the weights of one routed expert."""
    return feed_forward_weights(hidden, ffn.width_count, gated=ffn.gated, bias=ffn.bias)


def routed_params(ffn: FeedForward, hidden: int) -> int:
    """Count all routed experts of one layer; 0 where the block is dense."""
    return ffn.experts_count * expert_params(ffn, hidden) if isinstance(ffn, MixtureOfExperts) else 0


def routed_active_params(ffn: FeedForward, hidden: int) -> int:
    """Count the routed experts of one layer that one token visits."""
    return ffn.top_k * expert_params(ffn, hidden) if isinstance(ffn, MixtureOfExperts) else 0
