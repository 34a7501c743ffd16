"""What is shared or overlaps in a simulation: links of an instance, mishaps of one time, orders and their prices."""

from typing import Any

import numpy as np
import pytest

from step_samples import costs, tables
from superpod.errors import ScenarioError
from superpod.serve.simulation import columns as c
from superpod.serve.simulation.answer import Served, Simulated
from superpod.serve.simulation.fleet import Fleet, Link, Mishap, Pool, Scaler
from superpod.serve.simulation.run import simulate
from superpod.serve.step_tables import decode_step, prompt_pass, read_chunk
from superpod.traffic.requests import trace


def served(found: Simulated) -> Served:
    assert found.served is not None
    return found.served


def pass_s(tokens: float) -> float:
    read, alone = read_chunk(tables(), tokens, 0.0)
    return prompt_pass(tables(), tokens, tokens, 1.0, read, alone)


def test_a_cache_that_waits_for_memory_travels_when_there_is_some() -> None:
    """Layer by layer needs a place to go: the second cache is sent whole once the first request has left."""
    link = Link(bytes_per_s=1e9, overlap_frac=0.9)
    pool, small = Pool(costs=costs()), Pool(costs=costs(sequences_max_count=1.0))
    rows = served(simulate(Fleet(pool=pool, decode=small, transfer=link), trace([0.0, 1.0], [1000, 1000], [500, 2])))
    sent = 1000 * 1e5 / 1e9
    assert rows.finish_s[0] > 2.0
    assert rows.first_token_s[1] == pytest.approx(rows.finish_s[0] + sent, rel=1e-12)


@pytest.mark.parametrize("together", [True, False])
def test_groups_of_an_instance_share_its_link(together: bool) -> None:
    link = Link(bytes_per_s=1e9)
    two = Pool(costs=costs(groups_count=2.0, groups_together=together), router="round-robin")
    pool = Pool(costs=costs(), instances_count=2)
    rows = served(simulate(Fleet(pool=pool, decode=two, transfer=link), trace([0.0, 0.0], [1000, 1000], [2, 2])))
    sent, begun = 1000 * 1e5 / 1e9, pass_s(1000.0)
    assert np.sort(rows.first_token_s) == pytest.approx([begun + sent, begun + 2.0 * sent], rel=1e-12)


def test_an_order_that_is_asked_for_has_its_price() -> None:
    """Taking turns, a prompt's pass stands before a whole decode step, whatever the release does by default."""
    load = trace([0.0, 1.0], [1000, 1000], [500, 2])
    waits = {}
    for mixed in (True, False):
        for order in ("mixed", "alternate"):
            fleet = Fleet(pool=Pool(costs=costs(tables(mixed=mixed)), order=order))  # type: ignore[arg-type]
            waits[mixed, order] = served(simulate(fleet, load)).ttft_s[1]
    assert waits[True, "mixed"] == waits[False, "mixed"]
    assert waits[True, "alternate"] == waits[False, "alternate"]
    apart = waits[True, "alternate"] - waits[True, "mixed"]
    assert apart == pytest.approx(decode_step(tables(), 1.0, 1000.0), rel=0.2)


def test_an_instance_is_back_when_all_that_took_it_down_is_over() -> None:
    long, brief = (Mishap(at_s=at, instance=0, down_s=down) for at, down in ((1.0, 10.0), (2.0, 1.0)))
    found = simulate(Fleet(pool=Pool(costs=costs()), mishaps=(long, brief)), trace([0.0, 5.0, 12.0], [10] * 3, [2] * 3))
    assert [int(status) for status in served(found).status] == [c.FINISHED, c.FAILED, c.FINISHED]


def test_factors_of_one_time_multiply() -> None:
    slow = tuple(Mishap(at_s=0.0, instance=0, down_s=down, slow_factor=2.0) for down in (1e6, 1e6))
    once, four = (
        served(simulate(Fleet(pool=Pool(costs=costs()), mishaps=m), trace([0.0], [99], [99]))) for m in ((), slow)
    )
    assert four.latency_s[0] == pytest.approx(4.0 * once.latency_s[0], rel=1e-12)


def test_an_instance_that_was_off_is_off_when_it_is_repaired() -> None:
    scaler = Scaler(target_ratio=1000.0, every_s=0.5, most_count=2)
    fleet = Fleet(pool=Pool(costs=costs(), scaler=scaler), mishaps=(Mishap(at_s=1.0, instance=1, down_s=1.0),))
    found = simulate(fleet, trace([0.0, 9.0], [100, 100], [5, 5]))
    assert found.instances[1].up_s == 0.0


def test_a_scaled_pool_starts_what_steps_alone() -> None:
    """Two instances of three groups that do not wait for each other are six that may be up."""
    scaler = Scaler(target_ratio=0.01, every_s=0.1, delay_s=0.0, most_count=2)
    pool = Pool(costs=costs(groups_count=3.0, groups_together=False), scaler=scaler)
    found = simulate(Fleet(pool=pool), trace(np.arange(200) * 0.05, [2000] * 200, [100] * 200))
    assert all(use.finished_count > 0 for use in found.instances)


def test_caches_come_back_from_host_memory_one_after_the_other() -> None:
    link = Link(bytes_per_s=1e9)
    small = costs(capacity_tokens=3300.0)
    load = trace(np.zeros(3), [1000] * 3, [300] * 3)
    found = simulate(Fleet(pool=Pool(costs=small, preemption="swap"), swap=link), load)
    rows = served(found)
    assert rows.preempted_count.sum() > 0
    moved = found.series["swap_bytes"].sum()
    assert moved > 2.0 * rows.preempted_count.sum() * 1000 * 1e5 * (1.0 - 1e-9)  # there and back


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Link(bytes_per_s=0.0),
        lambda: Link(bytes_per_s=1.0, latency_s=-1.0),
        lambda: Link(bytes_per_s=1.0, overlap_frac=1.5),
        lambda: Scaler(target_ratio=0.0),
        lambda: Scaler(target_ratio=1.0, every_s=0.0),
        lambda: Scaler(target_ratio=1.0, delay_s=-1.0),
        lambda: Mishap(at_s=-1.0, instance=0, down_s=1.0),
        lambda: Mishap(at_s=0.0, instance=0, down_s=0.0),
        lambda: Mishap(at_s=0.0, instance=0, down_s=1.0, slow_factor=0.0),
        lambda: Pool(costs=costs(), queue_max_count=0),
    ],
)
def test_what_cannot_be_is_said(wrong: Any) -> None:
    with pytest.raises(ScenarioError):
        wrong()
