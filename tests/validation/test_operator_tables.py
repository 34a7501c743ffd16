"""The installed operator tables predict what is left out of them: every third value of one axis, from the others."""

from pathlib import Path

import numpy as np
import pytest

from superpod.errors import NoBasisError
from superpod.operator_tables import attention, gemm
from superpod.operator_tables.grid import build, read
from superpod.operator_tables.locate import System, system
from superpod.operator_tables.read import FloatArray, columns

MEDIAN_FRAC = 0.10
P90_FRAC = 0.35


@pytest.fixture(scope="module")
def tables() -> System:
    pytest.importorskip("pyarrow")
    try:
        return system("h200-sxm", "trtllm")
    except NoBasisError:
        pytest.skip("needs the extra `tables`")


def errors(sizes: tuple[FloatArray, ...], time_s: FloatArray, axis: int) -> FloatArray:
    knots = np.unique(sizes[axis])
    gone = np.isin(sizes[axis], knots[1:-1:3])
    grid = build(tuple(size[~gone] for size in sizes), time_s[~gone])
    assert grid is not None
    found = read(grid, tuple(size[gone] for size in sizes))
    inside = (found.outside == 0.0) & (found.measured_frac == 1.0)
    return np.abs(np.exp(found.log_time[inside]) / time_s[gone][inside] - 1.0)


@pytest.mark.validation
@pytest.mark.parametrize("dtype", ["bfloat16", "fp8", "fp8_block"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_products(tables: System, dtype: str, axis: int) -> None:
    path = tables.file(tables.backends[0], "gemm", gemm.FILE)
    assert isinstance(path, Path)
    found = columns(path, ("m", "n", "k"), {"gemm_dtype": dtype})
    off = errors((found["m"], found["n"], found["k"]), found["time_s"], axis)
    assert np.median(off) < MEDIAN_FRAC
    assert np.quantile(off, 0.9) < P90_FRAC


@pytest.mark.validation
@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_attention(tables: System, decode: bool, axis: int) -> None:
    path = tables.file(tables.backends[0], "attention", attention.DECODE if decode else attention.PREFILL)
    assert isinstance(path, Path)
    found = attention.rows(path, decode, 128, 0, "bfloat16")
    kept = (found["num_key_value_heads"] == 8.0) & (found["num_heads"] != 8.0)
    sizes = (found["batch_size"][kept], found["tokens"][kept], found["num_heads"][kept])
    off = errors(sizes, found["time_s"][kept], axis)
    assert np.median(off) < MEDIAN_FRAC
    assert np.quantile(off, 0.9) < P90_FRAC
