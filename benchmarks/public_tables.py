"""The operator tables of aiconfigurator-core 0.12.0 (Apache-2.0) as samples for `superpod.calibrate`.

The newest version of each backend is taken; a shape's time is the geometric middle over backends. Left out: backends
whose smallest product takes over 2.5 times as long as that of the quickest (the host is in their times), TensorRT-LLM's
attention over heads (rotary embedding is in it; its decode over 8-bit caches, whose kernels are its own, has a curve by
itself) and Triton's stand-ins; of latent attention and of experts the quickest backend counts, as an engine picks its
kernel.

Products of narrow formats are timed with the quantising of their 16-bit input (github.com/ai-dynamo/aiconfigurator,
pull requests 261 and 1220), which a workload has as a kernel of its own. It is taken out: TensorRT-LLM's as the package
timed it, and where it did not, as the family's own elementwise kernel.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from superpod.calibrate.samples import ELEMENT_BYTES, Samples, attention, families, product
from superpod.catalog.load import Catalogue
from superpod.workload.op import FULL, LATENT, elementwise

SYSTEMS = {  # folder of the package: chip of the catalogue
    "h100_sxm": "h100-sxm",
    "h200_sxm": "h200-sxm",
    "b200_sxm": "b200-sxm",
    "gb200": "gb200",
    "b300_sxm": "b300-sxm",
    "gb300": "gb300",
    "a100_sxm": "a100-sxm-80gb",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtx-pro-6000",
}
FAMILIES = {
    "nvidia-ampere": ("a100_sxm",),
    "nvidia-ada": ("l40s",),
    "nvidia-hopper": ("h100_sxm", "h200_sxm"),
    "nvidia-blackwell": ("b200_sxm", "gb200"),
    "nvidia-blackwell-ultra": ("b300_sxm", "gb300"),
    "nvidia-blackwell-workstation": ("rtx_pro_6000_server",),
}
FORMATS = {"bf16": "bfloat16", "fp8": "fp8", "fp8_block": "fp8_block", "fp4": "nvfp4"}
NARROW = ("trtllm",)  # engines whose decode over 8-bit caches has a curve by itself
QUANTISED_BYTES = {"fp8_block": 3.0, "fp4": 2.5625}  # read in 16 bits and written, an element of the input
LEAST_LEFT = 0.25  # share of a row that is left without quantising: of rows with less, noise is left
HOST_RATIO = 2.5
SIZES = {"gemm": 1500, "attention": 1500, "experts": 1200}  # rows drawn of each chip
CACHED = (0.3e6, 200e6)  # bytes that the L2 cache may keep between repeats: such elementwise rows are left out
SEED = 0
Array = np.ndarray[Any, Any]


def tables(root: Path, system: str, family: str, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the newest table of each backend."""
    for backend in ("trtllm", "sglang", "vllm"):
        found = list(root.glob(f"{system}/{family}/{backend}/*/{name}_perf.parquet"))
        if found:
            newest = max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parent.name)])
            yield backend, parquet.read_table(newest)


def numbers(table: Any, names: tuple[str, ...]) -> Array:
    """Return columns of a table as floats, 0 where it has no such column."""
    have = [table[n].to_numpy().astype(float) if n in table.column_names else np.zeros(table.num_rows) for n in names]
    return np.column_stack(have)


def words(table: Any, name: str) -> Array:
    """Return a column of words."""
    return np.array(table[name].to_pylist())


def pooled(keys: list[Array], seconds: list[Array], *, quickest: bool) -> tuple[Array, Array]:
    """Return the distinct shapes and one time for each: the geometric middle of the backends, or the quickest."""
    shapes, inverse = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(inverse.ravel()[order]) > 0])
    logs = np.log(np.maximum(np.concatenate(seconds)[order], 1e-12))
    middle = np.min if quickest else np.median
    return shapes, np.exp([middle(group) for group in np.split(logs, starts[1:])])


def drawn(shapes: Array, seconds: Array, count: int) -> tuple[Array, Array]:
    """Return at most `count` rows, drawn once and for all."""
    chosen = np.random.default_rng(SEED).choice(len(shapes), min(count, len(shapes)), replace=False)
    return shapes[chosen], seconds[chosen]


