"""Mixture of experts: up, activation and down of a rank's experts, timed as one."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from superpod.operator_tables.bounds import Measured, measured
from superpod.operator_tables.grid import Grid, build
from superpod.operator_tables.locate import Backend, System, choice
from superpod.operator_tables.read import FloatArray, columns
from superpod.result import Num
from superpod.workload.op import GEMM, ExpertShape, Op

FILE, WIDE_FILE = "moe_perf.parquet", "wideep_generation_moe_perf.parquet"
WIDE_RELEASES = ("0.5.10",)
NAMES = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")


def is_trio(operators: tuple[Op, ...]) -> bool:
    """Return whether three kernels are up, activation and down of the same experts, forward."""
    if len(operators) != 3:
        return False
    up, between, down = operators
    whole = up.kind == down.kind == GEMM and up.experts is not None and up.experts is down.experts
    return whole and between.experts is None and not any("grad" in op.name for op in (up, down))


def answer(trio: tuple[Op, ...], tables: System, backend: Backend) -> Measured | None:
    """Return what was measured of the whole trio, or None where experts of these widths were not.

    Sizes are the visits of the rank, the experts that they touch, and the width of an expert on the rank.
    """
    up, shape = trio[0], trio[0].experts
    word = tables.word(up.dtype, up.scaling)
    path = tables.file(backend, "moe", FILE)
    if shape is None or word is None or path is None or not shape.gated:
        return None
    wide = tables.file(backend, "moe", WIDE_FILE, WIDE_RELEASES)
    grid = kernels(path, wide, word, widths(shape), up.element_bytes[0])
    if grid is None:
        return None
    return measured(grid, sizes(up, shape))


def widths(shape: ExpertShape) -> tuple[int, int, int, int]:
    """Return what must be equal: hidden and expert width, experts a token, experts in all."""
    return int(shape.hidden), int(shape.width), int(shape.top_k), int(shape.experts_count)


def sizes(up: Op, shape: ExpertShape) -> tuple[Num, Num, Num]:
    """Return (visits of the rank, experts whose weights are read, width of an expert on the rank).

    The experts that are read follow from the traffic: (bytes - rows) / bytes of one weight matrix.
    """
    weight_bytes, activation_bytes = up.element_bytes
    visits = up.rows * up.groups
    rows_bytes = visits * (up.depth * activation_bytes + up.columns * 2.0)
    touched = (up.traffic_bytes - rows_bytes) / (up.columns * up.depth * weight_bytes)
    return visits, touched, shape.width / shape.tensor_ranks


@lru_cache(maxsize=128)
def kernels(
    path: Path, wide: Path | None, dtype: str, shape: tuple[int, int, int, int], weight_bytes: float
) -> Grid | None:
    """Return seconds over (visits, experts, width) of a model's experts, evenly chosen, or None where not measured.

    Rows of a rank that holds a part of the experts count as `replicated_frac` in aiconfigurator.toml says.
    """
    hidden, width, top_k, experts = shape
    where = {"moe_dtype": dtype, "hidden_size": hidden, "inter_size": width, "topk": top_k, "num_experts": experts}
    read = columns(path, NAMES, {**where, "distribution": "balanced"})
    places_bytes = read["num_tokens"] * top_k * hidden * 2.0
    weights_bytes = 3.0 * experts / read["moe_ep_size"] * hidden * width / read["moe_tp_size"] * weight_bytes
    own = (read["moe_ep_size"] == 1.0) | (places_bytes <= choice("replicated_frac") * weights_bytes)
    kept = {name: values[own] for name, values in read.items()}
    if wide is not None:  # timed with the visits of one rank alone
        more = columns(wide, NAMES, {**where, "distribution": "uniform"})
        kept = {name: np.concatenate((values, more[name])) for name, values in kept.items()}
    visits = kept["num_tokens"] * top_k / kept["moe_ep_size"]
    held = np.maximum(experts / kept["moe_ep_size"], 1.0)
    return build(*resampled(visits, held, width / kept["moe_tp_size"], kept["time_s"]))


def resampled(
    visits: FloatArray, held: FloatArray, width: FloatArray, time_s: FloatArray
) -> tuple[tuple[FloatArray, FloatArray, FloatArray], FloatArray]:
    """Return the measurements of each (experts, width) at the visits of all of them, within its own range.

    Ranks of different sets of experts were timed at different visits; on the line between two in logarithms.
    """
    knots = np.unique(visits)
    found: list[tuple[FloatArray, FloatArray]] = []
    for pair in sorted(set(zip(held.tolist(), width.tolist(), strict=True))):
        here = (held == pair[0]) & (width == pair[1])
        known, place = np.unique(visits[here], return_inverse=True)
        fastest = np.full(len(known), np.inf)
        np.minimum.at(fastest, place, time_s[here])
        between = knots[(knots >= known[0]) & (knots <= known[-1])]
        spent = np.exp(np.interp(np.log(between), np.log(known), np.log(fastest)))
        found.append((np.column_stack((between, np.full((len(between), 2), pair))), spent))
    if not found:
        return (visits, held, width), time_s
    points = np.concatenate([point for point, _ in found])
    return (points[:, 0], points[:, 1], points[:, 2]), np.concatenate([spent for _, spent in found])
