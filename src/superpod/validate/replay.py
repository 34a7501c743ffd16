"""Published serving runs simulated request by request: from a trace of their requests, or as a closed loop."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from superpod.errors import NoBasisError
from superpod.parallel.engine import Engine
from superpod.serve.costs import Settings, StepCosts, scaled, step_costs
from superpod.serve.simulation.answer import Served
from superpod.serve.simulation.fleet import Fleet, Link, Pool
from superpod.serve.simulation.run import simulate
from superpod.traffic.read import read_trace
from superpod.traffic.requests import ClosedLoop, Trace, joined, pieces_of, trace
from superpod.validate.deployment import Deployment
from superpod.validate.point import Point, shipped_points
from superpod.validate.programs import program_number
from superpod.validate.values import number

FREE = 1e-9  # of its time is what reading takes where others than the pool that was measured do it
MANY = 2.0**30  # what stands for no limit
PERCENTILES = ("p90", "p99")
QUANTITIES = {"ttft": "ttft_s", "tpot": "tpot_s", "latency": "latency_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a simulated run gave: seconds by name (`ttft`, `tpot p90`, ...), and the output rate of one rank."""

    times_s: Mapping[str, float]
    output_per_s: float


@lru_cache(maxsize=1)
def _replays() -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Return how shipped runs with a request trace were configured, by source, hardware and model."""
    return {_run_of(point): point.config for point in shipped_points() if needs_trace(point)}


def _run_of(point: Point) -> tuple[str, str, str]:
    return (point.url, point.hardware, str(point.model.get("name", "")))


def config_of(point: Point) -> Mapping[str, Any]:
    """Return a point's configuration, with the trace and the caches of the same run where a shipped case has them."""
    return point.config if needs_trace(point) else {**_replays().get(_run_of(point), {}), **point.config}


def needs_trace(point: Point) -> bool:
    """Return whether a point can be predicted from its trace alone."""
    return "trace" in point.config


def traced(engine: Engine, asked: Deployment, config: Mapping[str, Any], folder: Path) -> Replayed:
    """Return a run of the requests of a trace, with the limits that its engine printed.

    `kv_blocks` of `block_tokens` are what the engine said it can hold; where it did not say, memory follows from the
    release. Raises NoBasisError where the trace is not in the folder, TrafficError where it is none.
    """
    path = folder / str(config["trace"])
    if not path.exists():
        raise NoBasisError(f"the request trace {path.name} is not at hand", where=str(folder))
    requests = joined(read_trace(path))
    block = number(config, "block_tokens") or 1.0
    blocks = number(config, "kv_blocks")
    settings = Settings(
        capacity_tokens=None if blocks is None else blocks * block,
        typical_tokens=float(np.mean(requests.prompt_tokens + requests.output_tokens / 2.0)),
    )
    costs = step_costs(engine, asked.layout, settings)
    pool = Pool(
        costs=costs,
        instances_count=round(asked.instances_count),
        block_tokens=int(block),
        reserves_output=engine.software.reserves_output,
        router="least-load",
    )
    served = finished(Fleet(pool=pool), requests)
    seconds = float(served.finish_s.max() - requests.arrival_s[0])
    return summed(served, seconds, costs.ranks_count * pool.instances_count)


def closed_loop(engine: Engine, asked: Deployment, config: Mapping[str, Any]) -> Replayed:
    """Return one instance in a closed loop that keeps `held_count` requests in each attention group.

    All are sent at once and each that ends sends the next, as benchmarks do, so many times over as they say.
    """
    held = asked.held_count or 1.0
    costs = step_costs(engine, asked.layout, settings_of(asked))
    together = max(round(held * costs.groups_count), 1)
    sent = round(number(config, "num_prompts") or program_number("closed_loop.rounds_count") * together)
    pool = Pool(costs=costs, reserves_output=engine.software.reserves_output, router="least-load")
    served = finished(Fleet(pool=pool), ClosedLoop(concurrency_count=together, requests=pieces_of(alike(asked, sent))))
    return summed(served, float(served.finish_s.max()), costs.ranks_count)


def decode_pool(engine: Engine, asked: Deployment, rounds: int = 4) -> Replayed:
    """Return one instance that only decodes, always with `held_count` requests in each attention group.

    Others read the prompts, as fast as they are wanted. The first requests are anywhere in their output, so that ends
    are spread over time from the start; counted is what ends between the first and the last filling of the pool.
    """
    held = asked.held_count or 1.0
    costs = step_costs(engine, asked.layout, replace(settings_of(asked), sequences_max_count=held))
    full = max(round(held * costs.groups_count), 1)
    requests = spread_ends(alike(asked, full * rounds), full)
    fleet = Fleet(
        pool=Pool(costs=_free(costs, full)),
        decode=Pool(costs=costs, reserves_output=engine.software.reserves_output, router="least-load"),
        transfer=Link(bytes_per_s=1.0 / FREE**2),
    )
    served = finished(fleet, ClosedLoop(concurrency_count=full, requests=pieces_of(requests)))
    served = served.rows(np.argsort(served.finish_s, kind="stable"))
    middle = served.rows(np.arange(full, len(served.finish_s) - full))
    return summed(middle, float(middle.finish_s[-1] - served.finish_s[full - 1]), costs.ranks_count)


def settings_of(asked: Deployment) -> Settings:
    """Return how an engine is started for a run's requests."""
    requests = asked.requests
    return Settings(
        draft_tokens=requests.draft_tokens,
        acceptance_frac=requests.acceptance_frac,
        typical_tokens=requests.prompt_tokens + requests.output_tokens / 2.0,
    )


def _free(costs: StepCosts, requests_count: int) -> StepCosts:
    """Return an instance that reads the prompts of so many requests at once, in next to no time."""
    return replace(
        costs,
        tables=scaled(costs.tables, FREE),
        groups_count=1.0,
        groups_together=False,
        capacity_tokens=MANY,
        sequences_max_count=float(requests_count),
        step_max_tokens=MANY,
    )


def alike(asked: Deployment, count: int) -> Trace:
    """Return so many requests of a run, all alike."""
    prompt, output = round(asked.requests.prompt_tokens), round(asked.requests.output_tokens)
    return trace(np.zeros(count), np.full(count, prompt), np.full(count, output))


def spread_ends(requests: Trace, count: int) -> Trace:
    """Return requests of which the first `count` are anywhere in their output, so that ends are spread from the start.

    Which is which is drawn, always alike.
    """
    order = np.random.default_rng(0).permutation(count)
    output = requests.output_tokens.copy()
    output[:count] = np.ceil((order + 0.5) / count * output[:count]).astype(np.int64)
    return replace(requests, output_tokens=output)


def finished(fleet: Fleet, stream: Trace | ClosedLoop) -> Served:
    """Return the requests of a run; raise NoBasisError where one did not come to its end."""
    found = simulate(fleet, stream)
    lost = {name: count for name, count in found.counts.items() if count and name != "finished"}
    if found.served is None or lost:
        raise NoBasisError(f"requests that did not finish: {lost}", where="simulation", hint="does a request fit?")
    return found.served


def summed(served: Served, seconds: float, ranks: float) -> Replayed:
    """Return the times of requests that ended within `seconds`, and their rate on one of the ranks."""
    times: dict[str, float] = {}
    for name, column in QUANTITIES.items():
        values = getattr(served, column)
        times[name] = float(np.mean(values))
        times |= {f"{name} {part}": float(np.percentile(values, float(part[1:]))) for part in PERCENTILES}
    return Replayed(times_s=times, output_per_s=float(served.output_tokens.sum()) / seconds / ranks)
