"""The serving simulation against queueing theory, the steady state, and itself told in another way."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from step_samples import costs, tables
from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.batching import batching
from superpod.serve.costs import Settings, StepCosts, step_costs
from superpod.serve.simulation.answer import Served, Simulated
from superpod.serve.simulation.columns import Reals
from superpod.serve.simulation.fleet import Fleet, Pool
from superpod.serve.simulation.run import simulate
from superpod.serve.steady import Requests
from superpod.traffic.requests import ClosedLoop, Trace, trace

pytest.importorskip("numba")  # long runs
COUNT = 200_000
BATCHES = 20
STEP_S = 1e-3


def served(found: Simulated) -> Served:
    assert found.served is not None
    return found.served


def arrivals(rate: float, count: int, seed: int) -> Reals:
    return np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, count))


def near(values: Reals, expected: float) -> bool:
    """Return whether a mean is what is expected, within three standard errors of the means of batches."""
    means = values[len(values) // 10 :][: len(values) // 10 * 9 // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)
    return abs(float(means.mean()) - expected) < 3.0 * float(means.std(ddof=1)) / np.sqrt(BATCHES) + 1e-3 * expected


def steady_steps(per_sequence_s: float = 0.0) -> StepCosts:
    """Return an instance whose prompts take next to nothing and whose steps take a constant and a share a sequence."""
    base = STEP_S if per_sequence_s == 0.0 else 1e-9
    prices = tables(base_s=base, sequence_s=per_sequence_s, cached_s=0.0, token_s=0.0, read_s=0.0)
    free = prices._replace(own_s=np.full_like(prices.own_s, 1e-9))
    return costs(free, sequences_max_count=1.0 if per_sequence_s == 0.0 else 1024.0, capacity_tokens=1e9)


def lone(output: Reals, rate: float, seed: int) -> tuple[Served, Reals]:
    """Return what one server does with such outputs, one request at a time, and the service times."""
    load = trace(arrivals(rate, len(output), seed), np.ones(len(output)), output)
    return served(simulate(Fleet(pool=Pool(costs=steady_steps())), load)), (output - 1.0) * STEP_S


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_m_d_1(rho: float) -> None:
    """Mean wait = rho D / (2 (1 - rho)) (Pollaczek-Khinchine)."""
    output = np.full(COUNT, 101.0)
    found, service = lone(output, rho / 0.1, 1)
    assert near(found.latency_s - service, rho * 0.1 / (2.0 * (1.0 - rho)))


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_m_m_1(rho: float) -> None:
    """Mean stay = 1 / (mu - lambda); lengths of a thousand steps in the mean are as good as exponential."""
    mean = 1000.0
    output = 1.0 + np.ceil(np.random.default_rng(5).exponential(mean, COUNT))
    exact = float((output - 1.0).mean()) * STEP_S
    found, _ = lone(output, rho / exact, 2)
    assert near(found.latency_s, exact / (1.0 - rho))


@pytest.mark.parametrize("lengths", ["equal", "exponential", "two kinds"])
def test_m_g_1_processor_sharing(lengths: str) -> None:
    """Steps as long as the batch is large share the server: mean stay = E[S] / (1 - rho), whatever the lengths."""
    rng, rho, per_step = np.random.default_rng(3), 0.6, 1e-4
    drawn = {
        "equal": np.full(COUNT, 500.0),
        "exponential": np.ceil(rng.exponential(500.0, COUNT)),
        "two kinds": np.where(rng.random(COUNT) < 0.9, 200.0, 3200.0),
    }[lengths]
    mean = float(drawn.mean()) * per_step
    load = trace(arrivals(rho / mean, COUNT, 4), np.ones(COUNT), drawn + 1.0)
    found = served(simulate(Fleet(pool=Pool(costs=steady_steps(per_step))), load))
    whole_step = 0.5 * per_step / (1.0 - rho)  # half a step until the one under way ends, with the others in it
    means = found.latency_s[COUNT // 10 :][: COUNT // 10 * 9 // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)
    margin = 3.0 * float(means.std(ddof=1)) / np.sqrt(BATCHES)
    assert abs(float(means.mean()) - mean / (1.0 - rho)) < margin + 4.0 * whole_step


def test_littles_law_of_the_series() -> None:
    """The integral of what is under way = the sum of stays, that of the queue = the sum of waits for memory."""
    rng = np.random.default_rng(8)
    load = trace(arrivals(40.0, 20_000, 8), rng.integers(1, 4000, 20_000), rng.integers(1, 600, 20_000))
    found = simulate(Fleet(pool=Pool(costs=costs(capacity_tokens=60_000.0), instances_count=2)), load)
    rows = served(found)
    assert found.series["in_flight"].sum() * found.bin_s == pytest.approx(rows.latency_s.sum(), rel=1e-9)
    once = rows.preempted_count == 0
    waited = (rows.admitted_s - rows.arrival_s)[once].sum()
    assert found.series["queued"].sum() * found.bin_s >= waited * (1.0 - 1e-9)
    assert found.series["arrivals"].sum() == found.series["finishes"].sum() == 20_000
    busy = sum(use.busy_s for use in found.instances)
    assert sum(found.series[name].sum() for name in ("decode_busy_s", "prompt_busy_s", "mixed_busy_s")) == (
        pytest.approx(busy, rel=1e-9)
    )
    assert all(use.busy_s <= found.makespan_s * (1.0 + 1e-12) for use in found.instances)


@pytest.mark.parametrize("router", ["round-robin", "least-load"])
def test_more_instances_do_not_hurt(router: str) -> None:
    rng = np.random.default_rng(9)
    load = trace(arrivals(30.0, 20_000, 9), rng.integers(1, 3000, 20_000), rng.integers(1, 400, 20_000))
    stays = [
        float(
            served(simulate(Fleet(pool=Pool(costs=costs(), instances_count=n, router=router)), load)).latency_s.mean()
        )
        for n in (1, 2, 3, 4, 6, 8, 12)
    ]
    assert all(later <= before * 1.002 for before, later in pairwise(stays))


LLAMA = ("llama-3.1-8b", "hgx-h100", "vllm-1", Layout())
ROUNDS = {
    "decoding": (LLAMA, 64, 64.0, 512.0),
    "both": (LLAMA, 64, 1024.0, 256.0),
    "reading": (LLAMA, 48, 4096.0, 64.0),
    "in turns": (("llama-3.1-8b", "hgx-h100", "sglang-0.5", Layout()), 64, 1024.0, 256.0),
    "tensor ranks": (("llama-3.1-70b", "hgx-h200", "vllm-1", Layout(tensor=4.0)), 96, 1000.0, 500.0),
}


@cache
def priced(model: str, pod: str, software: str, layout: Layout) -> tuple[object, StepCosts]:
    engine = machine(Catalogue(), Scenario(model=model, pod=pod, work=Serving(), software=software)).engine
    return engine, step_costs(engine, layout, Settings(capacity_tokens=1e7, sequences_max_count=1024.0))


@pytest.mark.parametrize("name", ROUNDS)
def test_the_steady_state_is_that_of_a_closed_loop(name: str) -> None:
    """Equal requests, each replaced as it ends: rate and time between tokens within 3 % of `serve.batching`."""
    what, held, prompt, output = ROUNDS[name]
    engine, prices = priced(*what)
    wanted = batching(
        engine,  # type: ignore[arg-type]
        what[3],
        Requests(prompt_tokens=prompt, output_tokens=output, draft_tokens=0, acceptance_frac=0.0),
        float(held),
    )
    # Outputs a little apart take the requests out of step with each other, as the steady state has them.
    rng, count = np.random.default_rng(1), 40 * held
    lengths = np.round(output * rng.uniform(0.5, 1.5, count))
    requests = trace(np.zeros(count), np.full(count, prompt), lengths)
    found = simulate(Fleet(pool=Pool(costs=prices)), ClosedLoop(concurrency_count=held, requests=in_pieces(requests)))
    rows = served(found)
    middle = (rows.finish_s > 0.2 * found.makespan_s) & (rows.finish_s < 0.8 * found.makespan_s)
    rate = float(rows.output_tokens[middle].sum()) / (0.6 * found.makespan_s)
    between = float((rows.finish_s - rows.first_token_s)[middle].sum() / (rows.output_tokens[middle] - 1).sum())
    assert rate == pytest.approx(float(wanted.tokens_per_s), rel=0.03)
    assert between == pytest.approx(float(wanted.tpot_s), rel=0.03)


def in_pieces(whole: Trace) -> Iterator[Trace]:
    for start in range(0, whole.requests_count, 500):
        yield whole.part(start, start + 500)
