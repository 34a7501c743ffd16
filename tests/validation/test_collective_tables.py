"""A few rows of the collective tables of aiconfigurator-core 0.12.0 (Apache-2.0) against the catalogue's links.

Links are fitted to those tables (benchmarks/fit_links.py prints errors of all rows and of rows left out of the fit);
these rows hold what they say now. NCCL 2.29.2 (A100: 2.27.3) in `comm/nccl`, engines under CUDA graphs in
`comm/{trtllm,sglang,vllm}` (1.3.0rc20, 0.5.14, 0.24.0), dispatch and combine in `comm/trtllm/1.3.0rc10`.
"""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.fabric.collectives import collective_time
from superpod.fabric.collectives.exchange import priced
from superpod.fabric.tiers import Group
from superpod.validate.collectives import fabric_of

CATALOGUE = Catalogue()
# Pod, collective, ranks, bytes that a rank holds (nccl-tests' size), microseconds, kernels.
ROWS = [
    ("hgx-a100", "all_reduce", 8, 1048576, 38.9, "library"),
    ("hgx-a100", "all_reduce", 8, 16777216, 216.5, "library"),
    ("hgx-a100", "all_reduce", 8, 536870912, 4225.9, "library"),
    ("hgx-a100", "all_gather", 8, 1048576, 26.8, "library"),
    ("hgx-a100", "all_gather", 8, 16777216, 135.0, "library"),
    ("hgx-a100", "all_gather", 8, 536870912, 2288.0, "library"),
    ("hgx-a100", "all_to_all", 8, 1048576, 25.8, "library"),
    ("hgx-a100", "all_to_all", 8, 16777216, 114.3, "library"),
    ("hgx-a100", "all_to_all", 8, 536870912, 2313.5, "library"),
    ("hgx-h100", "all_reduce", 8, 1048576, 25.4, "library"),
    ("hgx-h100", "all_reduce", 8, 16777216, 121.9, "library"),
    ("hgx-h100", "all_reduce", 8, 536870912, 2111.1, "library"),
    ("hgx-h100", "all_gather", 8, 1048576, 17.1, "library"),
    ("hgx-h100", "all_gather", 8, 16777216, 68.9, "library"),
    ("hgx-h100", "all_gather", 8, 536870912, 1401.5, "library"),
    ("hgx-h100", "all_to_all", 8, 1048576, 15.6, "library"),
    ("hgx-h100", "all_to_all", 8, 16777216, 75.7, "library"),
    ("hgx-h100", "all_to_all", 8, 536870912, 1490.4, "library"),
    ("hgx-b200", "all_reduce", 8, 1048576, 30.1, "library"),
    ("hgx-b200", "all_reduce", 8, 16777216, 99.1, "library"),
    ("hgx-b200", "all_reduce", 8, 536870912, 1334.6, "library"),
    ("hgx-b200", "all_gather", 8, 1048576, 18.7, "library"),
    ("hgx-b200", "all_gather", 8, 16777216, 103.9, "library"),
    ("hgx-b200", "all_gather", 8, 536870912, 761.4, "library"),
    ("hgx-b200", "all_to_all", 8, 1048576, 18.8, "library"),
    ("hgx-b200", "all_to_all", 8, 16777216, 50.1, "library"),
    ("hgx-b200", "all_to_all", 8, 536870912, 834.2, "library"),
    ("hgx-h200", "reduce_scatter", 8, 4194304, 30.4, "library"),
    ("hgx-h200", "reduce_scatter", 8, 67108864, 198.8, "library"),
    ("hgx-b300", "reduce_scatter", 8, 4194304, 27.0, "library"),
    ("hgx-b300", "reduce_scatter", 8, 67108864, 135.0, "library"),
    ("gb200-nvl72", "all_reduce", 4, 1048576, 19.7, "library"),
    ("gb200-nvl72", "all_gather", 4, 67108864, 108.3, "library"),
    ("gb200-nvl72", "all_to_all", 4, 268435456, 428.0, "library"),
    ("gb300-nvl72", "all_reduce", 4, 1048576, 19.1, "library"),
    ("gb300-nvl72", "all_gather", 4, 67108864, 105.6, "library"),
    ("gb300-nvl72", "all_to_all", 4, 268435456, 407.4, "library"),
    ("hgx-h200", "all_reduce", 2, 16384, 2.8, "trtllm"),
    ("hgx-h200", "all_reduce", 8, 131072, 6.4, "trtllm"),
    ("hgx-h200", "all_reduce", 8, 1048576, 25.7, "trtllm"),
    ("gb200-nvl72", "all_reduce", 2, 16384, 4.5, "trtllm"),
    ("gb200-nvl72", "all_reduce", 4, 131072, 5.1, "trtllm"),
    ("gb200-nvl72", "all_reduce", 4, 1048576, 9.5, "trtllm"),
    ("hgx-h100", "all_reduce", 2, 16384, 2.7, "sglang"),
    ("hgx-h100", "all_reduce", 8, 131072, 6.4, "sglang"),
    ("hgx-h100", "all_reduce", 8, 1048576, 13.5, "sglang"),
    ("hgx-b200", "all_reduce", 2, 16384, 4.1, "sglang"),
    ("hgx-b200", "all_reduce", 8, 131072, 7.0, "sglang"),
    ("hgx-b200", "all_reduce", 8, 1048576, 15.0, "sglang"),
    ("hgx-h200", "all_reduce", 2, 16384, 4.6, "vllm"),
    ("hgx-h200", "all_reduce", 8, 131072, 7.9, "vllm"),
    ("hgx-h200", "all_reduce", 8, 1048576, 14.1, "vllm"),
    ("hgx-b300", "all_reduce", 2, 16384, 7.0, "vllm"),
    ("hgx-b300", "all_reduce", 8, 131072, 9.4, "vllm"),
    ("hgx-b300", "all_reduce", 8, 1048576, 27.1, "vllm"),
    ("gb300-nvl72", "all_reduce", 16, 32768, 5.2, "trtllm"),
    ("gb300-nvl72", "all_reduce", 16, 4194304, 21.3, "trtllm"),
]
# Ranks, tokens of hidden 7,168 with 8 experts each, balanced: FP8 dispatch with its preparation, 16-bit combine, us.
NVL72 = [
    (8, 16, 26.2, 15.7),
    (16, 16, 28.8, 17.6),
    (32, 16, 29.2, 19.1),
    (64, 16, 31.9, 25.1),
    (8, 512, 74.4, 115.6),
    (16, 512, 78.0, 121.8),
    (32, 512, 83.9, 129.2),
    (64, 512, 87.9, 132.2),
    (8, 8192, 814.5, 1614.0),
    (64, 8192, 998.6, 2044.3),
]


