"""Published runs of a documented load: stages of a rate each, drawn again and simulated.

Kubernetes' inference-perf sends int(rate x duration) requests a stage at exponential intervals stretched to the whole
duration; users take turns, and one who has no answer yet sends nothing (github.com/kubernetes-sigs/inference-perf,
`ConstantLoadTimer`, `LocalUserSession`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from superpod.parallel.engine import Engine
from superpod.serve.costs import Settings, step_costs
from superpod.serve.simulation.answer import Served, joined
from superpod.serve.simulation.fleet import Fleet, Pool, Prefixes
from superpod.traffic.requests import ClosedLoop, Trace, pieces_of, starts
from superpod.validate.deployment import Deployment
from superpod.validate.replay import Replayed, finished, settings_of, summed
from superpod.validate.values import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One stage: `users_count` users in groups that share a system prompt of `shared_tokens`, and what each asks."""

    rate_per_s: float
    duration_s: float
    users_count: int
    groups_count: int
    shared_tokens: int
    prompt_tokens: int
    output_tokens: int
    block_tokens: int


def is_staged(config: Mapping[str, Any]) -> bool:
    """Return whether a point documents its load as stages."""
    return "stages" in config


def staged(engine: Engine, asked: Deployment, config: Mapping[str, Any]) -> Replayed:
    """Return the run of the stage that a point is of, or of all of them together, as its summary is."""
    loads = loads_of(asked, config)
    stage = number(config, "stage")
    loads = loads if stage is None else [loads[int(stage)]]
    parts = [_one(engine, asked, config, load) for load in loads]
    served = parts[0] if len(parts) == 1 else joined(parts)
    seconds = sum(load.duration_s for load in loads)
    return summed(served, seconds, float(asked.layout.tensor * asked.layout.data * asked.layout.pipeline))


def loads_of(asked: Deployment, config: Mapping[str, Any]) -> list[Load]:
    """Return the stages of a point."""
    return [
        Load(
            rate_per_s=float(rate),
            duration_s=float(duration),
            users_count=round(number(config, "users") or 1.0),
            groups_count=round(number(config, "system_prompts") or 1.0),
            shared_tokens=round(number(config, "system_prompt_tokens") or 0.0),
            prompt_tokens=round(asked.requests.prompt_tokens),
            output_tokens=round(asked.requests.output_tokens),
            block_tokens=round(number(config, "block_tokens") or 1.0),
        )
        for rate, duration in config["stages"]
    ]


def drawn(load: Load, seed: int = 0) -> Trace:
    """Return the requests of a stage: exponential intervals stretched to its duration, users in turn."""
    count = max(int(load.rate_per_s * load.duration_s), 1)
    times = np.cumsum(np.random.default_rng(seed).exponential(size=count))
    shared = load.shared_tokens // load.block_tokens
    group = np.arange(count) % load.users_count % load.groups_count
    return Trace(
        arrival_s=times * (load.duration_s / times[-1]),
        prompt_tokens=np.full(count, load.prompt_tokens),
        output_tokens=np.full(count, load.output_tokens),
        session=np.full(count, -1),
        block_start=starts(np.full(count, shared)),
        blocks=(group[:, None] * shared + np.arange(shared)[None, :]).ravel(),
        block_tokens=load.block_tokens if shared else 0,
    )


def _one(engine: Engine, asked: Deployment, config: Mapping[str, Any], load: Load) -> Served:
    """Return a stage by the clock; where its users would wait for answers longer than for their turn, in a loop."""
    blocks = number(config, "kv_blocks")
    plain = settings_of(asked)
    capacity = None if blocks is None else blocks * load.block_tokens
    settings = Settings(typical_tokens=plain.typical_tokens, capacity_tokens=capacity)
    pool = Pool(
        costs=step_costs(engine, asked.layout, settings),
        block_tokens=load.block_tokens,
        reserves_output=engine.software.reserves_output,
    )
    fleet, requests = Fleet(pool=pool, prefixes=Prefixes()), drawn(load)
    served = finished(fleet, requests)
    if float(np.mean(served.latency_s)) * load.rate_per_s <= load.users_count:
        return served
    return finished(fleet, ClosedLoop(concurrency_count=load.users_count, requests=pieces_of(requests)))
