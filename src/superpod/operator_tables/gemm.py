"""Matrix products: tables over rows, columns and depth for each number format."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from superpod.compute.device import Device
from superpod.operator_tables.blend import Measured, Work, measured
from superpod.operator_tables.grid import Grid, build
from superpod.operator_tables.locate import Backend, System
from superpod.operator_tables.read import columns
from superpod.result import Num
from superpod.workload.op import GEMM, Op

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
        return latent_answer(op, tables, backend, device)
    grid = products(path, word)
    work = partial(product_work, element_bytes=op.element_bytes)
    return measured(grid, (op.rows, op.columns, op.depth), work, device, op.dtype) if grid else None


@lru_cache(maxsize=64)
def products(path: Path, dtype: str) -> Grid | None:
    """Return seconds over (rows, columns, depth) of one product."""
    read = columns(path, ("m", "n", "k"), {"gemm_dtype": dtype})
    return build((read["m"], read["n"], read["k"]), read["time_s"], work_axes=(0,))


def product_work(rows: Num, width: Num, depth: Num, *, element_bytes: tuple[float, float]) -> Work:
    """Return flop and bytes: 2 m n k; weights and inputs once, outputs in 2 bytes."""
    weight_bytes, activation_bytes = element_bytes
    return 2.0 * rows * width * depth, width * depth * weight_bytes + rows * (depth * activation_bytes + width * 2.0)


def latent_answer(op: Op, tables: System, backend: Backend, device: Device) -> Measured | None:
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
    return measured(grid, (op.rows, op.groups), latent_work, device, op.dtype)


LATENT_SHAPE = (128.0, 512.0)  # head and latent width of DeepSeek-V3 (arXiv 2412.19437, section 4.2), which was timed


@lru_cache(maxsize=64)
def latent_products(path: Path, name: str) -> Grid | None:
    """Return seconds over (tokens, heads) of a product for each head."""
    read = columns(path, ("num_tokens", "num_heads"), {"op_name": name, "bmm_dtype": "bfloat16"})
    return build((read["num_tokens"], read["num_heads"]), read["time_s"], work_axes=(0,))


def latent_work(tokens: Num, heads: Num) -> Work:
    """Return flop and bytes of a product for each head, in 2 bytes."""
    narrow, wide = LATENT_SHAPE
    return 2.0 * tokens * heads * narrow * wide, heads * 2.0 * (narrow * wide + tokens * (narrow + wide))
