"""What a site keeps back, and what stands idle beside it, by policy: the share of cards that a job can use.

`Usable.reserved_frac` is kept back on purpose, `stranded_frac` is healthy or broken and of no use at the moment.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from superpod.errors import ScenarioError, did_you_mean
from superpod.reliability.formulas import LOG_LEAST, correlation, down_at_most, down_probabilities, enough_frac
from superpod.reliability.rates import Rates
from superpod.result import Num

LEAST = 1e-12
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Shares of the time at which spares of a large machine may suffice: the best of them is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cards that a policy deals with: `down_frac` of them out of work, servers of `node_cards_count`, pods, groups.

    A job consists of groups of `group_cards_count` cards, each inside one pod. Of what is out of work, `alone_frac`
    is servers in which only one card or its port is broken. `standby_nodes_count` servers stand by; None: as many as
    leave the most work.
    """

    cards_count: float
    pod_cards_count: float
    node_cards_count: float
    group_cards_count: float
    down_frac: Num
    alone_frac: Num = 1.0
    standby_nodes_count: float | None = None

    @property
    def nodes_count(self) -> int:
        """Servers of the machine."""
        return max(1, round(self.cards_count / self.node_cards_count))

    @property
    def grouped_frac(self) -> float:
        """Share of a pod's cards that whole groups fill when all is well; raises ScenarioError where none fits."""
        units = max(1, round(self.pod_cards_count / self.node_cards_count))
        size = units * self.node_cards_count
        best = float(np.floor(size / self.group_cards_count)) * self.group_cards_count
        if best <= 0.0:
            raise ScenarioError(
                f"groups of {self.group_cards_count:g} cards do not fit a pod of {size:g}",
                where="--group",
                hint="at most the cards of a pod",
            )
        return best / size


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """Shares of all cards: kept back, stranded, and spares by number; `elastic` jobs restart faster.

    `waiting_frac` is the share of the time at which the whole job waits for a repair: part of what is stranded.
    """

    reserved_frac: Num
    stranded_frac: Num
    spares_count: Num = 0.0
    waiting_frac: Num = 0.0
    elastic: bool = False

    @property
    def used_frac(self) -> Num:
        """What a job has on average."""
        return np.maximum(1.0 - self.reserved_frac - self.stranded_frac, 0.0)

    @property
    def running_frac(self) -> Num:
        """What a job has while it runs."""
        return self.used_frac / np.maximum(1.0 - self.waiting_frac, LEAST)


def _correlation(rates: Rates) -> Num:
    return correlation(rates.down_ratio, rates.observed_nodes_count)


def none(group: Group, rates: Rates) -> Usable:
    """The job needs every card and waits while any is broken: used is Pr(none down), block by block."""
    nodes = group.nodes_count
    block = min(nodes, round(float(np.mean(rates.observed_nodes_count))))
    alone = down_probabilities(block, group.down_frac, _correlation(rates))[0]
    whole = np.exp(np.maximum(np.log(alone) * (nodes / block), LOG_LEAST))
    return Usable(reserved_frac=0.0, stranded_frac=1.0 - whole, waiting_frac=1.0 - whole)


def in_pod(group: Group, rates: Rates) -> Usable:
    """A pod works with as many whole groups as its healthy servers fill: 64 of 72.

    Reserved is what no whole group fills when all is well; stranded what is missing beyond it, on average. The number
    of servers down is beta-binomial.
    """
    units = max(1, round(group.pod_cards_count / group.node_cards_count))
    size, best = units * group.node_cards_count, group.grouped_frac
    used: Num = 0.0
    for down, chance in enumerate(down_probabilities(units, group.down_frac, _correlation(rates))):
        healthy = size - down * group.node_cards_count
        used = used + chance * np.floor(healthy / group.group_cards_count) * group.group_cards_count
    return Usable(
        reserved_frac=1.0 - best,
        stranded_frac=best - used / size,
        spares_count=group.cards_count * (1.0 - best),
        elastic=True,
    )


