"""Attention kernels: many query rows a sequence, or one; grouped-query and latent."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from superpod.operator_tables.bounds import Measured, measured
from superpod.operator_tables.grid import Grid, build, least_above
from superpod.operator_tables.locate import Backend, System
from superpod.operator_tables.read import FloatArray, columns
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, FULL, LATENT, AttentionShape, Op

PREFILL, DECODE = "context_attention_perf.parquet", "generation_attention_perf.parquet"
LATENT_PREFILL, LATENT_DECODE = "context_mla_perf.parquet", "generation_mla_perf.parquet"
ROW_BYTES = 2.0  # queries and outputs are in 16 bits
# Widths of the latent attention that was timed, DeepSeek-V3's (arXiv 2412.19437, section 4.2): (key, value).
EXPANDED, ABSORBED = (192.0, 128.0), (576.0, 512.0)


def answer(op: Op, tables: System, backend: Backend) -> Measured | None:
    """Return what was measured of an attention kernel, or None where its kind was not.

    Kernels were timed without a prefix and, decoding, with one query a sequence: a prefix or drafts are bounded only.
    """
    shape = op.attention
    if shape is None or op.kind not in {ATTENTION, DECODE_ATTENTION} or op.name.endswith("bwd"):
        return None
    if shape.selected_count or op.dtype != "bf16":
        return None
    decode = op.kind == DECODE_ATTENTION
    if shape.form == LATENT or (shape.head_dim, shape.value_dim) == EXPANDED:
        return latent_answer(op, shape, tables, backend)
    path = tables.file(backend, "attention", DECODE if decode else PREFILL)
    if path is None or shape.form != FULL or shape.value_dim != shape.head_dim:
        return None
    parts = [
        (where, grid)
        for where, kv_heads, ratio in groupings(shape)
        if (grid := kernels(path, decode, shape.head_dim, shape.window_count, cache_word(shape), kv_heads, ratio))
    ]
    return joined(parts, shape, decode) if parts else None


def cache_word(shape: AttentionShape) -> str:
    """Return what the tables call the cache's number format."""
    return "fp8" if shape.kv_bytes < ROW_BYTES else "bfloat16"


def groupings(shape: AttentionShape) -> list[tuple[Any, float, float]]:
    """Return (rows, key-value heads, 1 where each query head has its own else 0) for each grouping in the columns."""
    heads, kv_heads = np.broadcast_arrays(np.asarray(shape.heads, float), np.asarray(shape.kv_heads, float))
    own = heads == kv_heads
    found: list[tuple[Any, float, float]] = [(own, 0.0, 1.0)] if own.any() else []
    return found + [((kv_heads == count) & ~own, float(count), 0.0) for count in np.unique(kv_heads[~own])]


@lru_cache(maxsize=512)
def kernels(
    path: Path, decode: bool, head_dim: float, window: float, cache: str, kv_heads: float, own: float
) -> Grid | None:
    """Return seconds over (sequences, tokens, heads) at one grouping, or None where it was not measured."""
    read = padded_rows(path, decode, int(head_dim), int(window), cache)
    if own:
        kept = read["num_heads"] == read["num_key_value_heads"]
    else:  # from one query head for each key-value head upwards
        kept = read["num_key_value_heads"] == kv_heads
        if not np.any(read["num_heads"][kept] > kv_heads):
            return None
    sizes = (read["batch_size"][kept], read["tokens"][kept], read["num_heads"][kept])
    return build(sizes, read["time_s"][kept])


@lru_cache(maxsize=32)
def padded_rows(path: Path, decode: bool, head_dim: int, window: int, cache: str) -> dict[str, FloatArray]:
    """Return the measurements as `rows` does, each with the least of its own time and those of bigger kernels.

    Bigger in key-value heads too, so that kernels of one query head each take no longer than grouped ones.
    """
    read = rows(path, decode, head_dim, window, cache)
    axes = ("batch_size", "tokens", "num_heads", "num_key_value_heads")
    return {**read, "time_s": padded(tuple(read[name] for name in axes), read["time_s"])}


