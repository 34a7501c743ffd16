"""Hugging Face `config.json` files to model specs.

The same word means different things in different families (`intermediate_size` is the expert width in Mixtral and the
dense width in DeepSeek), so each family has its own small function, listed in `FAMILIES`.
Reference for field meanings: the configuration classes of the `transformers` library.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

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
from superpod.catalog.record import record
from superpod.errors import CatalogueError, did_you_mean

# Pangu Pro MoE routes one token to one expert in each of eight groups (arXiv 2505.21411, section 2); its files do not
# say so.
PANGU_PRO_GROUPS_COUNT = 8
# Llama 4: every fourth layer has no rotary positions and sees all keys, the others see chunks (Llama4TextConfig
# defaults).
LLAMA4_FULL_ATTENTION_INTERVAL = 4
# Qwen3-Next and Qwen3.5: every fourth layer is full attention unless `layer_types` says otherwise.
QWEN_FULL_ATTENTION_INTERVAL = 4


@record
class Config:
    """The language model's part of a `config.json`, and where it came from."""

    where: str
    values: Mapping[str, Any]

    @property
    def layers_count(self) -> int:
        """Transformer layers."""
        return self.integer("num_hidden_layers", "n_layer")

    def found(self, *names: str) -> str:
        """Return the first of the names that is present and not null, or an empty string."""
        return next((name for name in names if self.values.get(name) is not None), "")

    def integer(self, *names: str, default: int | None = None) -> int:
        """Return the first named field that is present; raise CatalogueError where it is missing or no integer."""
        name = self.found(*names)
        if not name:
            if default is None:
                raise self.problem(names[0], "nothing", "an integer")
            return default
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.problem(name, repr(value), "an integer, 0 or more")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a true-or-false field."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.problem(name, repr(value), "true or false")
        return value

    def per_layer(self, name: str, allowed: tuple[Any, ...]) -> list[Any]:
        """Return a field that lists one item for each layer, or an empty list where it is absent."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or len(value) not in {0, self.layers_count}:
            found = f"{len(value)} items" if isinstance(value, list) else repr(value)
            raise self.problem(name, found, f"{self.layers_count} items, one a layer")
        unknown = next((item for item in value if item not in allowed), None)
        if unknown is not None:
            raise self.problem(name, repr(unknown), " or ".join(str(item) for item in allowed))
        return value

    def problem(self, name: str, found: str, expected: str) -> CatalogueError:
        """Say what is wrong with a field."""
        close = did_you_mean(name, self.values)
        advice = (
            close or f"a {self.values.get('model_type', '')} config.json of the transformers library has this field"
        )
        return CatalogueError(f"{name}: found {found}, expected {expected}", where=self.where, hint=advice)


Layer = tuple[Attention, FeedForward]
Family = Callable[[Config], ModelSpec]


def read_config(path: Path) -> dict[str, Any]:
    """Read a `config.json`, or the one in a folder; raise CatalogueError where it is no JSON object."""
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(
            f"cannot read the file: {error}", where=str(file), hint="give a config.json or its folder"
        ) from None
    except json.JSONDecodeError as error:
        raise CatalogueError(f"malformed JSON: {error}", where=str(file)) from None
    except RecursionError:
        raise CatalogueError("nested too deeply to be read", where=str(file)) from None
    if not isinstance(config, dict):
        raise CatalogueError(f"found a {type(config).__name__}, expected a JSON object", where=str(file))
    return config


def spec_from_config(config: Mapping[str, Any], name: str) -> ModelSpec:
    """Return the spec of a Hugging Face model; `name` is its repository or file, `org/model`.

    Multimodal files nest the language model under `text_config`; the other towers are left out.
    """
    values = _language_model(config, name)
    kind = values.get("model_type")
    family = FAMILIES.get(kind.lower().removesuffix("_text")) if isinstance(kind, str) else None
    if family is None:
        close = did_you_mean(str(kind), FAMILIES)
        raise CatalogueError(
            f"model_type: found {kind!r}, expected a supported family",
            where=name,
            hint=f"{close} supported: {', '.join(sorted(FAMILIES))}".strip(),
        )
    return family(Config(where=name, values=values))


def _language_model(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    nested = config.get("text_config")
    if nested is None:
        return dict(config)
    if not isinstance(nested, Mapping):
        raise CatalogueError(f"text_config: found {nested!r}, expected an object", where=name)
    outer = {key: config[key] for key in ("model_type", "tie_word_embeddings") if key in config}
    return {**outer, **nested}


def _spec(
    config: Config, layers: Iterable[Layer], *, mtp_layers: int = 0, norms: int = 2, norm_bias: bool = False
) -> ModelSpec:
    """Assemble a spec: equal layers become one group, in the order in which each kind first appears."""
    counts: dict[Layer, int] = {}
    for layer in layers:
        counts[layer] = counts.get(layer, 0) + 1
    if not counts:
        raise config.problem("num_hidden_layers", "0", "at least one layer")
    org, _, name = config.where.rpartition("/")
    is_gpt2 = config.values.get("model_type") == "gpt2"
    return ModelSpec(
        id=re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "imported",
        version="imported",
        name=name,
        org=org.rpartition("/")[2],
        hidden_count=config.integer("hidden_size", "n_embd"),
        vocab_count=config.integer("vocab_size"),
        context_max_count=config.integer("max_position_embeddings", "n_positions"),
        layers=tuple(
            LayerGroup(count=count, attention=attention, ffn=ffn, norms_count=norms, norm_bias=norm_bias)
            for (attention, ffn), count in counts.items()
        ),
        tied_embeddings=config.flag("tie_word_embeddings", default=is_gpt2),
        learned_positions=is_gpt2,
        mtp_layers_count=mtp_layers,
    )


def _head_dim(config: Config) -> int:
    """Return `head_dim`, or hidden / heads where it is absent."""
    hidden, heads = config.integer("hidden_size", "n_embd"), config.integer("num_attention_heads", "n_head")
    if not config.found("head_dim") and (heads == 0 or hidden % heads):
        raise config.problem("head_dim", f"nothing, and {heads} heads do not divide {hidden}", "an integer")
    return config.integer("head_dim", default=hidden // max(heads, 1))


def _heads(config: Config, **extra: Any) -> GroupedQueryAttention:
    heads = config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", default=heads)
    return GroupedQueryAttention(
        kind="gqa", heads_count=heads, kv_heads_count=kv_heads, head_dim=_head_dim(config), **extra
    )


def _windows(config: Config, *, unless_said: bool = True) -> list[int]:
    """Return the window of each layer, 0 where it sees all keys; `unless_said` is the family's default of its use."""
    count = config.layers_count
    kinds = config.per_layer("layer_types", ("sliding_attention", "full_attention"))
    if "sliding_attention" in kinds:
        return [config.integer("sliding_window") if kind == "sliding_attention" else 0 for kind in kinds]
    window = config.integer("sliding_window", default=0)
    if kinds or not config.flag("use_sliding_window", default=unless_said):
        return [0] * count
    full = config.integer("max_window_layers", default=0)
    return [0 if layer < full else window for layer in range(count)]