def rates(catalogue: Catalogue, system: str, dtype: str) -> tuple[float, float]:
    """Return a chip's dense rate for a format and its bandwidth; a rate of 0 where it has none."""
    chip = catalogue.chip(SYSTEMS[system])
    rate = dict(chip.matrix_flop_per_s.items()).get(dtype)
    return float(rate or 0.0), float(chip.memory.bandwidth_bytes_per_s or 0.0)


class Gathered:
    """Rows of several chips, stacked as they come."""

    def __init__(self) -> None:
        self.shapes: list[Array] = []
        self.seconds: list[Array] = []
        self.rates: list[Array] = []
        self.chips: list[str] = []

    def add(self, shapes: Array, seconds: Array, rate: float, bandwidth: float, chip: str) -> None:
        """Add one chip's rows."""
        self.shapes.append(shapes)
        self.seconds.append(seconds)
        self.rates.append(np.tile([rate, bandwidth], (len(shapes), 1)))
        self.chips += [chip] * len(shapes)

    def columns(self) -> Array:
        """Return the shapes, a column an axis."""
        return np.concatenate(self.shapes).T

    def samples(self, parts: tuple[Any, ...], family: Array, fixed_s: Any = 0.0) -> Samples:
        """Return the rows as samples of a curve."""
        seconds, each = np.concatenate(self.seconds), np.concatenate(self.rates)
        return Samples(
            parts=parts,
            flop_per_s=each[:, 0],
            bytes_per_s=each[:, 1],
            time_s=seconds,
            family=family,
            chip=np.array(self.chips),
            fixed_s=np.zeros(len(seconds)) + fixed_s,
        )


def products(
    root: Path, catalogue: Catalogue, systems: tuple[str, ...], key: str, move: tuple[float, float]
) -> Samples | None:
    """Return the products of one format; families are (columns, depth).

    `move` is (share of bandwidth, seconds a kernel) of elementwise kernels, which stands for quantising by blocks. FP8
    scaled by tensors is TensorRT-LLM's, whose quantising was timed by itself, and taken off.
    """
    rows = Gathered()
    for system in systems:
        rate, bandwidth = rates(catalogue, system, key.partition("_")[0])
        found: dict[str, tuple[Array, Array]] = {}
        for backend, table in tables(root, system, "gemm", "gemm"):
            mine = words(table, "gemm_dtype") == FORMATS[key]
            if mine.any() and rate and (key != "fp8" or backend == "trtllm"):
                shapes, seconds = numbers(table, ("m", "n", "k"))[mine], table["latency"].to_numpy()[mine] * 1e-3
                found[backend] = unquantised(root, system, shapes, seconds) if key == "fp8" else (shapes, seconds)
        if not found:
            continue
        least = {backend: np.quantile(seconds, 0.01) for backend, (_, seconds) in found.items()}
        pairs = [pair for backend, pair in found.items() if least[backend] <= HOST_RATIO * min(least.values())]
        shapes, seconds = pooled([pair[0] for pair in pairs], [pair[1] for pair in pairs], quickest=False)
        rows.add(*drawn(shapes, seconds, SIZES["gemm"]), rate, bandwidth, SYSTEMS[system])
    if not rows.chips:
        return None
    m, n, k = rows.columns()
    bandwidths = np.concatenate(rows.rates)[:, 1]
    before = m * k * QUANTISED_BYTES[key] / (move[0] * bandwidths) + move[1] if key in QUANTISED_BYTES else 0.0
    return rows.samples((product(m, n, k, 1.0, key),), families(n, k), before)


def unquantised(root: Path, system: str, shapes: Array, seconds: Array) -> tuple[Array, Array]:
    """Return TensorRT-LLM's products without finding the scale of the input and scaling it, where enough is left."""
    spent = np.zeros(len(shapes))
    for name in ("computescale", "scale_matrix"):
        table = dict(tables(root, system, "quantize", name))["trtllm"]
        known = dict(zip(map(tuple, numbers(table, ("m", "k"))), table["latency"].to_numpy() * 1e-3, strict=True))
        spent += [known.get((m, k), np.inf) for m, _, k in shapes]
    kept = spent <= (1.0 - LEAST_LEFT) * seconds
    return shapes[kept], (seconds - spent)[kept]