def one_more(group: Group, rates: Rates) -> Usable:
    """Each group has one stand-by card of its own, 64 + 1: a group is lost where two of its cards, or a server, fail.

    UB-Mesh (arXiv 2503.20377, section 3.3): hardware built for it, so no card of a pod is left over. Cards are
    exchanged one by one here, so of the servers whose one card is broken only that card counts.
    """
    size = round(group.group_cards_count) + 1
    cards = down_probabilities(size, group.down_frac * group.alone_frac / group.node_cards_count, _correlation(rates))
    servers = _servers_up(group, group.down_frac * (1.0 - group.alone_frac), rates)
    lost = 1.0 - (cards[0] + cards[1]) * servers
    return Usable(
        reserved_frac=1.0 / size,
        stranded_frac=lost * (size - 1.0) / size,
        spares_count=group.cards_count / size,
        elastic=True,
    )


def warm(group: Group, rates: Rates) -> Usable:
    """Spare servers stand by, and the job waits while more are down: so many that the most work is left.

    Work is (1 - s/n) Pr(at most s down). The chance is the exact beta-binomial up to the block on which the clustering
    was seen, and beyond it that of `down_at_most`, at the best of `TARGETS`.
    """
    nodes = group.nodes_count
    if nodes <= round(float(np.mean(rates.observed_nodes_count))):
        spares, chance = _exact_spares(group, rates)
    else:
        spares, chance = _many_spares(group, rates)
    held = spares / nodes
    return Usable(
        reserved_frac=held,
        stranded_frac=(1.0 - chance) * (1.0 - held),
        spares_count=spares * group.node_cards_count,
        waiting_frac=1.0 - chance,
    )


def _exact_spares(group: Group, rates: Rates) -> tuple[Num, Num]:
    """Return the spare servers that leave the most work, or those asked for, and the chance that they suffice."""
    nodes = group.nodes_count
    chances = np.array(down_probabilities(nodes, group.down_frac, _correlation(rates)))
    enough = np.minimum(np.cumsum(chances, axis=0), 1.0)
    if group.standby_nodes_count is not None:
        asked = min(round(group.standby_nodes_count), nodes)
        return float(asked), enough[asked]
    counts = np.arange(nodes + 1.0).reshape((nodes + 1,) + (1,) * (enough.ndim - 1))
    best = np.argmax((1.0 - counts / nodes) * enough, axis=0)
    return best.astype(float), np.take_along_axis(enough, best[None, ...], axis=0)[0]


def _many_spares(group: Group, rates: Rates) -> tuple[Num, Num]:
    """Return the same of a machine of more servers than the block on which the clustering was seen."""
    nodes = float(group.nodes_count)
    clustered = (rates.down_ratio, rates.observed_nodes_count)
    if group.standby_nodes_count is not None:
        asked = min(group.standby_nodes_count, nodes)
        return asked, enough_frac(nodes, asked, group.down_frac, *clustered)
    rows = [down_at_most(nodes, group.down_frac, *clustered, share) for share in TARGETS]
    counts = np.stack(np.broadcast_arrays(*rows))
    shares = np.array(TARGETS).reshape((len(TARGETS),) + (1,) * (counts.ndim - 1)) + np.zeros(counts.shape)
    best = np.argmax((1.0 - counts / nodes) * shares, axis=0)[None, ...]
    return np.take_along_axis(counts, best, axis=0)[0], np.take_along_axis(shares, best, axis=0)[0]


def _servers_up(group: Group, down_frac: Num, rates: Rates) -> Num:
    """Return the chance that none of a group's servers is down."""
    units = max(1, round(group.group_cards_count / group.node_cards_count))
    return down_probabilities(units, down_frac, _correlation(rates))[0]


def recabled(group: Group, rates: Rates) -> Usable:
    """Optical switches join any healthy groups to a pod: only groups with a broken server are lost.

    TPU v4 (arXiv 2304.01433, section 2) joins cubes of 64 in this way.
    """
    return Usable(reserved_frac=0.0, stranded_frac=1.0 - _servers_up(group, group.down_frac, rates))


def shrink(group: Group, rates: Rates) -> Usable:
    """The job goes on without the groups (data-parallel replicas) that have lost a server, and takes them in again.

    Groups are fixed; cards of a pod that fill no whole group are left over.
    """
    best = group.grouped_frac
    lost = best * (1.0 - _servers_up(group, group.down_frac, rates))
    return Usable(reserved_frac=1.0 - best, stranded_frac=lost, elastic=True)


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
    "in-pod": "whole groups of healthy servers inside a pod, 64 of 72",
    "one-more": "a stand-by card built into each group, 64 + 1",
    "warm": "spare servers, as many as leave the most work",
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