def rows(path: Path, decode: bool, head_dim: int, window: int, cache: str) -> dict[str, FloatArray]:
    """Return the measurements at one head width, window and cache format, with 16-bit arithmetic."""
    names = ("batch_size", "num_heads", "num_key_value_heads", "step" if decode else "isl")
    where = {"head_dim": head_dim, "window_size": window, "kv_cache_dtype": cache, "attn_dtype": "bfloat16"}
    read = columns(path, names, where)
    return {**read, "tokens": read["step"] + 1.0 if decode else read["isl"]}


def padded(sizes: tuple[FloatArray, ...], time_s: FloatArray) -> FloatArray:
    """Return each time, or the least of those measured at sizes of which none is smaller."""
    knots, places = zip(*(np.unique(size, return_inverse=True) for size in sizes), strict=True)
    spent = np.full(tuple(len(axis) for axis in knots), np.inf)
    np.minimum.at(spent, tuple(places), time_s)
    least: FloatArray = least_above(spent)[tuple(places)]
    return least


def joined(parts: list[tuple[Any, Grid]], shape: AttentionShape, decode: bool) -> Measured:
    """Return the answers of all groupings as one; rows of no measured grouping have no share."""
    answers = []
    for where, grid in parts:
        said = one_grouping(grid, shape, decode)
        answers.append((np.broadcast_to(where, np.broadcast_shapes(where.shape, said.share_frac.shape)), said))
    whole = {"floor": -np.inf, "ceiling": np.inf, "share_frac": 0.0}
    return Measured(
        **{
            name: np.select([where for where, _ in answers], [getattr(said, name) for _, said in answers], nothing)
            for name, nothing in whole.items()
        }
    )


def one_grouping(grid: Grid, shape: AttentionShape, decode: bool) -> Measured:
    """Return what a grid says of the kernel.

    A prompt behind a prefix takes between one of its own length and one of all keys. A decode step with drafts takes
    between one query a sequence and as many sequences as it has queries.
    """
    queries = np.maximum(shape.query_tokens, 1.0)
    if decode:
        smaller, bigger = (shape.sequences, shape.keys), (shape.sequences * queries, shape.keys)
        departure = np.log(queries)
    else:
        smaller = (shape.sequences, shape.query_tokens)
        bigger = (shape.sequences, np.maximum(shape.keys, shape.query_tokens))
        departure = np.log(np.maximum(shape.keys / queries, 1.0))
    apart = bool(np.any(departure > 0.0))
    return measured(grid, (*smaller, shape.heads), (*bigger, shape.heads) if apart else None, departure)


def latent_answer(op: Op, shape: AttentionShape, tables: System, backend: Backend) -> Measured | None:
    """Return what was measured of latent attention: expanded over a prompt, absorbed in a decode step."""
    decode = op.kind == DECODE_ATTENTION
    path = tables.file(backend, "mla", LATENT_DECODE if decode else LATENT_PREFILL)
    if path is None or (shape.head_dim, shape.value_dim) != (ABSORBED if decode else EXPANDED):
        return None
    grid = latent_kernels(path, decode, cache_word(shape))
    return one_grouping(grid, shape, decode) if grid else None


@lru_cache(maxsize=64)
def latent_kernels(path: Path, decode: bool, cache: str) -> Grid | None:
    """Return seconds of latent attention over (sequences, tokens, heads)."""
    token_name = "step" if decode else "isl"
    read = columns(path, ("batch_size", "num_heads", token_name), {"kv_cache_dtype": cache, "mla_dtype": "bfloat16"})
    tokens = read["step"] + 1.0 if decode else read["isl"]
    return build((read["batch_size"], tokens, read["num_heads"]), read["time_s"])
