"""What running a fleet did, told by its simulation and by others without failures or without time to start."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, isfinite

import numpy as np
import numpy.typing as npt

from superpod.plan.serving.choice import Tried
from superpod.plan.serving.failures import Hit, hits, lost_ranks, seats
from superpod.plan.serving.fleet import Workshop
from superpod.plan.serving.operations import of_pool, rules_of, start_of
from superpod.plan.serving.operations_result import Failed, Operated, Scaling
from superpod.plan.serving.result import Harm, Outcome
from superpod.plan.serving.run import outcome
from superpod.plan.serving.traffic import requests_of
from superpod.serve.simulation.fleet import Fleet, Pool
from superpod.units import HOUR_S

GONE_FRAC = 0.05
"""Of a backlog at its highest: what is left when it is nearly gone."""
LEAST_FRAC = 0.1
"""Of what is under way: the least that is a backlog."""
WAYS = ("transfer", "swap", "peer", "host", "disk")
BEHIND = ("peers", "host", "disk")


def told(shop: Workshop, best: Tried, found: Outcome) -> tuple[Harm | None, Operated | None]:
    """Return what failures cost, and what the operations did; None where there are none."""
    asked = shop.traffic
    harm, failed = (None, ()) if not asked.failures else troubles(shop, best, found)
    behind = shop.has_prefixes and asked.prefix_cache in BEHIND
    plain = replace(asked, operations=type(asked.operations)()) == asked
    if plain and not asked.failures and not behind:
        return harm, None
    return harm, operated(shop, best, found, failed)


def troubles(shop: Workshop, best: Tried, found: Outcome) -> tuple[Harm, tuple[Failed, ...]]:
    """Return what failures cost: the same requests without them."""
    whole = found
    if best.fleet.mishaps:
        whole = outcome(replace(best.fleet, mishaps=()), requests_of(shop.traffic), best.targets)
    harm = Harm(
        failures_count=len(best.fleet.mishaps),
        met_frac=whole.met_frac,
        ttft_p90_s=whole.times.ttft.p90_s,
        tpot_p90_s=whole.times.tpot.p90_s,
        finished_count=whole.finished_count,
        missed_count=met_count(whole) - met_count(found),
    )
    taken = hits(shop.machine, shop.traffic.failures)
    return harm, tuple(failure(shop, best.fleet, taken, hit, (found, whole)) for hit in taken)


def met_count(found: Outcome) -> int:
    """Return how many requests met both targets."""
    return round(found.met_frac * found.arrived_count)


def failure(shop: Workshop, fleet: Fleet, taken: Sequence[Hit], hit: Hit, runs: tuple[Outcome, Outcome]) -> Failed:
    """Return one failure and its mark on the requests under way, with it and without any."""
    given = hit.failure
    each = shop.machine.fabric.ranks_per_chip
    struck = [seat for seat in seats(fleet) if hit.planes is not None or lost_ranks(seat, [hit], each) > 0.0]
    slow = max((item.slow_factor or 1.0 for item in fleet.mishaps if item.at_s == given.at_s), default=1.0)
    later = min((item.failure.at_s for item in taken if item.failure.at_s > given.at_s), default=inf)
    extra, recover = backlog(*runs, begin_s=given.at_s, end_s=later)
    named = (
        f"card {hit.first_count}"
        if hit.first_count == hit.last_count
        else (f"cards {hit.first_count} to {hit.last_count}")
    )
    return Failed(
        what=given.name or named,
        at_s=given.at_s,
        down_s=given.down_s if isfinite(given.down_s) else None,
        cards_count=hit.last_count - hit.first_count + 1 if hit.planes is None else 0,
        instances_count=len(struck),
        slow_factor=slow,
        backlog_count=extra,
        recover_s=recover,
    )


def backlog(found: Outcome, whole: Outcome, *, begin_s: float, end_s: float) -> tuple[float, float | None]:
    """Return (requests under way beyond those without failures, at most; seconds until a twentieth of that is left).

    Nothing where it is less than a tenth of what is under way, or than one request: runs differ by as much.
    """
    times, other = middles(found), middles(whole)
    usual = np.interp(times, other, np.asarray(whole.series["in_flight"]))
    extra = np.where((times >= begin_s) & (times < end_s), np.asarray(found.series["in_flight"]) - usual, 0.0)
    peak = int(np.argmax(extra)) if len(extra) else 0
    most = float(extra[peak]) if len(extra) else 0.0
    if most < max(1.0, LEAST_FRAC * float(usual.mean())):
        return 0.0, 0.0
    gone = np.flatnonzero((np.arange(len(extra)) > peak) & (times < end_s) & (extra <= GONE_FRAC * most))
    return most, float(times[gone[0]]) - begin_s if len(gone) else None


def middles(found: Outcome) -> npt.NDArray[np.float64]:
    """Return the middles of the bins of a run."""
    return (np.arange(len(found.series["in_flight"]), dtype=np.float64) + 0.5) * np.float64(found.bin_s)


def operated(shop: Workshop, best: Tried, found: Outcome, failed: tuple[Failed, ...]) -> Operated:
    """Return what the operations did."""
    asked, each = shop.traffic.operations, shop.machine.fabric.ranks_per_chip
    whole = sum(use.instances_count * use.ranks_count for use in found.pools) / each * found.span_s / HOUR_S
    up = sum(use.up_frac * use.instances_count * use.ranks_count for use in found.pools) / each
    gone = {
        card
        for hit in hits(shop.machine, shop.traffic.failures)
        if hit.planes is None
        for card in range(hit.first_count, hit.last_count + 1)
    }
    return Operated(
        scaling=scalings(shop, best, found),
        card_hours_count=up * found.span_s / HOUR_S,
        whole_card_hours_count=whole,
        late_count=late(shop, best, found),
        queue_limit_count=asked.queue_limit_count,
        queue_limit_s=asked.queue_limit_s,
        refused_count=found.counts.get("refused", 0),
        preemption=asked.preemption,
        preempted_count=found.preempted_count,
        moved_bytes={way: float(sum(found.series[f"{way}_bytes"])) for way in WAYS},
        failed=failed,
        failed_cards_count=len(gone),
    )


def scalings(shop: Workshop, best: Tried, found: Outcome) -> tuple[Scaling, ...]:
    """Return how pools were scaled."""
    uses = {use.name: use for use in found.pools}
    made = []
    for name, rule in rules_of(shop.traffic.operations, best.found).items():
        start, use = start_of(shop.machine, shop.work, rule, of_pool(best.found, name)[0]), uses[name]
        made.append(
            Scaling(
                pool=name,
                measure=rule.measure,
                target_ratio=rule.target_ratio,
                fewest_count=rule.fewest_count,
                most_count=use.instances_count,
                every_s=rule.every_s,
                delay_s=start.delay_s,
                delay_basis=start.basis,
                up_mean_count=use.up_frac * use.instances_count,
            )
        )
    return tuple(made)


def late(shop: Workshop, best: Tried, found: Outcome) -> int:
    """Return how many more requests meet both targets where instances start at once."""
    if not shop.traffic.operations.autoscale:
        return 0
    fleet = best.fleet
    quick = replace(fleet, pool=at_once(fleet.pool), decode=None if fleet.decode is None else at_once(fleet.decode))
    return met_count(outcome(quick, requests_of(shop.traffic), best.targets)) - met_count(found)


def at_once(pool: Pool) -> Pool:
    """Return a pool whose instances start at once."""
    return pool if pool.scaler is None else replace(pool, scaler=replace(pool.scaler, delay_s=0.0))
