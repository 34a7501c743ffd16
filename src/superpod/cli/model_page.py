"""A model's shapes, its parameters by part, and the counts derived against those published."""

from collections.abc import Mapping
from typing import Any

from superpod.catalog.model_spec import (
    Attention,
    DenseFeedForward,
    FeedForward,
    GroupedQueryAttention,
    LatentAttention,
    ModelSpec,
)
from superpod.catalog.provenance import Source
from superpod.cli.facts import source_cell
from superpod.cli.page import Block, Cell, Column, Table
from superpod.cli.wording import DASH, count, scaled
from superpod.units import percent
from superpod.workload.parameters import ParameterCount, count_parameters, layer_params

PARTS = (
    ("input embedding", "embedding"),
    ("output head", "output_head"),
    ("attention", "attention"),
    ("dense feed-forward", "dense_ffn"),
    ("shared experts", "shared_ffn"),
    ("router", "router"),
    ("routed experts", "routed_experts"),
    ("norms", "norms"),
)


def model_section(model: ModelSpec, source: str, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return all blocks of a model."""
    parameters = count_parameters(model)
    return (
        shape_table(model, source, sources),
        layers_table(model),
        parameters_table(parameters),
        published_table(model, parameters),
    )


def shape_table(model: ModelSpec, source: str, sources: Mapping[str, Source]) -> Table:
    """Return the model's widths and where they come from."""
    rows: list[tuple[Cell | str, ...]] = [
        ("by", model.org),
        ("layers", count(model.layers_count)),
        ("hidden width", count(model.hidden_count)),
        ("vocabulary", count(model.vocab_count) + (", tied" if model.tied_embeddings else "")),
        ("longest context", f"{count(model.context_max_count)} tokens"),
    ]
    if model.mtp_layers_count:
        rows.append(("multi-token-prediction layers", count(model.mtp_layers_count)))
    if model.aliases:
        rows.append(("also called", ", ".join(model.aliases)))
    if model.note:
        rows.append(("note", model.note))
    rows.append(("source", source_cell(source, sources)))
    columns = (Column(label="item"), Column(label="content", wraps=True))
    return Table(title="", columns=columns, rows=tuple(rows), compact=True)


def layers_table(model: ModelSpec) -> Table:
    """Return the layer groups in order."""
    columns = (
        Column(label="layers", right=True),
        Column(label="attention", wraps=True),
        Column(label="feed-forward", wraps=True),
        Column(label="10⁶ parameters\na layer", right=True),
    )
    rows = tuple(
        (
            count(group.count),
            attention_text(group.attention),
            feed_forward_text(group.ffn),
            scaled(layer_params(group, model.hidden_count), 1e6),
        )
        for group in model.layers
    )
    return Table(title="Layer groups", columns=columns, rows=rows)


def attention_text(attention: Attention) -> str:
    """Return an attention block in words."""
    if isinstance(attention, GroupedQueryAttention):
        window = f", window {count(attention.window_count)}" if attention.window_count else ""
        heads = f"{attention.heads_count} heads, {attention.kv_heads_count} key-value heads"
        return f"grouped-query: {heads} of {attention.head_dim}{window}"
    if isinstance(attention, LatentAttention):
        sparse = f", top {count(attention.sparse_top_k_count)} keys" if attention.sparse_top_k_count else ""
        queries = attention.q_lora_rank or "not compressed"
        latent = f"latent {attention.kv_lora_rank} + {attention.qk_rope_dim}, queries {queries}"
        return f"multi-head latent: {attention.heads_count} heads, {latent}{sparse}"
    return f"linear: {attention.heads_count} heads, {attention.key_heads_count} key heads of {attention.key_dim}"


def feed_forward_text(ffn: FeedForward) -> str:
    """Return a feed-forward block in words."""
    gated = "gated, " if ffn.gated else ""
    if isinstance(ffn, DenseFeedForward):
        return f"dense: {gated}width {count(ffn.width_count)}"
    shared = f", shared {count(ffn.shared_width_count)}" if ffn.shared_width_count else ""
    return f"experts: {ffn.top_k} of {ffn.experts_count}, {gated}width {count(ffn.width_count)}{shared}"


def parameters_table(parameters: ParameterCount) -> Table:
    """Return the parameters by part."""
    counts: dict[str, Any] = {label: getattr(parameters, name) for label, name in PARTS}
    rows = [
        (label, scaled(number, 1e9), percent(number / parameters.total)) for label, number in counts.items() if number
    ]
    rows.append(("all", scaled(parameters.total, 1e9), percent(1.0)))
    notes = (f"multi-token prediction adds {scaled(parameters.mtp, 1e9)} × 10⁹",) if parameters.mtp else ()
    columns = (Column(label="part"), Column(label="10⁹ parameters", right=True), Column(label="share", right=True))
    return Table(title="Parameters, counted from the shapes", columns=columns, rows=tuple(rows), footnotes=notes)


def published_table(model: ModelSpec, parameters: ParameterCount) -> Table:
    """Return the derived counts against those that the authors print."""
    columns = (
        Column(label="10⁹ parameters"),
        Column(label="derived", right=True),
        Column(label="published", right=True),
        Column(label="difference", right=True),
    )
    pairs = (
        ("all", parameters.total, model.published.params_count),
        ("active for a token", parameters.active, model.published.active_params_count),
    )
    rows = tuple(
        (
            label,
            scaled(derived, 1e9),
            scaled(printed, 1e9),
            f"{100 * (derived / printed - 1):+.1f} %" if printed else DASH,
        )
        for label, derived, printed in pairs
    )
    return Table(title="Derived against published", columns=columns, rows=rows)