def _dense(config: Config, *, bias: bool = False) -> DenseFeedForward:
    return DenseFeedForward(kind="dense", width_count=config.integer("intermediate_size"), bias=bias)


def _experts(config: Config, width: int, **extra: Any) -> MixtureOfExperts:
    """Return the routed experts: three names of their number, two of the experts a token visits."""
    return MixtureOfExperts(
        kind="moe",
        experts_count=config.integer("n_routed_experts", "num_routed_experts", "num_experts", "num_local_experts"),
        top_k=config.integer("num_experts_per_tok", "num_experts_per_token", "experts_per_token"),
        width_count=width,
        **extra,
    )


def _deepseek_experts(config: Config) -> MixtureOfExperts:
    """Return DeepSeek's experts: shared ones as wide as routed ones, and group-limited routing."""
    width = config.integer("moe_intermediate_size")
    shared = config.integer("n_shared_experts", "num_shared_experts", default=0)
    groups = config.integer("n_group", default=1)
    limit = config.integer("topk_group", default=1)
    return _experts(
        config, width, shared_width_count=shared * width, expert_groups_count=groups, expert_groups_limit=limit
    )


def _routed_layers(config: Config) -> list[bool]:
    """Say which layers have experts: by a list of kinds, a list of 0 and 1, or a number of dense layers first."""
    count = config.layers_count
    kinds = config.per_layer("mlp_layer_types", ("dense", "sparse"))
    if kinds:
        return [kind == "sparse" for kind in kinds]
    if isinstance(config.values.get("moe_layer_freq"), list):
        return [bool(flag) for flag in config.per_layer("moe_layer_freq", (0, 1))]
    first = config.integer("first_k_dense_replace", "num_dense_layers", default=0)
    every = max(config.integer("moe_layer_freq", default=1), 1)
    return [layer >= first and layer % every == 0 for layer in range(count)]


