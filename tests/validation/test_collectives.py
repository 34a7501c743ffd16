"""Every published collective, predicted through the catalogue's pods.

Link files are calibrated on these very points (benchmarks/fit_calibration.py), with one efficiency a transport; what a
limit holds is that one set of numbers describes all sizes and groups of a source; limits stand with all others in
validate/bands.toml. docs/theory/collectives.md says where sources contradict each other.
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
