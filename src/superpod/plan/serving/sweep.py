"""The same requests at other rates: how much a fleet serves before targets are missed, and after."""

from dataclasses import replace
from itertools import islice

from superpod.plan.scenario import Traffic
from superpod.plan.serving.choice import Told, Tried
from superpod.plan.serving.result import Outcome, RatePoint, Sweep
from superpod.plan.serving.run import outcome
from superpod.plan.serving.traffic import STRIDE, Stream, requests_of
from superpod.traffic.requests import ClosedLoop

SWEPT = 20_000
"""Requests at each rate."""
WANTED_FRAC = 0.9
STEP_FACTOR = 2.0
HALVINGS = 4
MOST_POINTS = 12


def swept(traffic: Traffic, best: Tried, cards_count: float, told: Told | None) -> Sweep | None:
    """Return the fleet at rates from light to overload, and the highest at which nine of ten requests meet targets.

    Rates double up from an eighth of the given one until fewer than half of the requests meet targets or the fleet is
    overloaded; then the highest good rate is found by halving the interval that holds it. What was found stays where
    interrupted.
    """
    points: dict[float, Outcome] = {}

    def at(factor: float) -> Outcome | None:
        if told is not None:
            told("rates", len(points), MOST_POINTS + HALVINGS)
        made = outcome(best.fleet, some(traffic, factor), best.targets, rate_factor=factor)
        if not made.interrupted:
            points[factor] = made
        return None if made.interrupted else made

    factor = 1.0 / 8.0
    while len(points) < MOST_POINTS:
        made = at(factor)
        if made is None or made.condition == "overloaded" or made.met_frac < WANTED_FRAC / 2.0:
            break
        factor *= STEP_FACTOR
    good = max((item for item, made in points.items() if is_good(made)), default=0.0)
    bad = min((item for item in points if item > good), default=0.0)
    for _ in range(HALVINGS if good and bad else 0):
        middle = (good * bad) ** 0.5
        made = at(middle)
        if made is None:
            break
        good, bad = (middle, bad) if is_good(made) else (good, middle)
    if not points:
        return None
    return Sweep(
        points=tuple(point(points[item], cards_count) for item in sorted(points)),
        wanted_frac=WANTED_FRAC,
        most_per_s=points[good].offered_per_s if good else 0.0,
    )


def is_good(made: Outcome) -> bool:
    """Return whether enough requests meet both targets."""
    return made.met_frac >= WANTED_FRAC and made.condition != "overloaded"


def some(traffic: Traffic, factor: float) -> Stream:
    """Return the first requests at another rate."""
    whole = requests_of(traffic, factor)
    if isinstance(whole, ClosedLoop):
        return replace(whole, requests=islice(iter(whole.requests), SWEPT // STRIDE))
    return islice(whole, SWEPT // STRIDE)


def point(made: Outcome, cards_count: float) -> RatePoint:
    """Return one rate in numbers."""
    return RatePoint(
        rate_factor=made.rate_factor,
        offered_per_s=made.offered_per_s,
        met_frac=made.met_frac,
        ttft_p90_s=made.times.ttft.p90_s,
        tpot_p90_s=made.times.tpot.p90_s,
        output_tokens_card_per_s=made.output_tokens_per_s / cards_count,
        goodput_tokens_card_per_s=made.goodput_tokens_per_s / cards_count,
        condition=made.condition,
    )
