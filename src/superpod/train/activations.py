"""What a layer keeps of its forward pass until its backward pass, part by part, and what it works with meanwhile."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.model_spec import (
    Attention,
    FeedForward,
    GroupedQueryAttention,
    LatentAttention,
    LayerGroup,
    MixtureOfExperts,
)
from superpod.parallel.layout import Layout
from superpod.result import Flag, Num, chosen, holds
from superpod.workload.blocks.moe import load_imbalance

WIDE = 2.0  # bytes of a 16-bit number
FLOAT = 4.0  # bytes of a 32-bit one


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One kept tensor, in bytes a token, and where a recompute choice drops it."""

    name: str
    token_bytes: Num
    dropped: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerActivations:
    """Bytes of one micro-batch on one layer of a rank.

    `kept_bytes` stay from forward to backward; `again_bytes` come back while the layer is computed again;
    `working_bytes` are gradients and gathered inputs beyond both while its backward pass runs.
    """

    kept_bytes: Num
    again_bytes: Num
    working_bytes: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What pieces of a layer depend on beside its shapes.

    `outer_count` are the ranks that share what lies between blocks, `keys_count` the keys of a query; inputs of
    products take `product_bytes` a number.
    """

    hidden_count: int
    outer_count: Num
    keys_count: float
    product_bytes: float
    layout: Layout

    def recomputes(self, module: str) -> Flag:
        """Return where the layout names a module to compute again."""
        return holds(self.layout.recompute, module)


def layer_activations(
    group: LayerGroup, hidden: int, layout: Layout, tokens: Num, keys: float, product_bytes: float = WIDE
) -> LayerActivations:
    """Return the activations of one layer: the sum of its pieces, or its input alone with full recompute.

    Unfused attention with dropout gives (s b h)(10 / t' + (24 + 5 a s / h) / t), t' = t with sequence parallelism, else
    1; selective recompute drops the last term (arXiv 2205.05198, equations 1 to 4). `product_bytes`: Transformer Engine
    keeps the inputs of FP8 products in 8 bits (`LayerNormLinear`, `Linear` and their grouped form save the cast).
    """
    outer = np.where(layout.sequence_parallel, layout.tensor, 1.0)
    setting = Setting(
        hidden_count=hidden, outer_count=outer, keys_count=keys, product_bytes=product_bytes, layout=layout
    )
    attention = attention_pieces(group.attention, setting)
    ffn = ffn_pieces(group.ffn, setting, tokens)
    pieces = (*_frame(group, setting), *attention, *ffn)
    full = chosen(layout.recompute, "full")
    everything = _sum(pieces)
    kept = sum((np.where(piece.dropped, 0.0, piece.token_bytes) for piece in pieces), np.float64(0.0))
    kept = np.where(full, pieces[0].token_bytes, kept)
    working = np.maximum(
        ffn_working_bytes(group.ffn, setting, tokens),
        attention_working_bytes(group.attention, setting) - _sum(ffn),  # what the feed-forward kept is free by then
    )
    return LayerActivations(
        kept_bytes=tokens * kept, again_bytes=tokens * (everything - kept), working_bytes=tokens * working
    )


def _sum(pieces: tuple[Piece, ...]) -> Num:
    return sum((piece.token_bytes for piece in pieces), np.float64(0.0))


def _frame(group: LayerGroup, setting: Setting) -> tuple[Piece, ...]:
    """Return what lies around the blocks: inputs and outputs of both norms; dropout masks with unfused attention.

    With sequence parallelism a rank keeps its share of a product's input and gathers it again in the backward pass
    (arXiv 2205.05198, section 4.2.2); without gathering again it keeps the whole. FP8 products keep an 8-bit input; a
    router reads 16 bits.
    """
    layout, width = setting.layout, float(setting.hidden_count)
    shared = setting.outer_count
    inputs = np.where(layout.gather_again, shared, 1.0)
    dropout = np.where(_unfused(group.attention, layout), 1.0, 0.0)
    again = setting.recomputes("layernorm")
    routed = isinstance(group.ffn, MixtureOfExperts)
    return (
        Piece(name="input", token_bytes=WIDE * width / shared),
        Piece(name="attention norm", token_bytes=setting.product_bytes * width / inputs, dropped=again),
        Piece(name="attention sum", token_bytes=WIDE * width / shared),
        Piece(
            name="feed-forward norm",
            token_bytes=(WIDE if routed else setting.product_bytes) * width / (shared if routed else inputs),
            dropped=again,
        ),
        Piece(name="dropout masks", token_bytes=2.0 * width / shared * dropout),
    )


def _unfused(attention: Attention, layout: Layout) -> Flag:
    """Return where scores are kept: softmax and products as kernels of their own."""
    if not isinstance(attention, GroupedQueryAttention | LatentAttention):
        return False
    return np.logical_not(layout.fused_attention)


def query_key_value_widths(attention: Attention, tensor: Num) -> tuple[Num, Num, Num]:
    """Return widths of queries, keys and values as a kernel reads them on a tensor rank; no head is split."""
    if isinstance(attention, LatentAttention):
        heads = attention.heads_count / tensor
        width = attention.qk_nope_dim + attention.qk_rope_dim
        return heads * width, heads * width, heads * attention.v_dim
    if isinstance(attention, GroupedQueryAttention):
        shared = np.maximum(attention.kv_heads_count / tensor, 1.0)
        value = attention.value_dim or attention.head_dim
        return attention.heads_count * attention.head_dim / tensor, shared * attention.head_dim, shared * value
    keys = np.maximum(attention.key_heads_count / tensor, 1.0) * attention.key_dim
    return keys, keys, attention.heads_count * attention.value_dim / tensor


def output_width(attention: Attention) -> float:
    """Return the width of all heads' results."""
    if isinstance(attention, LatentAttention):
        return float(attention.heads_count * attention.v_dim)
    if isinstance(attention, GroupedQueryAttention):
        return float(attention.heads_count * (attention.value_dim or attention.head_dim))
    return float(attention.heads_count * attention.value_dim)


def attention_pieces(attention: Attention, setting: Setting) -> tuple[Piece, ...]:
    """Return what the attention block keeps: queries, keys, values, result, and what its kernel adds.

    Fused kernels keep one fp32 statistic a row and head, unfused ones probabilities twice and a mask (5 a s). Ulysses
    keeps the result in both layouts, the kernel's and the projection's; so do FP8 products, in both number formats.
    """
    layout, tensor = setting.layout, setting.layout.tensor
    queries, keys, values = query_key_value_widths(attention, tensor)
    result = output_width(attention) / tensor
    core = setting.recomputes("core_attn") | np.asarray(chosen(layout.recompute, "selective"))
    up: Flag = False
    if isinstance(attention, LatentAttention):
        up = setting.recomputes("mla_up_proj") | np.asarray(chosen(layout.recompute, "selective"))
    ulysses = chosen(layout.context_kind, "ulysses") & np.asarray(np.asarray(layout.context) > 1.0)
    twice = np.where(ulysses, WIDE, 0.0) + (setting.product_bytes if setting.product_bytes < WIDE else 0.0)
    scores = 5.0 * setting.keys_count * attention.heads_count / tensor
    statistics = FLOAT * attention.heads_count / tensor
    return (
        Piece(name="queries", token_bytes=WIDE * queries, dropped=up),
        Piece(name="keys and values", token_bytes=WIDE * (keys + values), dropped=up),
        Piece(name="result", token_bytes=(WIDE + twice) * result),
        Piece(name="scores", token_bytes=np.where(_unfused(attention, layout), scores, statistics), dropped=core),
        *_inner_pieces(attention, setting),
    )


def _inner_pieces(attention: Attention, setting: Setting) -> tuple[Piece, ...]:
    """Return what the kind of attention adds.

    Latent: both latents before and after their norms, and the rotary key. Norms of queries and keys: their inputs. An
    output gate: itself and the product. Linear: inputs of the short convolution, output gate and normed result, decay
    and step size in fp32 (an estimate; arXiv 2412.06464, section 3).
    """
    queries, keys, values = query_key_value_widths(attention, setting.layout.tensor)
    result = output_width(attention) / setting.layout.tensor
    if isinstance(attention, LatentAttention):
        latent = 2.0 * (attention.q_lora_rank + attention.kv_lora_rank) + attention.qk_rope_dim
        indexer = attention.indexer_heads_count * (attention.indexer_dim + 1.0) + attention.indexer_dim
        sparse = FLOAT * attention.sparse_top_k_count
        return (
            Piece(name="latents", token_bytes=WIDE * latent / setting.outer_count),
            Piece(name="indexer", token_bytes=(WIDE * indexer if attention.indexer_heads_count else 0.0) + sparse),
        )
    if isinstance(attention, GroupedQueryAttention):
        normed = WIDE * (queries + keys) if attention.qk_norm else 0.0 * queries
        gated = 2.0 * WIDE * result if attention.output_gate else 0.0 * result
        return Piece(name="before norms", token_bytes=normed), Piece(name="output gate", token_bytes=gated)
    before = WIDE * (queries + keys + values)
    gates = 2.0 * WIDE * result + 2.0 * FLOAT * attention.heads_count / setting.layout.tensor
    return Piece(name="before convolution", token_bytes=before), Piece(name="gates", token_bytes=gates)


def ffn_pieces(ffn: FeedForward, setting: Setting, tokens: Num) -> tuple[Piece, ...]:
    """Return what the feed-forward keeps: what enters its activation function and what leaves it.

    Experts also keep their inputs, k visits a token, lambda times the mean on the fullest rank; weights of visits are
    applied with the activation function, so that results are not kept (Megatron-Core, `moe/experts.py`). The router
    keeps its scores in fp32.
    """
    layout = setting.layout
    if not isinstance(ffn, MixtureOfExperts):
        again = setting.recomputes("mlp")
        width = ffn.width_count / layout.tensor
        return _activation_pieces("feed-forward", width, ffn.gated, setting.product_bytes, (again, again))
    moe = setting.recomputes("moe")
    act = np.asarray(setting.recomputes("moe_act")) | moe
    own = np.asarray(setting.recomputes("shared_experts")) | moe
    visits = visits_per_token(ffn, setting.layout, tokens)
    width = visits * ffn.width_count / layout.expert_tensor
    shared = ffn.shared_width_count / layout.tensor
    return (
        Piece(name="router", token_bytes=FLOAT * ffn.experts_count / setting.outer_count, dropped=moe),
        Piece(name="expert inputs", token_bytes=setting.product_bytes * visits * setting.hidden_count, dropped=moe),
        *_activation_pieces("experts", width, ffn.gated, setting.product_bytes, (moe, act)),
        *_activation_pieces("shared expert", shared, ffn.gated, setting.product_bytes, (own, own)),
    )


def _activation_pieces(
    name: str, width: Num, gated: bool, product_bytes: float, dropped: tuple[Flag, Flag]
) -> tuple[Piece, ...]:
    """Return the input of an activation function (twice the width where it is gated) and its output."""
    fan = 2.0 if gated else 1.0
    return (
        Piece(name=f"{name} up", token_bytes=fan * WIDE * width, dropped=dropped[0]),
        Piece(name=f"{name} activation", token_bytes=product_bytes * width, dropped=dropped[1]),
    )


def visits_per_token(ffn: MixtureOfExperts, layout: Layout, tokens: Num) -> Num:
    """Return the rows of experts on the fullest rank over the tokens of its tensor group: lambda k t_e / t."""
    own = tokens / layout.tensor * layout.expert_tensor
    visits: Num = load_imbalance(ffn, own, layout.partition) * ffn.top_k * layout.expert_tensor / layout.tensor
    return visits


def ffn_working_bytes(ffn: FeedForward, setting: Setting, tokens: Num) -> Num:
    """Return bytes a token that the backward pass of a feed-forward holds beyond what the layer kept.

    Dense, the largest of three moments, each beside the gradient of the layer's output: down (gathered gradient, that
    of its input), activation (gradient of its input; its own output is used up), up (gathered input, gradient of it).
    Experts: activation, or visits on both sides of the exchange.
    """
    layout, hidden = setting.layout, float(setting.hidden_count)
    own = WIDE * hidden / setting.outer_count
    fan = 2.0 if ffn.gated else 1.0
    if isinstance(ffn, MixtureOfExperts):
        visits = visits_per_token(ffn, layout, tokens)
        within = fan * WIDE * visits * ffn.width_count / layout.expert_tensor
        return own + np.maximum(within, 2.0 * WIDE * visits * hidden)
    width = WIDE * ffn.width_count / layout.tensor
    gathered = np.where(np.asarray(setting.outer_count) > 1.0, WIDE * hidden, 0.0)
    moments = np.maximum(gathered + width, fan * width)
    return own + np.maximum(moments, gathered + WIDE * hidden - width)


def attention_working_bytes(attention: Attention, setting: Setting) -> Num:
    """Return bytes a token that the backward pass of attention holds: gradients of what its kernel reads and wrote.

    Context ranks hold two blocks of keys and values more on a ring, or what they send and receive with Ulysses.
    """
    layout = setting.layout
    queries, keys, values = query_key_value_widths(attention, layout.tensor)
    gradients = queries + keys + values + output_width(attention) / layout.tensor
    exchanged = np.where(chosen(layout.context_kind, "ulysses"), queries + keys + values, keys + values)
    exchanged = np.where(np.asarray(layout.context) > 1.0, 2.0 * exchanged, 0.0)
    return WIDE * (gradients + exchanged + setting.hidden_count / setting.outer_count)
