"""A model's shapes as the settings of Megatron-Core, both ways.

Defaults are those of `megatron/training/arguments.py` and `TransformerConfig` of Megatron-LM: bias everywhere, tied
embeddings, learned positions, four times the hidden width, two experts a token.
"""

import ast
import re
from itertools import groupby

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
from superpod.errors import ScenarioError
from superpod.frameworks.settings import Settings, listed

NEEDED = ("num_layers", "hidden_size", "num_attention_heads", "vocab_size", "seq_length")
# Architectures that no shapes of a model spec are read from.
OTHER_KINDS = listed(
    "window_size experimental_attention_variant linear_attention_freq hybrid_layer_pattern hybrid_override_pattern"
    " heterogeneous_layers_config_path is_hybrid_model moe_latent_size enable_mhc_connections"
)
SHAPES = listed(
    "num_layers hidden_size num_attention_heads vocab_size padded_vocab_size ffn_hidden_size group_query_attention"
    " num_query_groups kv_channels max_position_embeddings position_embedding_type swiglu disable_bias_linear"
    " add_qkv_bias qk_layernorm normalization untie_embeddings_and_output_weights multi_latent_attention q_lora_rank"
    " kv_lora_rank qk_head_dim qk_pos_emb_head_dim v_head_dim num_experts moe_router_topk moe_ffn_hidden_size"
    " moe_shared_expert_intermediate_size moe_shared_expert_gate moe_router_num_groups moe_router_group_topk"
    " moe_layer_freq moe_router_enable_expert_bias first_k_dense_replace mtp_num_layers attention_output_gate"
    " use_rotary_position_embeddings"
)
LONGEST_PATTERN = 4096  # layers; no model comes near


def read_model(settings: Settings) -> tuple[ModelSpec | None, tuple[str, ...]]:
    """Return the model that the settings describe, or None and what is missing for one."""
    other = tuple(
        f"{settings.said(name)}: shapes of this kind are not read" for name in OTHER_KINDS if name in settings
    )
    aliases = {"vocab_size": "padded_vocab_size", "seq_length": "max_position_embeddings"}
    missing = tuple(name for name in NEEDED if name not in settings and aliases.get(name, name) not in settings)
    if missing or other:
        return None, missing + other
    numbers = {name: settings.whole(name, 0, least=0) or 0 for name in NEEDED}
    layers, heads = numbers["num_layers"], numbers["num_attention_heads"]
    if not layers or not heads:
        raise settings.problem("num_layers" if not layers else "num_attention_heads", "1 or more")
    attention = read_attention(settings, numbers["hidden_size"], heads)
    biased = settings.word("normalization", ("layernorm", "rmsnorm"), "layernorm") == "layernorm"
    rotary = settings.flag("use_rotary_position_embeddings")
    position = settings.word("position_embedding_type", default="rope" if rotary else "learned_absolute")
    feeds = [read_feed(settings, numbers["hidden_size"], moe=moe) for moe in pattern(settings, layers)]
    return ModelSpec(
        id="imported",
        version="imported",
        name="imported model",
        org="",
        hidden_count=numbers["hidden_size"],
        vocab_count=numbers["vocab_size"] or settings.whole("padded_vocab_size") or 0,
        context_max_count=settings.whole("max_position_embeddings") or numbers["seq_length"],
        layers=tuple(
            LayerGroup(count=len(list(same)), attention=attention, ffn=feed, norm_bias=biased)
            for feed, same in groupby(feeds)
        ),
        tied_embeddings=not settings.flag("untie_embeddings_and_output_weights"),
        learned_positions=position == "learned_absolute",
        mtp_layers_count=settings.whole("mtp_num_layers", 0, least=0) or 0,
    ), ()


