"""Whether a fleet keeps up, told from how what is under way grows, at any load."""

import numpy as np
import pytest

from step_samples import costs
from superpod.plan.serving.run import Targets, outcome
from superpod.serve.simulation.fleet import Fleet, Pool
from superpod.traffic.requests import trace

TARGETS = Targets(ttft_s=1.0, tpot_s=0.1, unloaded_s=lambda tokens: 0.01 + 2e-6 * tokens, room_count=256.0)


@pytest.mark.parametrize(("rate", "wanted"), [(20.0, False), (80.0, True), (2_000.0, True), (20_000.0, True)])
def test_a_fleet_that_falls_behind_is_overloaded_however_far(rate: float, wanted: bool) -> None:
    rng, count = np.random.default_rng(0), 4_000
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    load = trace(times, rng.integers(500, 4000, count), rng.integers(20, 200, count))
    made = outcome(Fleet(pool=Pool(costs=costs())), load, TARGETS)
    assert (made.condition == "overloaded") is wanted
