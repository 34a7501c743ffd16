"""Serving simulated request by request: what must hold of any run, and what queueing theory says of plain ones."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.costs import Settings, StepCosts, step_costs
from superpod.serve.simulation.answer import Served, Simulated
from superpod.serve.simulation.fleet import Fleet, Link, Pool
from superpod.serve.simulation.run import simulate
from superpod.traffic.arrivals import poisson
from superpod.traffic.generate import generated
from superpod.traffic.lengths import Independent, fixed, lognormal_of_mean

SEED = 7
LENGTHS = Independent(prompt=lognormal_of_mean(900.0, 3000.0), output=lognormal_of_mean(150.0, 500.0))


@cache
def costs() -> StepCosts:
    made = machine(Catalogue(), Scenario(model="llama-3.1-8b", pod="hgx-h100", work=Serving(), cards=8))
    return step_costs(made.engine, Layout(), Settings(capacity_tokens=60_000.0))


def fleets() -> dict[str, Fleet]:
    pool = Pool(costs=costs(), instances_count=4, block_tokens=16)
    return {
        "together": Fleet(pool=pool),
        "apart": Fleet(
            pool=pool, decode=Pool(costs=costs(), instances_count=3, block_tokens=16), transfer=Link(bytes_per_s=50e9)
        ),
    }


def run(name: str, rate: float, count: int = 2_000, lengths: Any = LENGTHS, **options: Any) -> Simulated:
    return simulate(fleets()[name], generated(poisson(rate), lengths, seed=SEED, requests_count=count), **options)


def columns(found: Simulated) -> dict[str, Any]:
    assert found.served is not None
    return {name: getattr(found.served, name) for name in Served.__dataclass_fields__}


@pytest.mark.parametrize("name", ["together", "apart"])
def test_each_request_ends_once_and_in_order(name: str) -> None:
    found = run(name, 30.0)
    served = found.served
    assert served is not None
    assert np.array_equal(served.number, np.arange(2_000))
    assert sum(found.counts.values()) == 2_000
    done = served.finished
    assert len(done.number) == 2_000
    assert np.all(done.first_token_s > done.arrival_s)
    assert np.all(done.finish_s >= done.first_token_s)
    asked = sum(
        int(piece.output_tokens.sum()) for piece in generated(poisson(30.0), LENGTHS, seed=SEED, requests_count=2_000)
    )
    assert int(done.output_tokens.sum()) == asked
    assert sum(use.finished_count for use in found.instances) >= 2_000


@pytest.mark.parametrize("name", ["together", "apart"])
def test_the_same_seed_gives_the_same_answer(name: str) -> None:
    first, again = columns(run(name, 25.0)), columns(run(name, 25.0))
    for column, values in first.items():
        np.testing.assert_array_equal(values, again[column], err_msg=column)


@pytest.mark.parametrize("name", ["together", "apart"])
def test_compiled_and_uncompiled_give_the_same_numbers(name: str) -> None:
    pytest.importorskip("numba")
    slow, fast = (columns(run(name, 25.0, 300, engine=engine)) for engine in ("python", "compiled"))
    for column, values in slow.items():
        np.testing.assert_array_equal(values, fast[column], err_msg=column)


def test_requests_in_the_fleet_are_those_that_arrive_times_their_stay() -> None:
    """Little's law over the whole run: the time integral of requests inside is the sum of their stays."""
    found = run("together", 20.0)
    served = found.served
    assert served is not None
    inside = np.concatenate([served.arrival_s, served.finish_s])
    step = np.concatenate([np.ones(2_000), -np.ones(2_000)])
    order = np.argsort(inside, kind="stable")
    held = np.cumsum(step[order])[:-1]
    area = float(np.sum(held * np.diff(inside[order])))
    assert area == pytest.approx(float(np.sum(served.latency_s)), rel=1e-9)
    assert held.min() >= 0.0


def test_busier_is_slower_and_more_instances_are_faster() -> None:
    stays = []
    for rate in (5.0, 40.0, 80.0):
        served = run("together", rate).served
        assert served is not None
        stays.append(float(np.mean(served.latency_s)))
    assert stays == sorted(stays)
    one = Fleet(pool=Pool(costs=costs(), instances_count=2, block_tokens=16))
    fewer = simulate(one, generated(poisson(40.0), LENGTHS, seed=SEED, requests_count=2_000)).served
    assert fewer is not None
    assert float(np.mean(fewer.latency_s)) > stays[1]


def test_one_at_a_time_of_equal_length_waits_as_an_m_d_1_queue() -> None:
    """One request at a time, all alike: mean wait rho s / (2 (1 - rho)) (Pollaczek-Khinchine, e.g. Kleinrock 1975)."""
    made = machine(Catalogue(), Scenario(model="llama-3.1-8b", pod="hgx-h100", work=Serving(), cards=8))
    alone = step_costs(made.engine, Layout(), Settings(sequences_max_count=1.0))
    fleet = Fleet(pool=Pool(costs=alone, block_tokens=16))
    same = Independent(prompt=fixed(256), output=fixed(64))
    idle = simulate(fleet, generated(poisson(0.01), same, seed=SEED, requests_count=50)).served
    assert idle is not None
    service = float(np.median(idle.latency_s))
    rho = 0.6
    found = simulate(fleet, generated(poisson(rho / service), same, seed=SEED, requests_count=40_000)).served
    assert found is not None
    waits = found.latency_s - service
    blocks = waits.reshape(20, -1).mean(axis=1)
    margin = 3.0 * float(np.std(blocks, ddof=1)) / np.sqrt(20.0)
    assert abs(float(np.mean(waits)) - rho * service / (2.0 * (1.0 - rho))) < margin + 0.02 * service
