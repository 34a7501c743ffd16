"""What a fleet draws, keeps and costs: two machines in the steady state, instances by what they did with traffic."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.plan.goodput.work import Failing, failing_of, failing_together
from superpod.plan.machine import Machine
from superpod.plan.power.phases import Load, idle_load, in_turn, pass_activities
from superpod.plan.scenario import Serving
from superpod.plan.serving.pair import Pair, pool_cards
from superpod.plan.serving.result import PoolUse
from superpod.plan.serving.search import Deployment, requests_of
from superpod.plan.whole.answer import Done, Part, whole_of
from superpod.plan.whole.result import Whole
from superpod.serve.steady import decode

Found = tuple[Whole, tuple[UsedFact, ...]]


def traffic_whole(
    catalogue: Catalogue,
    place: str,
    made: Machine | Pair,
    work: Serving,
    best: Deployment,
    did: tuple[Sequence[PoolUse], float],
) -> Found:
    """Return what a machine, or two, are with traffic; `did`: what their pools did, and output tokens a second."""
    pools, rate = did
    done = Done(tokens_per_s=rate)
    if isinstance(made, Machine):
        parts = (Part(machine=made, loads=traffic_loads(made, work, best, pools)),)
        return whole_of(catalogue, place, parts, done, failing_of(catalogue, made, best))
    sides = (("decode", made.decode.machine), ("prefill", made.prefill.machine))
    both = [
        Part(machine=side, loads=traffic_loads(side, work, best, [use for use in pools if use.name == name]))
        for name, side in sides
    ]
    return whole_of(catalogue, place, both, done, pair_failing(catalogue, made, best))


def traffic_loads(made: Machine, work: Serving, best: Deployment, pools: Sequence[PoolUse]) -> tuple[Load, ...]:
    """Return what chips do in a simulation: each pool its shares of steps, and idle between them.

    A step that decodes and reads at once is counted as reading; an instance that is down or off as idle. Decode steps
    are priced at the mean batch that the pool held while it decoded.
    """
    each = made.fabric.ranks_per_chip
    loads: list[Load] = []
    for use in pools:
        chips = use.instances_count * use.ranks_count / each
        activities = pass_activities(made.engine, work, at_batch(made, work, best, use))
        shares = {"decode": use.decode_frac * use.up_frac, "prefill": (use.prompt_frac + use.mixed_frac) * use.up_frac}
        name = "instances" if use.name == "all" else f"{use.name} pool"
        loads.append(Load(name=name, chips_count=chips, activities=in_turn(shares, activities)))
    return (*loads, *idle_load(made.cards_count - sum(load.chips_count for load in loads), 1.0))


def at_batch(made: Machine, work: Serving, best: Deployment, use: PoolUse) -> Deployment:
    """Return the deployment with decode steps of the batch that a pool held while it decoded, at most its room."""
    busy = (use.decode_frac + use.mixed_frac) * use.up_frac
    if not use.room_count or not busy or best.decode.apart is not None:
        return best
    full = float(np.clip(use.held_count / use.room_count / busy, 1e-6, 1.0))
    batch = max(float(best.decode.sequences) * full, 1.0)
    return replace(best, decode=decode(made.engine, best.decode.layout, batch, requests_of(work)))


def pair_whole(
    catalogue: Catalogue, place: str, made: Pair, work: Serving, best: Deployment, band: tuple[float, float]
) -> Found:
    """Return what the cards of two machines that a steady state uses are."""
    sides, counts = (made.decode.machine, made.prefill.machine), pool_cards(made, best)
    parts = tuple(
        Part(
            machine=replace(side, cards_count=count),
            loads=(Load(name=name, chips_count=count, activities=pass_activities(side.engine, work, best)[phase]),),
        )
        for side, count, phase, name in zip(
            sides, counts, ("decode", "prefill"), ("decode pool", "prefill pool"), strict=True
        )
    )
    done = Done(tokens_per_s=best.tokens_per_s, band=band)
    return whole_of(catalogue, place, parts, done, pair_failing(catalogue, made, best))


def pair_failing(catalogue: Catalogue, made: Pair, best: Deployment) -> Failing:
    """Return what failures leave of the worse of two machines."""
    return failing_together([failing_of(catalogue, side.machine, best) for side in (made.decode, made.prefill)])
