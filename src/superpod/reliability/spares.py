"""What a site keeps back, and what stands idle beside it, by policy: the share of cards that a job can use.

`Usable.reserved_frac` is kept back on purpose, `stranded_frac` is healthy or broken and of no use at the moment.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError, did_you_mean
from superpod.reliability.formulas import LOG_LEAST, correlation, down_at_most, down_probabilities
from superpod.reliability.rates import Rates
from superpod.result import Num

TARGET_FRAC = 0.999
"""Share of the time at which spares suffice, where the user asks for no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cards that a policy deals with: `down_frac` of them broken, servers of `node_cards_count`, pods, groups.

    A job consists of groups of `group_cards_count` cards, each inside one pod.
    """

    cards_count: float
    pod_cards_count: float
    node_cards_count: float
    group_cards_count: float
    down_frac: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """Shares of all cards: kept back, stranded, and spares by number; `elastic` jobs restart faster."""

    reserved_frac: Num
    stranded_frac: Num
    spares_count: Num = 0.0
    elastic: bool = False

    @property
    def used_frac(self) -> Num:
        """What a job has on average."""
        return np.maximum(1.0 - self.reserved_frac - self.stranded_frac, 0.0)


def _correlation(rates: Rates) -> Num:
    return correlation(rates.down_ratio, rates.observed_nodes_count)


def none(group: Group, rates: Rates) -> Usable:
    """The job needs every card and waits while any is broken: used is Pr(none down), block by block."""
    nodes = max(1, round(group.cards_count / group.node_cards_count))
    block = min(nodes, round(float(np.mean(rates.observed_nodes_count))))
    alone = down_probabilities(block, group.down_frac, _correlation(rates))[0]
    whole = np.exp(np.maximum(np.log(alone) * (nodes / block), LOG_LEAST))
    return Usable(reserved_frac=0.0, stranded_frac=1.0 - whole)


def in_pod(group: Group, rates: Rates) -> Usable:
    """A pod works with as many whole groups as its healthy servers fill: 64 of 72.

    Reserved is what no whole group fills when all is well; stranded what is missing beyond it, on average. The number
    of servers down is beta-binomial.
    """
    units = max(1, round(group.pod_cards_count / group.node_cards_count))
    size = units * group.node_cards_count
    best = np.floor(size / group.group_cards_count) * group.group_cards_count
    if best <= 0.0:
        raise ScenarioError(
            f"groups of {group.group_cards_count:g} cards do not fit a pod of {size:g}",
            where="--group",
            hint="at most the cards of a pod",
        )
    used: Num = 0.0
    for down, chance in enumerate(down_probabilities(units, group.down_frac, _correlation(rates))):
        healthy = size - down * group.node_cards_count
        used = used + chance * np.floor(healthy / group.group_cards_count) * group.group_cards_count
    return Usable(
        reserved_frac=1.0 - best / size,
        stranded_frac=(best - used) / size,
        spares_count=group.cards_count * (1.0 - best / size),
        elastic=True,
    )


def one_more(group: Group, rates: Rates) -> Usable:
    """Each group has one stand-by card of its own, 64 + 1: a group is lost where two of its cards are down.

    UB-Mesh (arXiv 2503.20377, section 3.3). Cards are repaired one by one here, so the share down is that of cards.
    """
    size = round(group.group_cards_count) + 1
    each = group.down_frac / group.node_cards_count
    chances = down_probabilities(size, each, _correlation(rates))
    lost = 1.0 - chances[0] - chances[1]
    return Usable(
        reserved_frac=1.0 / size,
        stranded_frac=lost * (size - 1.0) / size,
        spares_count=group.cards_count / size,
        elastic=True,
    )


def warm(group: Group, rates: Rates) -> Usable:
    """Spare servers stand by, enough for 99.9 % of the time; otherwise the job waits."""
    nodes = group.cards_count / group.node_cards_count
    spares = down_at_most(nodes, group.down_frac, rates.down_ratio, rates.observed_nodes_count, TARGET_FRAC)
    held = spares / nodes
    return Usable(
        reserved_frac=held,
        stranded_frac=(1.0 - TARGET_FRAC) * (1.0 - held),
        spares_count=spares * group.node_cards_count,
    )


def recabled(group: Group, rates: Rates) -> Usable:
    """Optical switches join any healthy groups to a pod: only groups with a broken server are lost.

    TPU v4 (arXiv 2304.01433, section 2) joins cubes of 64 in this way.
    """
    units = max(1, round(group.group_cards_count / group.node_cards_count))
    whole = down_probabilities(units, group.down_frac, _correlation(rates))[0]
    return Usable(reserved_frac=0.0, stranded_frac=1.0 - whole)


def shrink(group: Group, rates: Rates) -> Usable:
    """The job goes on without the groups (data-parallel replicas) that have lost a server, and takes them in again."""
    lost = recabled(group, rates)
    return Usable(reserved_frac=0.0, stranded_frac=lost.stranded_frac, elastic=True)


POLICIES: dict[str, Callable[[Group, Rates], Usable]] = {
    "none": none,
    "in-pod": in_pod,
    "one-more": one_more,
    "warm": warm,
    "recabled": recabled,
    "shrink": shrink,
}
MEANING = {
    "none": "waits for every repair",
    "in-pod": "whole groups inside a pod, 64 of 72",
    "one-more": "a stand-by card for each group, 64 + 1",
    "warm": "spare servers that stand by",
    "recabled": "optical switches join healthy groups",
    "shrink": "goes on with fewer replicas",
}


def usable(policy: str, group: Group, rates: Rates) -> Usable:
    """Return what a policy leaves; raise ScenarioError for one that is not known."""
    if policy not in POLICIES:
        raise ScenarioError(
            f"unknown spare policy {policy!r}",
            where="--spares",
            hint=did_you_mean(policy, POLICIES) or f"one of {', '.join(POLICIES)}",
        )
    return POLICIES[policy](group, rates)
