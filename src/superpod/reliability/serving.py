"""Availability of serving instances that span many servers: wide expert parallelism, spares and quorums."""

from dataclasses import dataclass

from superpod.reliability.formulas import correlation, down_probabilities
from superpod.reliability.rates import Rates
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingAvailability:
    """Share of time that an instance serves, by what follows a failure.

    `waiting_frac`: it waits for the repair; `restarted_frac`: a spare server takes the place and all starts again;
    `elastic_frac`: the others go on after a pause, on fewer cards until the repair.
    """

    failure_per_s: Num
    waiting_frac: Num
    restarted_frac: Num
    elastic_frac: Num


def serving_availability(
    nodes_count: Num, rates: Rates, stopping_per_s: Num, repaired_frac: Num = 1.0
) -> ServingAvailability:
    """Return 1 / (1 + lambda t) for each recovery, lambda being the instance's failures (rates add over its servers).

    Of these `repaired_frac` wait for a repair where they may wait; software starts anew. Elastic instances also lose
    the capacity of the servers that are down, lambda R / n of the instance.
    """
    repaired = stopping_per_s * repaired_frac * rates.repair_mean_s
    pause = stopping_per_s * rates.serving_elastic_s
    missing = repaired / nodes_count
    return ServingAvailability(
        failure_per_s=stopping_per_s,
        waiting_frac=1.0 / (1.0 + repaired + stopping_per_s * (1.0 - repaired_frac) * rates.serving_restart_s),
        restarted_frac=1.0 / (1.0 + stopping_per_s * rates.serving_restart_s),
        elastic_frac=(1.0 - missing / (1.0 + missing)) / (1.0 + pause),
    )


def quorum_frac(nodes_count: int, needed_count: int, down_frac: Num, rates: Rates) -> Num:
    """Return the share of time at which at least `needed_count` of an instance's servers are up (beta-binomial)."""
    chances = down_probabilities(nodes_count, down_frac, correlation(rates.down_ratio, rates.observed_nodes_count))
    return sum(chances[: nodes_count - needed_count + 1], 0.0)


def lost_requests_per_s(in_flight_count: Num, stopping_per_s: Num) -> Num:
    """Return the requests that failures cut off: those in flight at each."""
    return in_flight_count * stopping_per_s
