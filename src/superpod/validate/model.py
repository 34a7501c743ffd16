"""The model of a published point, read from its mapping of shapes."""

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from superpod.catalog.load import Catalogue
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
from superpod.catalog.read import read_toml
from superpod.errors import NoBasisError, UnknownNameError

GATED = frozenset({"swiglu", "geglu", "reglu"})
# Names of models whose positions are learned or added to scores (ALiBi): no rotary embedding runs.
UNROTATED = re.compile(r"\b(gpt|mpt|bloom|opt|turing|mt-nlg)", re.IGNORECASE)
PLAIN = frozenset({"gelu", "relu", "squared-relu", "silu"})
MODELS = Path(__file__).parent / "models.toml"


def model_of(catalogue: Catalogue, model: Mapping[str, Any]) -> ModelSpec:
    """Return the model that a point's mapping describes: by its shapes, or by its name where it prints none.

    Keys: layers, hidden, heads, kv_heads, head_dim, ffn, act, vocab; experts, top_k, moe_ffn, shared_experts and
    dense_layers of a mixture; attention ("MLA" with a mapping `mla`, or words with `sliding-window N`); mtp_layers.
    Raises NoBasisError, naming what is missing.
    """
    name = str(model.get("name") or "")
    known = _catalogued(catalogue, name)
    if "layers" not in model:
        if known is None:
            raise NoBasisError(f"no shapes of the model {name!r}", where="model", hint="layers, hidden, heads, ...")
        return known
    attention = str(model.get("attention") or "")
    if "DSA" in attention and known is not None:
        return known  # a sparse indexer's sizes stand in the catalogue only
    hidden, layers = round(_number(model, "hidden")), round(_number(model, "layers"))
    if known is not None and (known.hidden_count, known.layers_count, known.vocab_count) == (
        hidden,
        layers,
        model.get("vocab"),
    ):
        return known  # has what points leave out: biases, groups of experts
    return ModelSpec(
        id=_slug(name) or "unnamed",
        version="",
        name=name,
        org="",
        hidden_count=hidden,
        vocab_count=round(_number(model, "vocab")),
        context_max_count=0,
        layers=_layers(model, layers, hidden),
        tied_embeddings=bool(model.get("tied_embeddings", False)),
        learned_positions=bool(UNROTATED.search(name)) and not _gated(model),
        mtp_layers_count=round(float(model.get("mtp_layers") or 0)),
        source="",
        kind="user",
    )


def _catalogued(catalogue: Catalogue, name: str) -> ModelSpec | None:
    """Return the catalogue's entry of a printed name, with or without its owner before a slash; None without one."""
    ids = {_key(entry): entry for entry in catalogue.names("models")}
    for plain in (name, name.rsplit("/", 1)[-1]):
        for candidate in (plain, _slug(plain), _catalogue_names().get(_key(plain), ""), ids.get(_key(plain), "")):
            try:
                return catalogue.model(candidate)
            except UnknownNameError:
                continue
    return None


def _layers(model: Mapping[str, Any], layers: int, hidden: int) -> tuple[LayerGroup, ...]:
    """Return the layer groups: dense layers first, windowed and full attention in halves where they alternate."""
    experts = round(float(model.get("experts") or 0))
    first_dense = round(float(model.get("dense_layers") or 0)) if experts else layers
    whole, window = _attention(model, hidden)
    groups: list[LayerGroup] = []
    dense = partial(_dense, model)
    for count, ffn in ((first_dense, dense), (layers - first_dense, partial(_experts, model, experts))):
        if count <= 0:
            continue
        made: FeedForward = ffn()
        halves = ((count, whole),) if window is None else ((count // 2, window), (count - count // 2, whole))
        groups += [LayerGroup(count=part, attention=kind, ffn=made) for part, kind in halves if part]
    return tuple(groups)


def _attention(model: Mapping[str, Any], hidden: int) -> tuple[Attention, Attention | None]:
    """Return a layer's attention, and that of every other layer where full and windowed ones take turns."""
    words = str(model.get("attention") or "")
    heads = round(_number(model, "heads"))
    if "MLA" in words or "mla" in model:
        return _latent(model, heads, words), None
    head_dim = model.get("head_dim") or hidden / heads
    whole = GroupedQueryAttention(
        kind="gqa",
        heads_count=heads,
        kv_heads_count=round(float(model.get("kv_heads") or heads)),
        head_dim=round(float(head_dim)),
        window_count=0,
    )
    found = re.search(r"window\D*(\d+)", words)
    span = round(float(model.get("window") or (found[1] if found else 0)))
    if not span:
        return whole, None
    windowed = GroupedQueryAttention(
        kind="gqa",
        heads_count=heads,
        kv_heads_count=whole.kv_heads_count,
        head_dim=whole.head_dim,
        window_count=span,
    )
    return (whole, windowed) if "alternat" in words else (windowed, None)


def _latent(model: Mapping[str, Any], heads: int, words: str) -> LatentAttention:
    sizes = model.get("mla")
    if not isinstance(sizes, Mapping):
        raise NoBasisError(
            "latent attention without its ranks", where="model.mla", hint="q_lora, kv_lora, qk_nope, ..."
        )
    if "DSA" in words:
        raise NoBasisError("sparse attention without its indexer's sizes", where="model.attention")
    return LatentAttention(
        kind="mla",
        heads_count=heads,
        q_lora_rank=round(float(sizes.get("q_lora") or 0)),
        kv_lora_rank=round(_number(sizes, "kv_lora")),
        qk_nope_dim=round(_number(sizes, "qk_nope")),
        qk_rope_dim=round(_number(sizes, "qk_rope")),
        v_dim=round(_number(sizes, "v_head")),
    )


def _dense(model: Mapping[str, Any]) -> DenseFeedForward:
    return DenseFeedForward(kind="dense", width_count=round(_number(model, "ffn")), gated=_gated(model))


def _experts(model: Mapping[str, Any], experts: int) -> MixtureOfExperts:
    width = round(_number(model, "moe_ffn"))
    shared = float(model.get("shared_experts") or 0)
    return MixtureOfExperts(
        kind="moe",
        experts_count=experts,
        top_k=round(_number(model, "top_k")),
        width_count=width,
        gated=_gated(model),
        shared_width_count=round(float(model.get("shared_ffn") or shared * width)),
    )


def _gated(model: Mapping[str, Any]) -> bool:
    activation = str(model.get("act") or "").lower()
    if activation in GATED:
        return True
    if activation in PLAIN:
        return False
    raise NoBasisError(f"activation {activation!r} is not known", where="model.act", hint="swiglu, gelu, ...")


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise NoBasisError(f"{key} is {value!r}", where=f"model.{key}", hint="a number above 0")
    return float(value)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


@lru_cache(maxsize=1)
def _catalogue_names() -> Mapping[str, str]:
    names: Mapping[str, str] = read_toml(MODELS)["catalogued"]
    return names