def heads(
    root: Path, catalogue: Catalogue, systems: tuple[str, ...], *, decode: bool, engine: str = ""
) -> Samples | None:
    """Return attention over heads of 64, 128 and 256, windows included; families are head configurations.

    Prompts of 16 tokens and more in bf16; decode over caches of bf16 and fp8. With an `engine`, its own decode alone:
    caches of fp8, whole contexts, 2 to 8 heads of 128 a KV head.
    """
    rows = Gathered()
    axes = ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "window_size", "step")
    for system in systems:
        keys, seconds = [], []
        for backend, table in tables(
            root, system, "attention", "generation_attention" if decode else "context_attention"
        ):
            shapes = numbers(table, axes)
            shapes[:, 3] = np.where(shapes[:, 3] == 0, shapes[:, 2], shapes[:, 3])
            cache = cache_bytes(table)
            mine = (words(table, "attn_dtype") == "bfloat16") & np.isin(shapes[:, 4], (64, 128, 256))
            mine &= np.array(["triton" not in source for source in table["kernel_source"].to_pylist()])
            mine &= np.full(len(shapes), backend == engine if engine else backend != "trtllm")
            if engine:
                mine &= (cache == 1.0) & np.isin(shapes[:, 2] / shapes[:, 3], (2, 4, 8))
                mine &= (shapes[:, 4] == 128) & (shapes[:, 5] == 0)
            if not decode:
                mine &= (shapes[:, 1] >= 16) & (cache == 2.0)
            keys.append(np.column_stack([shapes, cache])[mine])
            seconds.append(table["latency"].to_numpy()[mine] * 1e-3)
        if not keys:
            continue
        rate, bandwidth = rates(catalogue, system, "bf16")
        rows.add(*drawn(*pooled(keys, seconds, quickest=False), SIZES["attention"]), rate, bandwidth, SYSTEMS[system])
    if not rows.chips:
        return None
    b, s, h, kv, d, window, step, cache = rows.columns()
    part = attention(
        sequences=b,
        query_tokens=np.ones_like(b) if decode else s,
        keys=step + 1.0 if decode else s,
        heads=h,
        kv_heads=kv,
        head_dim=d,
        value_dim=d,
        causal=np.full_like(b, 0.0 if decode else 1.0),
        kv_bytes=cache,
        window=np.where(window == 0, np.inf, window),
        decode=decode,
    )
    return rows.samples((part,), families(h, kv, d, window))


def latents(root: Path, catalogue: Catalogue, systems: tuple[str, ...], *, decode: bool) -> Samples | None:
    """Return latent attention of DeepSeek-V3's widths: expanded over prompts, absorbed in decode."""
    rows = Gathered()
    for system in systems:
        keys, seconds = [], []
        for _, table in tables(root, system, "mla", "generation_mla" if decode else "context_mla"):
            shapes = np.column_stack([numbers(table, ("batch_size", "isl", "num_heads", "step")), cache_bytes(table)])
            mine = np.full(len(shapes), True) if decode else (shapes[:, 1] >= 16) & (shapes[:, 4] == 2.0)
            keys.append(shapes[mine])
            seconds.append(table["latency"].to_numpy()[mine] * 1e-3)
        if not keys:
            continue
        rate, bandwidth = rates(catalogue, system, "bf16")
        rows.add(*drawn(*pooled(keys, seconds, quickest=True), SIZES["attention"]), rate, bandwidth, SYSTEMS[system])
    if not rows.chips:
        return None
    b, s, h, step, cache = rows.columns()
    one = np.ones_like(b)
    part = attention(
        sequences=b,
        query_tokens=one if decode else s,
        keys=step + 1.0 if decode else s,
        heads=h,
        kv_heads=one if decode else h,
        head_dim=576.0 * one if decode else 192.0 * one,
        value_dim=512.0 * one if decode else 128.0 * one,
        causal=0.0 * one if decode else one,
        kv_bytes=cache if decode else 2.0 * one,
        window=np.inf * one,
        decode=decode,
        form=LATENT if decode else FULL,
    )
    return rows.samples((part,), families(h, cache))