def _qwen_routed_layers(config: Config) -> list[bool]:
    """Say which layers have experts: every `decoder_sparse_step`-th that `mlp_only_layers` does not name."""
    dense = config.values.get("mlp_only_layers") or []
    step = max(config.integer("decoder_sparse_step", default=1), 1)
    return [layer not in dense and (layer + 1) % step == 0 for layer in range(config.layers_count)]


def _mixed(config: Config, attention: Attention, moe: MixtureOfExperts, routed: list[bool]) -> list[Layer]:
    """Pair one attention with experts where `routed` says so, and with a dense block elsewhere."""
    return [(attention, moe if is_routed else _dense(config)) for is_routed in routed]


def _qwen_feed_forwards(config: Config) -> list[FeedForward]:
    """Return the blocks of a Qwen family with a gated shared expert; dense ones where the file names no experts."""
    if not config.found("num_experts"):
        return [_dense(config)] * config.layers_count
    shared = config.integer("shared_expert_intermediate_size")
    moe = _experts(config, config.integer("moe_intermediate_size"), shared_width_count=shared, shared_gate=True)
    return [moe if routed else _dense(config) for routed in _qwen_routed_layers(config)]


def _llama(config: Config) -> ModelSpec:
    bias = config.flag("attention_bias")
    ffn = _dense(config, bias=config.flag("mlp_bias"))
    return _spec(
        config,
        [(_heads(config, qkv_bias=bias, out_bias=bias, window_count=window), ffn) for window in _windows(config)],
    )


def _qwen2(config: Config) -> ModelSpec:
    mtp = config.integer("num_nextn_predict_layers", default=0)
    layers = [
        (_heads(config, qkv_bias=True, window_count=window), _dense(config))
        for window in _windows(config, unless_said=False)
    ]
    return _spec(config, layers, mtp_layers=mtp)


def _qwen3(config: Config) -> ModelSpec:
    bias = config.flag("attention_bias")
    ffn = _dense(config)
    windows = _windows(config, unless_said=False)
    layers = [
        (_heads(config, qk_norm=True, qkv_bias=bias, out_bias=bias, window_count=window), ffn) for window in windows
    ]
    return _spec(config, layers)


def _qwen2_moe(config: Config) -> ModelSpec:
    attention = _heads(config, qkv_bias=True)
    return _spec(config, [(attention, ffn) for ffn in _qwen_feed_forwards(config)])


def _qwen3_moe(config: Config) -> ModelSpec:
    bias = config.flag("attention_bias")
    moe = _experts(config, config.integer("moe_intermediate_size"))
    attention = _heads(config, qk_norm=True, qkv_bias=bias, out_bias=bias)
    return _spec(config, _mixed(config, attention, moe, _qwen_routed_layers(config)))


def _qwen3_next(config: Config) -> ModelSpec:
    """Read Qwen3-Next and Qwen3.5: three linear-attention layers to one of gated full attention."""
    full = _heads(config, qk_norm=True, output_gate=config.flag("attn_output_gate", default=True))
    linear = LinearAttention(
        kind="linear",
        heads_count=config.integer("linear_num_value_heads"),
        key_heads_count=config.integer("linear_num_key_heads"),
        key_dim=config.integer("linear_key_head_dim"),
        value_dim=config.integer("linear_value_head_dim"),
        conv_width_count=config.integer("linear_conv_kernel_dim", default=4),
    )
    interval = config.integer("full_attention_interval", default=QWEN_FULL_ATTENTION_INTERVAL)
    kinds = config.per_layer("layer_types", ("linear_attention", "full_attention")) or [
        "linear_attention" if (layer + 1) % interval else "full_attention" for layer in range(config.layers_count)
    ]
    layers = [
        (linear if kind == "linear_attention" else full, ffn)
        for kind, ffn in zip(kinds, _qwen_feed_forwards(config), strict=True)
    ]
    return _spec(config, layers, mtp_layers=config.integer("mtp_num_hidden_layers", default=0))


