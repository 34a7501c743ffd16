"""Matrix products: tables over rows, columns and depth for each number format."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from superpod.compute.cost import op_time
from superpod.compute.device import Device
from superpod.operator_tables.bounds import Measured, measured
from superpod.operator_tables.grid import Grid, build
from superpod.operator_tables.locate import Backend, System, choice
from superpod.operator_tables.read import FloatArray, columns
from superpod.workload.op import GEMM, Op, elementwise

FILE = "gemm_perf.parquet"
LATENT_FILE = "mla_bmm_perf.parquet"


def answer(op: Op, tables: System, backend: Backend, device: Device) -> Measured | None:
    """Return what was measured of a product, or None where its kind was not.

    Gradients of weights read and write more than the products that were timed: the tables do not answer for them.
    """
    word = tables.word(op.dtype, op.scaling)
    path = tables.file(backend, "gemm", FILE)
    if op.kind != GEMM or op.experts is not None or word is None or path is None or op.name.endswith("wgrad"):
        return None
    if f"gemm {word}" in backend.unread:
        return None
    if np.ndim(op.groups) or float(op.groups) != 1.0:
        return latent_answer(op, tables, backend)
    grid = products(path, word, quantised(tables, backend, word, path.parent.name, device))
    return measured(grid, (op.rows, op.columns, op.depth)) if grid else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """What quantising a product's input takes: the sum of `timed` files, or `each_s` an element and `fixed_s`."""

    each_s: float
    fixed_s: float
    timed: tuple[Path, ...] = ()


def quantised(tables: System, backend: Backend, word: str, release: str, device: Device) -> Quantised | None:
    """Return what quantising takes in an engine's rows of a number format, or None where nothing is quantised.

    As the same release timed it, or as an elementwise kernel takes on the device (`superpod.compute.cost`).
    """
    how = tables.quantising.get(word)
    if how is None:
        return None
    files = [tables.file(backend, "quantize", name, (release,)) for name in how.timed.get(backend.id, ())]
    each = elementwise("quantise", how.element_bytes, kernels_count=0.0)
    fixed = elementwise("quantise", 0.0, kernels_count=how.kernels_count)
    return Quantised(
        each_s=float(op_time(each, device)),
        fixed_s=float(op_time(fixed, device)),
        timed=tuple(path for path in files if path) if all(files) else (),
    )


@lru_cache(maxsize=64)
def products(path: Path, dtype: str, taken: Quantised | None) -> Grid | None:
    """Return seconds over (rows, columns, depth) of one product, without quantising its input."""
    read = rows(path, dtype, taken)
    return build((read["m"], read["n"], read["k"]), read["time_s"])


def rows(path: Path, dtype: str, taken: Quantised | None) -> dict[str, FloatArray]:
    """Return the measurements of products in one number format, without quantising their input.

    A workload quantises in a kernel of its own, or in the one before where scales are static; the tables timed it with
    the product. A row of which less than a quarter would be left is held at a quarter of its time: quantising dominates
    it, and what is left is noise.
    """
    read = columns(path, ("m", "n", "k"), {"gemm_dtype": dtype})
    if taken is None:
        return read
    left = read["time_s"] - quantising_s(read["m"], read["k"], dtype, taken)
    return {**read, "time_s": np.maximum(left, choice("least_left_frac") * read["time_s"])}


def quantising_s(height: FloatArray, depth: FloatArray, dtype: str, taken: Quantised) -> FloatArray:
    """Return what quantising inputs of height x depth takes; by the elementwise kernel where it was not timed."""
    spent = np.full(len(height), 0.0 if taken.timed else np.nan)
    for path in taken.timed:
        read = columns(path, ("m", "k"), {"quant_dtype": dtype})
        known = dict(zip(zip(read["m"], read["k"], strict=True), read["time_s"], strict=True))
        spent += [known.get(pair, np.nan) for pair in zip(height, depth, strict=True)]
    return np.where(np.isnan(spent), taken.fixed_s + height * depth * taken.each_s, spent)


def latent_answer(op: Op, tables: System, backend: Backend) -> Measured | None:
    """Return what was measured of the products that absorb latent attention's up-projections, one a head."""
    path = tables.file(backend, "mla_bmm", LATENT_FILE)
    kinds = {"absorb keys": "mla_gen_pre", "absorb values": "mla_gen_post"}
    shape_known = not (np.ndim(op.columns) or np.ndim(op.depth))
    if path is None or op.name not in kinds or not shape_known or op.dtype != "bf16":
        return None
    narrow, wide = sorted((float(op.columns), float(op.depth)))
    grid = latent_products(path, kinds[op.name])
    if grid is None or (narrow, wide) != LATENT_SHAPE:
        return None
    return measured(grid, (op.rows, op.groups))


LATENT_SHAPE = (128.0, 512.0)  # head and latent width of DeepSeek-V3 (arXiv 2412.19437, section 4.2), which was timed


@lru_cache(maxsize=64)
def latent_products(path: Path, name: str) -> Grid | None:
    """Return seconds over (tokens, heads) of a product for each head."""
    read = columns(path, ("num_tokens", "num_heads"), {"op_name": name, "bmm_dtype": "bfloat16"})
    return build((read["num_tokens"], read["num_heads"]), read["time_s"])
