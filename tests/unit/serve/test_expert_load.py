"""Uneven experts: hand-worked placements, limits, and what copies can do."""

from itertools import pairwise

import numpy as np
import pytest

from superpod.errors import ScenarioError
from superpod.serve.expert_load import drawn_loads, imbalance_ratio


def test_even_loads_are_balanced() -> None:
    assert imbalance_ratio(np.ones(64), 8) == 1.0
    assert imbalance_ratio(np.ones(64), 8, placed=False) == 1.0


def test_in_order_and_placed_by_hand() -> None:
    """Loads 4 3 2 1 on two ranks: in order 7 of 10, placed 4 + 1 against 3 + 2."""
    loads = np.array([4.0, 3.0, 2.0, 1.0])
    assert imbalance_ratio(loads, 2, placed=False) == pytest.approx(1.4)
    assert imbalance_ratio(loads, 2) == pytest.approx(1.0)


def test_copies_share_the_load_of_the_busiest() -> None:
    """8 1 1 on 3 ranks: 2.4; with 3 copies more: 8 in four parts of 2, beside each other or with 1: 4 of 10 / 3."""
    loads = np.array([8.0, 1.0, 1.0])
    assert imbalance_ratio(loads, 3) == pytest.approx(2.4)
    assert imbalance_ratio(loads, 3, redundant_count=3) == pytest.approx(1.2)


def test_layers_are_averaged() -> None:
    assert imbalance_ratio(np.array([[1.0, 1.0], [3.0, 1.0]]), 2) == pytest.approx((1.0 + 1.5) / 2.0)


@pytest.mark.parametrize("power", [1.0, 1.01, 1.2, 2.0])
def test_more_copies_and_placement_help(power: float) -> None:
    loads = drawn_loads(256, power=power, largest_ratio=200.0, layers_count=8, seed=3)
    assert loads.min() >= 1.0
    assert loads.max() <= 200.0
    in_order = imbalance_ratio(loads, 32, placed=False)
    ratios = [imbalance_ratio(loads, 32, redundant_count=count) for count in (0, 32, 64)]
    assert in_order > ratios[0]
    assert all(1.0 <= after <= before + 1e-3 for before, after in pairwise(ratios))  # packing rounds


def test_the_law_is_a_power_law() -> None:
    """Quantile q of the law: [(r^(1-a) - 1) q + 1]^(1/(1-a))."""
    loads = drawn_loads(200_000, power=1.2, largest_ratio=100.0, seed=1)
    median = ((100.0**-0.2 - 1.0) * 0.5 + 1.0) ** (1.0 / -0.2)
    assert np.median(loads) == pytest.approx(median, rel=0.02)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ScenarioError, match="256 experts and 0 redundant ones on 320 ranks") as error:
        imbalance_ratio(np.ones(256), 320)
    assert "64 more" in error.value.hint
    with pytest.raises(ScenarioError, match="not positive"):
        imbalance_ratio(np.zeros(8), 4)
    with pytest.raises(ScenarioError, match="times the load"):
        drawn_loads(8, power=1.1, largest_ratio=0.5, seed=0)