def read_attention(settings: Settings, hidden: int, heads: int) -> Attention:
    """Return the attention of every layer; widths as Megatron-Core defaults them."""
    if settings.flag("multi_latent_attention"):
        return LatentAttention(
            kind="mla",
            heads_count=heads,
            q_lora_rank=settings.whole("q_lora_rank", 512, least=0) or 0,
            kv_lora_rank=settings.whole("kv_lora_rank", 512) or 0,
            qk_nope_dim=settings.whole("qk_head_dim", 128) or 0,
            qk_rope_dim=settings.whole("qk_pos_emb_head_dim", 64) or 0,
            v_dim=settings.whole("v_head_dim", 128) or 0,
        )
    if "kv_channels" not in settings and hidden % heads:
        raise settings.problem("num_attention_heads", f"a divisor of the hidden size {hidden}, or kv_channels")
    groups = settings.whole("num_query_groups") if settings.flag("group_query_attention") else None
    everywhere = not settings.flag("disable_bias_linear")
    return GroupedQueryAttention(
        kind="gqa",
        heads_count=heads,
        kv_heads_count=groups or (1 if settings.flag("group_query_attention") else heads),
        head_dim=settings.whole("kv_channels", hidden // heads) or 0,
        qkv_bias=everywhere or settings.flag("add_qkv_bias"),
        out_bias=everywhere,
        qk_norm=settings.flag("qk_layernorm"),
        output_gate=settings.flag("attention_output_gate"),
    )


def read_feed(settings: Settings, hidden: int, *, moe: bool) -> FeedForward:
    """Return the feed-forward block of a layer."""
    gated, bias = settings.flag("swiglu"), not settings.flag("disable_bias_linear")
    # 8/3 of the hidden width in steps of 64 where gated, else 4 of it (Megatron-LM's validate_args).
    wide = int((4 * hidden * 2 / 3) / 64) * 64 if gated else 4 * hidden
    width = settings.whole("ffn_hidden_size", wide) or 0
    if not moe:
        return DenseFeedForward(kind="dense", width_count=width, gated=gated, bias=bias)
    groups = settings.degree("moe_router_num_groups")
    return MixtureOfExperts(
        kind="moe",
        experts_count=settings.whole("num_experts") or 0,
        top_k=settings.whole("moe_router_topk", 2) or 0,
        width_count=settings.whole("moe_ffn_hidden_size", width) or 0,
        gated=gated,
        bias=bias,
        shared_width_count=settings.whole("moe_shared_expert_intermediate_size", 0, least=0) or 0,
        shared_gate=settings.flag("moe_shared_expert_gate"),
        expert_groups_count=groups,
        expert_groups_limit=settings.whole("moe_router_group_topk", groups) or 1,
    )


def pattern(settings: Settings, layers: int) -> list[bool]:
    """Return which layers have experts; raise ScenarioError for a pattern of another length."""
    if "num_experts" not in settings:
        return [False] * layers
    first = settings.whole("first_k_dense_replace", 0, least=0) or 0
    value = settings.values["moe_layer_freq"].value if "moe_layer_freq" in settings else 1
    text = " ".join(str(item) for item in value) if isinstance(value, list | tuple) and len(value) == 1 else str(value)
    try:
        plain = re.sub(r"[\s\"']", "", text)
        found = (
            _listed(ast.parse(plain, mode="eval").body) if re.fullmatch(r"[\d+*,()\[\]]*", plain, re.ASCII) else None
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = None
    if isinstance(found, int) and found > 0:
        return [layer >= first and layer % found == 0 for layer in range(layers)]
    if not isinstance(found, list) or len(found) != layers or any(item not in {0, 1} for item in found):
        raise settings.problem("moe_layer_freq", f"a whole number, or a list of 0 and 1 for {layers} layers")
    return [item == 1 for item in found]


def _listed(node: ast.expr) -> int | list[int]:
    """Return the value of whole numbers and lists under + and *; raise ValueError for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.List):
        return [item for item in map(_listed, node.elts) if isinstance(item, int)]
    if isinstance(node, ast.BinOp):
        left, right = _listed(node.left), _listed(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
        if isinstance(node.op, ast.Mult) and isinstance(left, list) != isinstance(right, list):
            items, times = (left, right) if isinstance(left, list) else (right, left)
            if isinstance(items, list) and isinstance(times, int) and len(items) * times <= LONGEST_PATTERN:
                return items * times
    raise ValueError(ast.dump(node))


def written_model(spec: ModelSpec, framework: str) -> dict[str, object]:
    """Return the settings of a model; raise ScenarioError for shapes that Megatron-Core's GPT model lacks."""
    attentions = {group.attention for group in spec.layers}
    dense = {group.ffn for group in spec.layers if isinstance(group.ffn, DenseFeedForward)}
    routed = {group.ffn for group in spec.layers if isinstance(group.ffn, MixtureOfExperts)}
    if len(attentions) > 1 or len(dense) > 1 or len(routed) > 1:
        raise unfit(spec, framework, "layers of several kinds", "one attention, one dense and one expert block")
    biased = {group.norm_bias for group in spec.layers}
    attention, feed, expert = next(iter(attentions)), next(iter(dense), None), next(iter(routed), None)
    settings: dict[str, object] = {
        "num_layers": spec.layers_count,
        "hidden_size": spec.hidden_count,
        "num_attention_heads": attention.heads_count,
        **written_attention(spec, attention, framework),
        "ffn_hidden_size": feed.width_count if feed else expert.width_count if expert else 0,
        "swiglu": (feed or expert or DenseFeedForward(kind="dense", width_count=0)).gated,
        "normalization": "LayerNorm" if True in biased else "RMSNorm",
        "position_embedding_type": "learned_absolute" if spec.learned_positions else "rope",
        "max_position_embeddings": spec.context_max_count,
        "untie_embeddings_and_output_weights": not spec.tied_embeddings,
        "vocab_size": spec.vocab_count,
    }
    everywhere = bias_of(spec, attention, [block for block in (feed, expert) if block], framework)
    settings["disable_bias_linear"] = not everywhere
    if expert:
        settings |= written_experts(spec, expert)
    return {name: value for name, value in settings.items() if value is not False}


def unfit(spec: ModelSpec, framework: str, found: str, expected: str) -> ScenarioError:
    """Say what of a model a framework lacks."""
    return ScenarioError(
        f"model: {spec.name} has {found}; {framework} supports {expected}",
        where=f"export to {framework}",
        hint="leave the model out of the export: its flags then come from your own script",
    )


def bias_of(spec: ModelSpec, attention: Attention, feeds: list[FeedForward], framework: str) -> bool:
    """Return whether every product has a bias; raise ScenarioError where only some have."""
    biases = {feed.bias for feed in feeds}
    if isinstance(attention, GroupedQueryAttention):
        biases |= {attention.out_bias} | ({attention.qkv_bias} if attention.out_bias else set())
    if len(biases) != 1:
        raise unfit(spec, framework, "biases in some products", "them in all, or in query, key and value alone")
    return biases.pop()


def written_attention(spec: ModelSpec, attention: Attention, framework: str) -> dict[str, object]:
    """Return the settings of the attention."""
    if isinstance(attention, LatentAttention) and attention.q_lora_rank and not attention.sparse_top_k_count:
        return {
            "multi_latent_attention": True,
            "q_lora_rank": attention.q_lora_rank,
            "kv_lora_rank": attention.kv_lora_rank,
            "qk_head_dim": attention.qk_nope_dim,
            "qk_pos_emb_head_dim": attention.qk_rope_dim,
            "v_head_dim": attention.v_dim,
            "qk_layernorm": True,
        }
    plain = isinstance(attention, GroupedQueryAttention) and not attention.window_count and not attention.sinks
    if (
        not isinstance(attention, GroupedQueryAttention)
        or not plain
        or attention.value_dim not in {0, attention.head_dim}
    ):
        raise unfit(spec, framework, "attention of another kind", "grouped-query and latent attention over all keys")
    grouped = attention.kv_heads_count != attention.heads_count
    return {
        **({"group_query_attention": True, "num_query_groups": attention.kv_heads_count} if grouped else {}),
        "kv_channels": attention.head_dim,
        "add_qkv_bias": attention.qkv_bias and not attention.out_bias,
        "qk_layernorm": attention.qk_norm,
        "attention_output_gate": attention.output_gate,
    }


def written_experts(spec: ModelSpec, expert: MixtureOfExperts) -> dict[str, object]:
    """Return the settings of routed and shared experts; a list says which layers have them."""
    runs = [(group.count, int(isinstance(group.ffn, MixtureOfExperts))) for group in spec.layers]
    listed = "+".join(f"[{routed}]*{count}" for count, routed in runs)
    shared = {
        "moe_shared_expert_intermediate_size": expert.shared_width_count,
        "moe_shared_expert_gate": expert.shared_gate,
    }
    grouped = {
        "moe_router_num_groups": expert.expert_groups_count,
        "moe_router_group_topk": expert.expert_groups_limit,
    }
    return {
        "num_experts": expert.experts_count,
        "moe_router_topk": expert.top_k,
        "moe_ffn_hidden_size": expert.width_count,
        **({"moe_layer_freq": f"({listed})"} if len(runs) > 1 else {}),
        **(shared if expert.shared_width_count else {}),
        **(grouped if expert.expert_groups_count > 1 else {}),
        "moe_grouped_gemm": True,
        "moe_token_dispatcher_type": "alltoall",
    }
