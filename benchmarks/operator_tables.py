"""How well operator tables predict what is left out of them, and the analytic model what is in them.

    python benchmarks/operator_tables.py [CHIP ...]

Needs the extra `tables`. Prints, by chip, engine and kind, the relative error of the tables where every third value of
one axis is left out, and of the analytic model on a sample of the same rows.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.compute.cost import op_time
from superpod.compute.device import Device, device
from superpod.operator_tables import attention, experts, gemm
from superpod.operator_tables.grid import build, read
from superpod.operator_tables.locate import System, system
from superpod.operator_tables.read import FloatArray, columns
from superpod.operator_tables.tables import load
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, FULL, LATENT, AttentionShape, Op
from superpod.workload.op import gemm as product

CHIPS = ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm", "gb200", "gb300")
DTYPES = {"bfloat16": ("bf16", "", 2.0), "fp8": ("fp8", "tensor", 1.0), "fp8_block": ("fp8", "block", 1.0)}
DTYPES |= {"nvfp4": ("fp4", "block", 0.5625), "sq": ("int8", "tensor", 1.0)}
SAMPLE = 4000


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Measurements of one kind: sizes by axis, seconds, and the operator of some of them."""

    kind: str
    engine: str
    axes: tuple[str, ...]
    sizes: tuple[FloatArray, ...]
    time_s: FloatArray
    dtype: str = "bf16"
    scaling: str = ""
    element_bytes: float = 2.0
    head_dim: float = 128.0
    value_dim: float = 128.0
    kv_heads: float = 8.0

    def ops(self, chosen: FloatArray) -> Op | None:
        """Return the operators of the chosen rows as one with columns."""
        first, second, third = (size[chosen] for size in self.sizes)
        if self.kind.startswith("product"):
            size = (self.element_bytes, self.element_bytes)
            return product(
                "p", rows=first, columns=second, depth=third, dtype=self.dtype, element_bytes=size, scaling=self.scaling
            )
        if not self.kind.startswith(("prefill", "decode")):
            return None
        return kernel(self, first, second, third)


def kernel(rows: Rows, sequences: FloatArray, tokens: FloatArray, heads: FloatArray) -> Op:
    """Return attention kernels as the blocks make them."""
    decode, latent = rows.kind.startswith("decode"), rows.head_dim > 512.0
    width = rows.head_dim + rows.value_dim
    kv_heads = np.where(rows.kv_heads > 0.0, rows.kv_heads, heads)
    queries = np.ones_like(tokens) if decode else tokens
    cached = rows.head_dim if latent else kv_heads * width
    seen = tokens if decode else tokens / 2.0
    return Op(
        name="attention",
        kind=DECODE_ATTENTION if decode else ATTENTION,
        dtype="bf16",
        flop=2.0 * sequences * queries * seen * heads * width,
        traffic_bytes=sequences * (tokens * cached * 2.0 + queries * heads * width * 2.0),
        rows=heads if latent else queries,
        columns=tokens,
        depth=rows.head_dim,
        groups=sequences * (1.0 if latent else heads),
        attention=AttentionShape(
            form=LATENT if latent else FULL,
            sequences=sequences,
            query_tokens=queries,
            keys=tokens,
            context=seen,
            heads=heads,
            kv_heads=1.0 if latent else kv_heads,
            head_dim=rows.head_dim,
            value_dim=rows.value_dim,
            causal=not decode,
        ),
    )


def kinds(tables: System, unit: Device) -> Iterator[Rows]:
    """Yield the measurements of every engine by kind, products without the quantising of their input."""
    for backend in tables.backends:
        path = tables.file(backend, "gemm", gemm.FILE)
        for word, (dtype, scaling, size) in DTYPES.items() if path else ():
            if f"gemm {word}" in backend.unread:
                continue
            taken = gemm.quantised(tables, backend, word, path.parent.name, unit)
            found = gemm.rows(path, word, taken)
            if not len(found["time_s"]):
                continue
            yield Rows(
                kind=f"product {word}",
                engine=backend.id,
                axes=("m", "n", "k"),
                sizes=(found["m"], found["n"], found["k"]),
                time_s=found["time_s"],
                dtype=dtype,
                scaling=scaling,
                element_bytes=size,
            )
        for name, decode in (("prefill", False), ("decode", True)):
            path = tables.file(backend, "attention", attention.DECODE if decode else attention.PREFILL)
            if path:
                yield from grouped(name, backend.id, path, decode)
            path = tables.file(backend, "mla", attention.LATENT_DECODE if decode else attention.LATENT_PREFILL)
            if path:
                yield latent(name, backend.id, path, decode)
        path = tables.file(backend, "moe", experts.FILE)
        for word in ("bfloat16", "fp8_block", "nvfp4") if path else ():
            yield from trios(backend.id, path, word)