def _mixtral(config: Config) -> ModelSpec:
    moe = _experts(config, config.integer("intermediate_size"))
    return _spec(config, [(_heads(config, window_count=window), moe) for window in _windows(config)])


def _minimax_m2(config: Config) -> ModelSpec:
    moe = _experts(
        config,
        config.integer("intermediate_size"),
        shared_width_count=config.integer("shared_intermediate_size", default=0),
    )
    attention = _heads(config, qk_norm=config.flag("use_qk_norm"))
    modules = config.integer("num_mtp_modules", default=0) if config.flag("use_mtp") else 0
    mtp = modules * config.integer("mtp_transformer_layers", default=1)
    return _spec(config, [(attention, moe)] * config.layers_count, mtp_layers=mtp)


def _gpt_oss(config: Config) -> ModelSpec:
    bias = config.flag("attention_bias", default=True)
    moe = _experts(config, config.integer("intermediate_size"), bias=True, router_bias=True)
    windows = _windows(config)
    if not config.found("layer_types"):  # GptOssConfig: windowed and full layers take turns
        windows = [0 if layer % 2 else config.integer("sliding_window") for layer in range(config.layers_count)]
    layers = [
        (_heads(config, qkv_bias=bias, out_bias=bias, sinks=True, window_count=window), moe) for window in windows
    ]
    return _spec(config, layers)


def _llama4(config: Config) -> ModelSpec:
    """Read Llama 4: `intermediate_size` is the width of experts and of the shared expert; rotary layers see chunks."""
    width = config.integer("intermediate_size")
    moe = _experts(config, width, shared_width_count=width)
    dense = DenseFeedForward(kind="dense", width_count=config.integer("intermediate_size_mlp"))
    step = config.integer("interleave_moe_layer_step", default=1)
    routed = config.values.get("moe_layers") or range(step - 1, config.layers_count, max(step, 1))
    bias = config.flag("attention_bias")
    chunk = config.integer("attention_chunk_size", default=0)
    rotary = config.per_layer("no_rope_layers", (0, 1)) or [
        (layer + 1) % LLAMA4_FULL_ATTENTION_INTERVAL for layer in range(config.layers_count)
    ]
    layers = [
        (
            _heads(config, qkv_bias=bias, out_bias=bias, window_count=chunk if rotary[layer] else 0),
            moe if layer in routed else dense,
        )
        for layer in range(config.layers_count)
    ]
    return _spec(config, layers)


def _latent(config: Config, **extra: Any) -> LatentAttention:
    """Return latent attention; Pangu Ultra MoE has names of its own for every field."""
    return LatentAttention(
        kind="mla",
        heads_count=config.integer("num_attention_heads"),
        q_lora_rank=config.integer("q_lora_rank", "attention_q_lora_dim", default=0),
        kv_lora_rank=config.integer("kv_lora_rank", "attention_kv_lora_dim"),
        qk_nope_dim=config.integer("qk_nope_head_dim", "attention_qk_dim"),
        qk_rope_dim=config.integer("qk_rope_head_dim", "attention_qk_rope_dim"),
        v_dim=config.integer("v_head_dim", "attention_v_dim"),
        **extra,
    )


def _deepseek(config: Config) -> ModelSpec:
    """Read DeepSeek-V2 and V3, Kimi K2 and Pangu Ultra MoE."""
    mtp = config.integer("num_nextn_predict_layers", "num_mtp_layers", default=0)
    layers = _mixed(config, _latent(config), _deepseek_experts(config), _routed_layers(config))
    return _spec(config, layers, mtp_layers=mtp, norms=4 if config.flag("sandwich_norm") else 2)


def _deepseek_sparse(config: Config) -> ModelSpec:
    """Read DeepSeek-V3.2 and GLM-5: latent attention over keys that an indexer selects, which layers may share."""
    keys = config.integer("index_topk")
    own = _latent(
        config,
        sparse_top_k_count=keys,
        indexer_heads_count=config.integer("index_n_heads"),
        indexer_dim=config.integer("index_head_dim"),
    )
    reused = _latent(config, sparse_top_k_count=keys)
    indexers = config.per_layer("indexer_types", ("full", "shared")) or ["full"] * config.layers_count
    dense, moe = _dense(config), _deepseek_experts(config)
    layers = [
        (reused if indexer == "shared" else own, moe if routed else dense)
        for indexer, routed in zip(indexers, _routed_layers(config), strict=True)
    ]
    return _spec(config, layers, mtp_layers=config.integer("num_nextn_predict_layers", default=0))


