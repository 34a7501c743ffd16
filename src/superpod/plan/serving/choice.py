"""Which deployment serves a traffic best: those around the steady-state optimum, simulated on some of its requests."""

from collections.abc import Callable
from dataclasses import dataclass

from superpod.errors import InfeasibleError
from superpod.plan.serving.attention_apart import searched
from superpod.plan.serving.candidates import candidates
from superpod.plan.serving.explain import described, infeasible
from superpod.plan.serving.fleet import Workshop
from superpod.plan.serving.operations import pinned, scalable
from superpod.plan.serving.pair import search_pair
from superpod.plan.serving.pair_evaluate import nothing as out_of_reach
from superpod.plan.serving.pair_fleet import PairShop
from superpod.plan.serving.result import Outcome, Trial
from superpod.plan.serving.run import Targets, outcome, targets_of
from superpod.plan.serving.search import Deployment
from superpod.serve.simulation.fleet import Fleet
from superpod.traffic.requests import Trace

FINALISTS = 4
FIRST_COUNT, LAST_COUNT = 1_000, 10_000
"""Requests on which all are tried, and those on which the finalists are."""
FIRST_PLAIN_COUNT = 250
"""As the former, where nothing is compiled."""
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A deployment with its fleet and what it did with a sample of the requests."""

    found: Deployment
    fleet: Fleet
    targets: Targets
    outcome: Outcome

    @property
    def rank(self) -> tuple[float, float]:
        """Order of preference: requests that meet both targets, to a thousandth; then the mean times."""
        times = self.outcome.times
        return -round(self.outcome.met_frac, 3), times.ttft.mean_s + times.latency.mean_s


def chosen(
    shop: Workshop, fixed: dict[str, float | str], sample: Trace, longest_tokens: int, told: Told | None
) -> tuple[Tried, tuple[Tried, ...]]:
    """Return the best deployment and all that were tried, best first.

    All candidates serve the first requests, the best of them more. Those whose memory the longest request would burst
    are left out where others can hold it.

    Raises:
        InfeasibleError: nothing fits the machine, or nothing comes near the targets.
        KeyboardInterrupt: interrupted before anything was chosen.
    """
    offered = candidates(shop, pinned(shop.traffic.operations, fixed))
    if not offered:
        raise nothing(shop, fixed)
    offered = scalable(shop.traffic.operations, offered)
    held = [item for item in offered if shop.can_hold(item, longest_tokens)] or offered
    first = FIRST_PLAIN_COUNT if shop.engine == "python" else FIRST_COUNT
    few, more = sample.part(0, first), sample.part(0, LAST_COUNT)
    tried = sorted(rounds(shop, held, few, told), key=lambda item: item.rank)
    if more.requests_count > few.requests_count:
        again = rounds(shop, [item.found for item in tried[:FINALISTS]], more, told)
        tried = [*sorted(again, key=lambda item: item.rank), *tried[FINALISTS:]]
    return tried[0], tuple(tried)


def rounds(shop: Workshop, offered: list[Deployment], sample: Trace, told: Told | None) -> list[Tried]:
    """Return each deployment's outcome on a sample."""
    found = []
    for number, item in enumerate(offered):
        if told is not None:
            told("deployments", number, len(offered))
        fleet = shop.fleet(item, whole=True)
        targets = targets_of(fleet, item, shop.work, shop.engine)
        made = outcome(fleet, sample, targets)
        if made.interrupted:
            raise KeyboardInterrupt
        found.append(Tried(found=item, fleet=fleet, targets=targets, outcome=made))
    return found


def nothing(shop: Workshop, fixed: dict[str, float | str]) -> InfeasibleError:
    """Return the error for traffic whose mean request no deployment serves in time."""
    pools = shop.traffic.pools_cards
    if isinstance(shop, PairShop):
        return out_of_reach(shop.pair, shop.work, search_pair(shop.pair, shop.work, fixed))
    if pools is not None and searched(shop.machine, shop.work, fixed).best is not None:
        return InfeasibleError(
            f"no instances of pools of {pools[0]:,} and {pools[1]:,} cards come near the targets",
            where="--disaggregate",
            hint="larger pools, looser targets (--slo), or leave the pools to the search",
        )
    return infeasible(shop.machine, shop.work, searched(shop.machine, shop.work, fixed))


def trial(item: Tried) -> Trial:
    """Return a trial in words and numbers."""
    made = item.outcome
    return Trial(
        deployment=described(item.found),
        met_frac=made.met_frac,
        ttft_p90_s=made.times.ttft.p90_s,
        tpot_p90_s=made.times.tpot.p90_s,
        steady_tokens_per_s=item.found.tokens_per_s,
        condition=made.condition,
    )
