"""Published deployments whose pools are apart, simulated whole: prompts read, caches sent over the fabric, decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving
from superpod.plan.serving.fleet import transfer_link
from superpod.plan.serving.search import Deployment as Found
from superpod.serve.costs import step_costs
from superpod.serve.simulation.fleet import Fleet, Pool
from superpod.serve.steady import decode, prefill
from superpod.traffic.requests import ClosedLoop, pieces_of
from superpod.validate.deployment import Deployment
from superpod.validate.programs import program_number
from superpod.validate.replay import Replayed, alike, finished, settings_of, spread_ends, summed
from superpod.validate.values import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What reads beside a decode pool: `layout` of a group on `engine`, and how many `groups` the pool keeps busy."""

    engine: Engine
    layout: Layout
    groups_count: int
    together_count: int  # prompts that all groups read in one pass


def reads_apart(config: Mapping[str, Any]) -> bool:
    """Return whether a point says which groups read the prompts of its decode pool."""
    return number(config, "prefill_chips") is not None


def readers(made: Machine, decoding: Engine, asked: Deployment, config: Mapping[str, Any]) -> Whole:
    """Return the groups that read the prompts of a full decode pool, and more, so that decoding is the limit.

    A group has one rank a die, its experts over all of them, prompts shared out within the group; it reads as many
    prompts a pass as its engine's tokens allow. `made` reads, `decoding` decodes.
    """
    ranks = float(number(config, "prefill_chips") or 0.0) * made.fabric.ranks_per_chip
    engine = made.engine
    layout = Layout(data=ranks, expert=ranks, staged=ranks, imbalance_ratio=asked.layout.imbalance_ratio)
    each = max(engine.software.step_tokens_count // asked.requests.prompt_tokens, 1.0)
    undrafted = replace(asked.requests, draft_tokens=0)
    rate = float(prefill(engine, layout, each, undrafted).tokens_per_s_rank) * ranks / asked.requests.prompt_tokens
    step = decode(decoding, asked.layout, asked.held_count or 1.0, asked.requests)
    wanted = float(step.tokens_per_s_rank) * float(asked.layout.data) / asked.requests.output_tokens
    groups = ceil(wanted / rate * program_number("apart.spare_ratio"))
    return Whole(engine=engine, layout=layout, groups_count=groups, together_count=round(groups * ranks * each))


def apart(made: Machine, decoding: Engine, asked: Deployment, config: Mapping[str, Any], rounds: int = 6) -> Replayed:
    """Return a run of prefill groups and one decode instance, kept full by a closed loop.

    Requests at once: those that the decode pool holds, and two passes of all readers. Caches travel over the fabric
    beside dispatch and combine, layer by layer while a prompt is read. The first requests are anywhere in their output;
    counted is what ends between the first filling of the decode pool and the last.
    """
    held = asked.held_count or 1.0
    reading = readers(made, decoding, asked, config)
    settings = settings_of(asked)
    costs = step_costs(decoding, asked.layout, replace(settings, sequences_max_count=held))
    prompts = step_costs(reading.engine, reading.layout, replace(settings, draft_tokens=0))
    full = max(round(held * costs.groups_count), 1)
    together = full + 2 * reading.together_count
    requests = spread_ends(alike(asked, together + rounds * full), full)
    fleet = Fleet(
        pool=Pool(costs=prompts, instances_count=reading.groups_count, router="least-load"),
        decode=Pool(costs=costs, reserves_output=made.software.reserves_output, router="least-load"),
        transfer=transfer_link(made, _found(decoding, asked, reading), _work(asked), prompts.token_bytes),
    )
    served = finished(fleet, ClosedLoop(concurrency_count=together, requests=pieces_of(requests)))
    served = served.rows(np.argsort(served.finish_s, kind="stable"))
    middle = served.rows(np.arange(full, len(served.finish_s) - together))
    seconds = float(middle.finish_s[-1] - served.finish_s[full - 1])
    return summed(middle, seconds, costs.ranks_count)


def _work(asked: Deployment) -> Serving:
    requests = asked.requests
    return Serving(prompt_tokens=round(requests.prompt_tokens), output_tokens=round(requests.output_tokens))


def _found(decoding: Engine, asked: Deployment, reading: Whole) -> Found:
    """Return the deployment as the search for deployments describes one."""
    step = decode(decoding, asked.layout, asked.held_count or 1.0, asked.requests)
    read = prefill(reading.engine, reading.layout, 1.0, replace(asked.requests, draft_tokens=0))
    return Found(
        mode="disaggregated",
        decode=step,
        prefill=read,
        decode_instances=1.0,
        prefill_instances=float(reading.groups_count),
        prompt_frac=0.0,
        tokens_per_s=float(step.tokens_per_s_rank) * float(asked.layout.data),
        ttft_s=float(read.pass_s),
        tpot_s=float(step.tpot_s),
        transfer_s=0.0,
    )