def grouped(name: str, engine: str, path: Path, decode: bool) -> Iterator[Rows]:
    """Yield attention at eight key-value heads of 128."""
    found = attention.rows(path, decode, 128, 0, "bfloat16")
    kept = (found["num_key_value_heads"] == 8.0) & (found["num_heads"] != 8.0)
    sizes = (found["batch_size"][kept], found["tokens"][kept], found["num_heads"][kept])
    axes = ("sequences", "tokens", "heads")
    yield Rows(kind=name, engine=engine, axes=axes, sizes=sizes, time_s=found["time_s"][kept])


def latent(name: str, engine: str, path: Path, decode: bool) -> Rows:
    """Return latent attention over a 16-bit cache."""
    token = "step" if decode else "isl"
    where = {"kv_cache_dtype": "bfloat16", "mla_dtype": "bfloat16"}
    found = columns(path, ("batch_size", "num_heads", token), where)
    tokens = found[token] + 1.0 if decode else found[token]
    key, value = attention.ABSORBED if decode else attention.EXPANDED
    return Rows(
        kind=f"{name} latent",
        engine=engine,
        axes=("sequences", "tokens", "heads"),
        sizes=(found["batch_size"], tokens, found["num_heads"]),
        time_s=found["time_s"],
        head_dim=key,
        value_dim=value,
        kv_heads=0.0,
    )


def trios(engine: str, path: Path, word: str) -> Iterator[Rows]:
    """Yield the experts of one model, on one rank for all of them."""
    where = {"moe_dtype": word, "hidden_size": 4096, "inter_size": 1536, "topk": 8, "num_experts": 128}
    found = columns(path, experts.NAMES, {**where, "distribution": "balanced", "moe_ep_size": 1})
    yield Rows(
        kind=f"experts {word}",
        engine=engine,
        axes=("visits", "experts", "width"),
        sizes=(found["num_tokens"] * 8.0, 128.0 / found["moe_ep_size"], 1536.0 / found["moe_tp_size"]),
        time_s=found["time_s"],
    )


def fastest(rows: Rows) -> Rows:
    """Return one row for each point: where several kernels were timed there, the fastest, as the tables take it."""
    order = np.argsort(rows.time_s)
    _, first = np.unique(np.column_stack(rows.sizes)[order], axis=0, return_index=True)
    kept = order[first]
    return replace(rows, sizes=tuple(size[kept] for size in rows.sizes), time_s=rows.time_s[kept])


def left_out(rows: Rows, axis: int) -> tuple[FloatArray, FloatArray] | None:
    """Return (predicted, measured) of the rows at every third interior value of an axis, from the others."""
    rows = fastest(rows)
    knots = np.unique(rows.sizes[axis])
    gone = np.isin(rows.sizes[axis], knots[1:-1:3])
    if not gone.any():
        return None
    grid = build(tuple(size[~gone] for size in rows.sizes), rows.time_s[~gone])
    if grid is None:
        return None
    found = read(grid, tuple(size[gone] for size in rows.sizes))
    inside = (found.outside == 0.0) & (found.measured_frac == 1.0)
    return np.exp(found.log_time[inside]), rows.time_s[gone][inside]


def error(predicted: FloatArray, measured: FloatArray) -> str:
    """Return n, the median and P90 of |predicted / measured - 1|, and the signed median."""
    ratio = predicted / measured
    off = np.abs(ratio - 1.0)
    spread = f"median {np.median(off):6.1%}  P90 {np.quantile(off, 0.9):6.1%}"
    return f"n {len(off):6d}  {spread}  signed {np.median(ratio) - 1.0:+6.1%}"


def analytic(rows: Rows, unit: Device) -> str:
    """Return the error of the analytic model on a sample of the rows, or why there is none."""
    chosen = np.random.default_rng(0).permutation(len(rows.time_s))[:SAMPLE]
    ops = rows.ops(chosen)
    if ops is None or not len(chosen) or ops.dtype not in unit.matrix_flop_per_s:
        return ""
    return error(np.asarray(op_time(ops, unit)), rows.time_s[chosen])


def main(chips: tuple[str, ...]) -> None:
    """Print both tables for each chip."""
    catalogue = Catalogue()
    for name in chips:
        began = time.perf_counter()
        load(name)
        chip = catalogue.chip(name)
        rates = tuple(dtype for dtype, rate in chip.matrix_flop_per_s.items() if rate)
        unit = device(FactReader(kind="chips", entry=chip), chip, catalogue.calibration(chip.calibration), 1.0, rates)
        for rows in kinds(system(name), unit):
            for axis, label in enumerate(rows.axes):
                pair = left_out(rows, axis)
                if pair and len(pair[0]):
                    print(f"{name:14s} {rows.engine:7s} {rows.kind:18s} without {label:9s} {error(*pair)}")
            said = analytic(rows, unit)
            if said:
                print(f"{name:14s} {rows.engine:7s} {rows.kind:18s} analytic          {said}")
        print(f"{name:14s} {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or CHIPS)