def cache_bytes(table: Any) -> Array:
    """Return the bytes of an element of the cache."""
    return np.array([1.0 if "fp8" in name else 2.0 for name in table["kv_cache_dtype"].to_pylist()])


def experts(
    root: Path, catalogue: Catalogue, systems: tuple[str, ...], key: str, move: tuple[float, float]
) -> Samples | None:
    """Return gated mixtures of experts, balanced, with up to 4 expert ranks; families are their widths and counts.

    `move` is (share of bandwidth, seconds a kernel) of what moves rows around the two products. With more expert ranks
    the kernels timed also carry the rows of experts elsewhere.
    """
    rows = Gathered()
    axes = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
    for system in systems:
        keys, seconds = [], []
        for _, table in tables(root, system, "moe", "moe"):
            shapes = numbers(table, axes)
            gated = np.array(["nongated" not in source for source in table["kernel_source"].to_pylist()])
            mine = gated & (words(table, "moe_dtype") == FORMATS[key]) & (words(table, "distribution") == "balanced")
            # Nemotron's experts have no gate; a rank meets at least one visit a chosen expert.
            mine &= (shapes[:, 3] <= 16) & (shapes[:, 1] != 2688) & (shapes[:, 6] <= 4)
            mine &= (shapes[:, 0] * shapes[:, 3] >= shapes[:, 6]) & (shapes[:, 2] / shapes[:, 5] >= 128)
            keys.append(shapes[mine])
            seconds.append(table["latency"].to_numpy()[mine] * 1e-3)
        rate, bandwidth = rates(catalogue, system, key.partition("_")[0])
        if not rate or not sum(map(len, keys)):
            continue
        rows.add(*drawn(*pooled(keys, seconds, quickest=True), SIZES["experts"]), rate, bandwidth, SYSTEMS[system])
    if not rows.chips:
        return None
    tokens, hidden, inter, top_k, count, tensor, ranks = rows.columns()
    width, visits = inter / tensor, tokens * top_k / ranks
    touched = np.minimum(count / ranks, visits)
    around = elementwise("around", visits * (6.0 * width + 4.0 * hidden) + tokens * hidden * 4.0).traffic_bytes
    parts = (
        product(visits / touched, 2.0 * width, hidden, touched, key),
        product(visits / touched, hidden, width, touched, key),
    )
    share, kernel_s = move
    bandwidths = np.concatenate(rows.rates)[:, 1]
    return rows.samples(parts, families(hidden, width, count, top_k), around / (share * bandwidths) + 2.0 * kernel_s)


def scaling(root: Path, catalogue: Catalogue, systems: tuple[str, ...]) -> Samples | None:
    """Return the quantising of activations to fp8 with a given scale: an elementwise kernel, 2 bytes in and 1 out."""
    rows = Gathered()
    for system in systems:
        keys, seconds = [], []
        for backend, table in tables(root, system, "quantize", "scale_matrix"):
            if backend != "sglang":  # an eager chain of kernels there
                shapes = numbers(table, ("m", "k"))
                moved = shapes[:, 0] * shapes[:, 1] * 3.0
                mine = (moved < CACHED[0]) | (moved > CACHED[1])
                keys.append(shapes[mine])
                seconds.append(table["latency"].to_numpy()[mine] * 1e-3)
        if keys:
            rate, bandwidth = rates(catalogue, system, "bf16")
            rows.add(*pooled(keys, seconds, quickest=False), rate, bandwidth, SYSTEMS[system])
    if not rows.chips:
        return None
    m, k = rows.columns()
    return rows.samples((elementwise("quantise", m * k * 3.0),), families(k))


__all__ = ["ELEMENT_BYTES", "FAMILIES", "FORMATS", "NARROW", "experts", "heads", "latents", "products", "scaling"]
