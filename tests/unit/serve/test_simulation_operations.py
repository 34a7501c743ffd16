"""How a fleet is run: refusals conserve counts, scaling keeps its bounds, caches cross what is left of a fabric."""

from dataclasses import replace

import numpy as np
import pytest

from step_samples import costs
from superpod.serve.simulation.answer import STATUS
from superpod.serve.simulation.fleet import Fleet, Link, Mishap, Pool, Prefixes, Scaler
from superpod.serve.simulation.run import simulate
from superpod.traffic.requests import Trace, trace


def load(count: int = 300, rate: float = 60.0) -> Trace:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    return trace(times, rng.integers(500, 4000, count), rng.integers(20, 200, count))


def small(**given: float) -> Pool:
    return Pool(costs=costs(sequences_max_count=8.0), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_longer_queue_refuses_fewer_and_every_request_ends_once(limit: int) -> None:
    found = simulate(Fleet(pool=small(queue_max_count=limit)), load())
    longer = simulate(Fleet(pool=small(queue_max_count=2 * limit)), load())
    assert sum(found.counts.values()) == sum(longer.counts.values()) == 300
    assert found.counts["finished"] + found.counts["refused"] == 300
    assert 0 < longer.counts["refused"] <= found.counts["refused"]


def test_who_is_served_has_not_waited_longer_than_the_limit() -> None:
    found = simulate(Fleet(pool=small(queue_max_s=0.5)), load())
    rows = found.served
    assert rows is not None
    refused = rows.rows(np.flatnonzero(rows.status == STATUS.index("refused")))
    assert len(refused.number) == found.counts["refused"] > 0
    assert np.all(rows.finished.admitted_s - rows.finished.arrival_s <= 0.5 + 1e-9)
    assert np.all(refused.finish_s - refused.arrival_s > 0.5)
    assert np.all(refused.first_token_s < 0.0)
    assert simulate(Fleet(pool=small(queue_max_s=1e6)), load()).counts["refused"] == 0


@pytest.mark.parametrize("delay", [0.0, 2.0, 1e6])
def test_scaling_keeps_its_bounds(delay: float) -> None:
    scaler = Scaler(target_ratio=1.0, every_s=0.5, delay_s=delay, fewest_count=2, most_count=4)
    found = simulate(Fleet(pool=replace(small(), instances_count=2, scaler=scaler)), load())
    up = found.series["instances_up"]
    assert found.counts["finished"] == 300
    assert up.max() <= (2.0 if delay == 1e6 else 4.0) + 1e-9
    assert up[:-1].min() >= 2.0 - 1e-9


def test_a_later_start_is_never_better() -> None:
    def mean(delay: float) -> float:
        scaler = Scaler(target_ratio=1.0, every_s=0.5, delay_s=delay, fewest_count=1, most_count=4)
        rows = simulate(Fleet(pool=replace(small(), scaler=scaler)), load()).served
        assert rows is not None
        return float(rows.latency_s.mean())

    assert mean(0.0) < mean(3.0) < mean(1e6)


def test_caches_take_longer_over_what_is_left_of_a_fabric() -> None:
    lone = trace([0.0], [1000], [2])
    fleet = Fleet(pool=Pool(costs=costs()), decode=Pool(costs=costs()), transfer=Link(bytes_per_s=1e9), mishaps=())

    def first(*mishaps: Mishap) -> float:
        rows = simulate(replace(fleet, mishaps=mishaps), lone).served
        assert rows is not None
        return float(rows.first_token_s[0])

    size = costs().token_bytes * 1000 + costs().state_bytes
    strained = Mishap(at_s=0.0, instance=1, down_s=1e9, slow_factor=1.0, link_factor=7.0 / 6.0)
    assert first(strained) - first() == pytest.approx(size / 1e9 / 6.0, rel=1e-9)
    assert first(replace(strained, at_s=1e6)) == first()


def test_an_instance_that_is_off_fails_too_and_does_not_start() -> None:
    scaler = Scaler(target_ratio=0.5, every_s=0.5, delay_s=0.0, fewest_count=1, most_count=2)
    pool = replace(small(), scaler=scaler)
    gone = simulate(Fleet(pool=pool, mishaps=(Mishap(at_s=0.0, instance=1, down_s=1e9),)), load())
    assert gone.instances[1].finished_count == 0
    assert gone.counts["finished"] == 300
    assert simulate(Fleet(pool=pool), load()).instances[1].finished_count > 0


def test_a_first_token_counts_only_when_its_cache_has_come() -> None:
    """The way into the first decoding instance is long, and that instance fails: the token comes by the other one."""
    pool = Pool(costs=costs())
    fleet = Fleet(
        pool=pool,
        decode=replace(pool, instances_count=2, router="round-robin"),
        transfer=Link(bytes_per_s=1e8),
        mishaps=(Mishap(at_s=4.5, instance=1, down_s=1e6),),
    )
    rows = simulate(fleet, trace([0.0, 0.0, 3.0], [4000, 10, 1000], [5, 5, 5])).served
    assert rows is not None
    assert np.all(rows.status == STATUS.index("finished"))
    assert np.all(rows.first_token_s < rows.finish_s)
    moved = rows.rows(np.flatnonzero(rows.preempted_count > 0))
    assert len(moved.number) == 1
    assert moved.first_token_s[0] == pytest.approx(4.5 + 1000 * 1e5 / 1e8, rel=1e-9)


def test_what_fills_a_group_that_reads_to_the_last_token_is_not_waited_for() -> None:
    prefill = Pool(costs=costs(capacity_tokens=1000.0), reserves_output=True)
    fleet = Fleet(pool=prefill, decode=Pool(costs=costs()), transfer=Link(bytes_per_s=1e11))
    found = simulate(fleet, trace([0.0, 0.1, 0.2, 0.3], [1000, 999, 998, 500], [600, 600, 600, 600]))
    assert found.counts["cut off"] == 0
    assert found.counts["finished"] == 2
    assert found.counts["too long"] == 2


def test_an_instance_that_was_switched_off_comes_back_without_caches() -> None:
    scaler = Scaler(target_ratio=0.5, measure="queue", every_s=1.0, delay_s=0.0, fewest_count=1, most_count=2)
    pool = replace(small(), instances_count=2, scaler=scaler, router="round-robin")
    load = Trace(
        arrival_s=np.array([0.0, 0.1, 50.0]),
        prompt_tokens=np.array([1024, 1024, 1024]),
        output_tokens=np.array([2, 2, 2]),
        session=np.full(3, -1),
        block_start=np.array([0, 8, 16, 24]),
        blocks=np.concatenate([np.arange(8, 16), np.arange(8), np.arange(8)]),
        block_tokens=128,
    )
    found = simulate(Fleet(pool=pool, prefixes=Prefixes(peers=Link(bytes_per_s=1e12))), load).served
    assert found is not None
    assert list(found.hit_tokens) == [0, 0, 0]