def error(pod: str, kind: str, ranks: float, size: float, measured_us: float, kernels: str) -> float:
    """Return predicted over measured, less one."""
    fabric = replace(fabric_of(CATALOGUE, pod, float(ranks)), kernels=kernels)
    spent = collective_time(kind, fabric, Group(size=float(ranks)), float(size))
    return float(spent) / (measured_us * 1e-6) - 1.0


@pytest.mark.parametrize("kernels", ["library", "trtllm", "sglang", "vllm"])
def test_tables(kernels: str) -> None:
    errors = np.abs([error(*row) for row in ROWS if row[-1] == kernels])
    assert np.median(errors) < 0.12
    assert np.max(errors) < 0.45


@pytest.mark.parametrize("pod", sorted({row[0] for row in ROWS}))
def test_each_pod_from_one_mebibyte(pod: str) -> None:
    errors = np.abs([error(*row) for row in ROWS if row[0] == pod and row[3] >= 2**20])
    assert np.median(errors) < 0.15


def test_dispatch_and_combine_stay_flat_over_a_rack() -> None:
    """Two-sided kernels of TensorRT-LLM; the catalogue stands between them and the one-sided ones."""
    errors: list[float] = []
    for ranks, tokens, dispatch, combine in NVL72:
        fabric = fabric_of(CATALOGUE, "gb200-nvl72", 72.0)
        for way, element, measured in (("dispatch", 1.0, dispatch), ("combine", 2.0, combine)):
            load = tokens * 8.0 * 7168.0 * element
            spent = priced(way, fabric, Group(size=float(ranks)), load, load, forwarded=False)
            errors.append(float(spent) / (measured * 1e-6) - 1.0)
    assert np.median(np.abs(errors)) < 0.15
    assert np.max(np.abs(errors)) < 0.45