def _glm4_moe(config: Config) -> ModelSpec:
    attention = _heads(config, qkv_bias=config.flag("attention_bias"), qk_norm=config.flag("use_qk_norm"))
    mtp = config.integer("num_nextn_predict_layers", default=0)
    layers = _mixed(config, attention, _deepseek_experts(config), _routed_layers(config))
    return _spec(config, layers, mtp_layers=mtp)


def _mimo_v2_flash(config: Config) -> ModelSpec:
    """Read MiMo-V2-Flash: windowed layers have head counts of their own; values are narrower than keys."""
    full = _heads(config, value_dim=config.integer("v_head_dim"), sinks=config.flag("add_full_attention_sink_bias"))
    windowed = GroupedQueryAttention(
        kind="gqa",
        heads_count=config.integer("swa_num_attention_heads"),
        kv_heads_count=config.integer("swa_num_key_value_heads"),
        head_dim=config.integer("swa_head_dim"),
        value_dim=config.integer("swa_v_head_dim"),
        window_count=config.integer("sliding_window", "sliding_window_size"),
        sinks=config.flag("add_swa_attention_sink_bias"),
    )
    pattern = config.per_layer("hybrid_layer_pattern", (0, 1))
    if not pattern:
        raise config.problem("hybrid_layer_pattern", "nothing", f"{config.layers_count} items, one a layer")
    dense, moe = _dense(config), _deepseek_experts(config)
    routed = _routed_layers(config)
    return _spec(
        config, [(windowed if flag else full, moe if routed[layer] else dense) for layer, flag in enumerate(pattern)]
    )


def _pangu_pro_moe(config: Config) -> ModelSpec:
    moe = _experts(
        config,
        config.integer("moe_intermediate_size"),
        shared_width_count=config.integer("shared_expert_intermediate_size", default=0),
        expert_groups_count=PANGU_PRO_GROUPS_COUNT,
        expert_groups_limit=PANGU_PRO_GROUPS_COUNT,
    )
    attention = _heads(config, qkv_bias=True, out_bias=True)
    return _spec(config, _mixed(config, attention, moe, _qwen_routed_layers(config)))


def _gpt2(config: Config) -> ModelSpec:
    heads, hidden = config.integer("n_head"), config.integer("n_embd")
    attention = GroupedQueryAttention(
        kind="gqa", heads_count=heads, kv_heads_count=heads, head_dim=_head_dim(config), qkv_bias=True, out_bias=True
    )
    ffn = DenseFeedForward(
        kind="dense", width_count=config.integer("n_inner", default=4 * hidden), gated=False, bias=True
    )
    return _spec(config, [(attention, ffn)] * config.layers_count, norm_bias=True)


def _gpt_neox(config: Config) -> ModelSpec:
    bias = config.flag("attention_bias", default=True)
    ffn = DenseFeedForward(kind="dense", width_count=config.integer("intermediate_size"), gated=False, bias=True)
    return _spec(config, [(_heads(config, qkv_bias=bias, out_bias=bias), ffn)] * config.layers_count, norm_bias=True)


FAMILIES: Mapping[str, Family] = {
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek,
    "deepseek_v32": _deepseek_sparse,
    "glm4_moe": _glm4_moe,
    "glm_moe_dsa": _deepseek_sparse,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "gpt_oss": _gpt_oss,
    "kimi_k2": _deepseek,
    "llama": _llama,
    "llama4": _llama4,
    "mimo": _qwen2,
    "mimo_v2_flash": _mimo_v2_flash,
    "minimax_m2": _minimax_m2,
    "mistral": _llama,
    "mixtral": _mixtral,
    "pangu_ultra_moe": _deepseek,
    "pangupromoe": _pangu_pro_moe,
    "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_5": _qwen3_next,
    "qwen3_5_moe": _qwen3_next,
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
    "qwen3_vl": _qwen3,
    "qwen3_vl_moe": _qwen3_moe,
}
