"""Every published collective, predicted through the catalogue's pods.

Link files are calibrated on these very points (benchmarks/fit_calibration.py), with one efficiency a transport; what a
band holds is that one set of numbers describes all sizes and groups of a source. docs/theory/collectives.md says where
sources contradict each other.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.fabric.collectives.expert_exchange import Routing
from superpod.validate.collectives import ELEMENT_BYTES, Prediction, expert_time, fabric_of, predict

CATALOGUE = Catalogue()
# Source, rows, median and P90 that may not be passed; measured beside them when the bands were set.
BANDS = [
    ("ML Engineering (S. Bekman): network/README.md, 8x H200 sweep", 20, 0.06, 0.22),  # 3.7%, 19.9%, worst 31%
    ("ML Engineering (S. Bekman): network/README.md, 1 vs 4 P6-B200 nodes", 38, 0.08, 0.25),  # 6.5%, 20.7%, worst 94%
    ("ML Engineering (S. Bekman): NVLS table", 20, 0.03, 0.06),  # 1.8%, 4.2%, worst 5%
    ("ML Engineering (S. Bekman): collective comparison", 2, 0.03, 0.03),  # 1.9%, 2.1%, worst 2%
    ("ML Engineering (S. Bekman): network/README.md", 2, 0.05, 0.05),  # 3.2%, 3.4%, worst 4%
    # One point in six, 1 MB, takes 12 to 45 us longer than under NCCL 2.27.
    ("vTrain collective tables: trace/a100/AR_GPU2_1M_1024M_LUT", 6, 0.05, 0.21),  # 2.9%, 18.2%, worst 28%
    ("vTrain collective tables: trace/a100/AR_GPU4_1M_1024M_LUT", 6, 0.05, 0.17),  # 3.3%, 14.3%, worst 24%
    ("vTrain collective tables: trace/a100/AR_GPU8_1M_1024M_LUT", 6, 0.05, 0.33),  # 3.2%, 29.2%, worst 48%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H100-SXM-80GB/all_reduce.csv",
        8,
        0.09,
        0.20,
    ),  # 7.0%, 15.8%, worst 21%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H100-SXM-80GB/all_gather.csv",
        8,
        0.17,
        0.42,
    ),  # 13.7%, 35.4%, worst 64%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H100-SXM-80GB/reduce_scatter.csv",
        8,
        0.13,
        0.27,
    ),  # 9.7%, 22.0%, worst 40%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H100-SXM-80GB/alltoall.csv",
        8,
        0.12,
        0.16,
    ),  # 9.7%, 13.1%, worst 13%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H200-SXM-141GB/all_reduce.csv",
        8,
        0.04,
        0.13,
    ),  # 2.7%, 9.7%, worst 14%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H200-SXM-141GB/all_gather.csv",
        8,
        0.06,
        0.10,
    ),  # 4.0%, 7.1%, worst 11%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H200-SXM-141GB/reduce_scatter.csv",
        8,
        0.04,
        0.11,
    ),  # 2.0%, 8.5%, worst 11%
    (
        "APEX+ collective profiles (Microsoft): profile/comm/H200-SXM-141GB/alltoall.csv",
        8,
        0.04,
        0.23,
    ),  # 2.8%, 19.3%, worst 34%
    ("DeepEP: docs/legacy.md, normal kernels", 8, 0.11, 0.21),  # 8.4%, 17.0%, worst 17.6%
    ("DeepEP: docs/legacy.md, low-latency kernels", 12, 0.03, 0.05),  # 2.0%, 3.8%, worst 8.5%
    ("DeepEP: README.md, v2 table", 10, 0.05, 0.12),  # 2.6%, 8.7%, worst 9%
    ("sgl-kernel-npu: README.md DeepEP-Ascend tables", 10, 0.09, 0.28),  # 7.4%, 23.5%, worst 24.2%
    (
        "Serving LLMs on Huawei CloudMatrix384 (arXiv 2506.12708): operator tables",
        2,
        0.10,
        0.14,
    ),  # 7.5%, 11.1%, worst 11.9%
]


@pytest.fixture(scope="module")
def rows(validation_points: Path) -> dict[str, list[Prediction]]:
    """Predictions by source."""
    found: dict[str, list[Prediction]] = defaultdict(list)
    for line in validation_points.read_text(encoding="utf-8").splitlines():
        point: dict[str, Any] = json.loads(line)
        if point["kind"] == "collective":
            for row in predict(CATALOGUE, point):
                found[row.source].append(row)
    return found


def test_every_point_is_predicted(rows: dict[str, list[Prediction]]) -> None:
    """175 points; 31 have a second number beside the first: combine beside dispatch, switches that do not add."""
    every = [row for some in rows.values() for row in some]
    assert not [row.point for row in every if row.predicted_s is None]
    assert len({row.point for row in every}) == 175
    assert len(every) == 206


def test_every_source_has_a_band(rows: dict[str, list[Prediction]]) -> None:
    assert set(rows) == {band[0] for band in BANDS}


@pytest.mark.parametrize(("source", "count", "median", "p90"), BANDS, ids=lambda item: str(item)[:60])
def test_each_source_within_its_band(
    rows: dict[str, list[Prediction]], source: str, count: int, median: float, p90: float
) -> None:
    errors = np.abs([row.error_frac for row in rows[source]])
    assert len(errors) == count
    assert np.median(errors) < median
    assert np.quantile(errors, 0.9) < p90


def test_all_points_together(rows: dict[str, list[Prediction]]) -> None:
    errors = np.abs([row.error_frac for some in rows.values() for row in some])
    assert np.median(errors) < 0.06  # measured 3.8%
    assert np.quantile(errors, 0.9) < 0.20  # measured 17.4%


def test_an_unknown_machine_is_not_predicted() -> None:
    point = {"id": "x", "source": {"title": "nobody", "table": "none"}, "hardware": "abacus", "chips": 2, "config": {}}
    (row,) = predict(CATALOGUE, point)
    assert row.predicted_s is None
    assert row.reason == "no pod"
    assert np.isnan(row.error_frac)


def ladder(pod: str, element: str, way: str) -> list[float]:
    """Return us for 128 tokens, hidden 7168, top-8, from 8 ranks to 256."""
    spent = []
    for ranks in (8.0, 16.0, 32.0, 64.0, 128.0, 256.0):
        fabric = fabric_of(CATALOGUE, pod, ranks)
        token_bytes = 7168 * ELEMENT_BYTES[element]
        routing = Routing(top_k_count=8.0)
        spent.append(1e6 * expert_time(way, fabric, ranks, 128.0, token_bytes, routing, batched=False))
    return spent


def test_dispatch_is_flat_inside_a_supernode_and_rises_between_nodes() -> None:
    """CloudMatrix384 measures 116 to 152 us from EP8 to EP256, H800 over InfiniBand 77 to 194 us."""
    flat, rising = ladder("cloudmatrix384", "INT8", "dispatch"), ladder("hgx-h800", "FP8", "dispatch")
    assert flat == sorted(flat)
    assert rising == sorted(rising)
    assert flat[0] == pytest.approx(116.0, rel=0.15)  # 129.9
    assert flat[-1] == pytest.approx(152.0, rel=0.15)  # 151.7
    assert rising == pytest.approx([77.0, 118.0, 155.0, 173.0, 192.0, 194.0], rel=0.05)  # 77 118 158 177 187 192
    assert flat[-1] / flat[0] < 1.35  # measured 1.31
    assert rising[-1] / rising[0] > 2.3  # measured 2.52


def test_combine_is_flat_inside_a_supernode_and_rises_between_nodes() -> None:
    """118 to 149 us against 114 to 360 us."""
    flat, rising = ladder("cloudmatrix384", "BF16", "combine"), ladder("hgx-h800", "BF16", "combine")
    assert flat[0] == pytest.approx(118.0, rel=0.15)
    assert flat[-1] == pytest.approx(149.0, rel=0.15)
    assert rising == pytest.approx([114.0, 195.0, 273.0, 314.0, 369.0, 360.0], rel=0.10)
