"""What fails, how often, and how many cards it takes along: a tree of places, and domains that cut across it.

The tree: a card in a server, a server in a cabinet, a cabinet in a pod, pods on a site. Across it lie power shelves,
coolant units, feeds, switches and cables, whose failures may be masked by parallel planes, or by a quorum.
"""

from dataclasses import dataclass

import numpy as np

from superpod.fabric.inventory import Inventory
from superpod.fabric.tiers import SWITCHED, Fabric
from superpod.reliability.formulas import quorum_failure_per_s
from superpod.reliability.rates import Rates
from superpod.result import Num

ALONE, TINY = ("card", "network port"), 1e-300
CAUSES = ("accelerator", "host", "network", "software", "power", "cooling")


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What one tier has of parts that fail apart from the cards: over a machine of `cards_count` of its `Site`.

    `parallel_count` ways carry a card's traffic side by side: the switches of a plane, or planes of one switch each.
    """

    tier: str
    optical_count: Num
    module_count: Num
    switches_count: Num
    parallel_count: float
    unit_cards_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A machine as failures see it: cards, how they are housed, and the parts of the scale-up fabric."""

    cards_count: float
    pod_cards_count: float
    node_cards_count: float
    cabinet_cards_count: float
    links: tuple[Links, ...]

    @property
    def nodes_count(self) -> float:
        """Servers that the cards fill."""
        return float(np.ceil(self.cards_count / self.node_cards_count))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDomain:
    """All instances of one kind of thing that fails.

    `inside` names the domain around it; a `crossing` one cuts across the tree. An instance takes `cards_count` cards
    along until it is repaired; `masked_frac` of its failures stop nothing. `quorum` says what a group must keep.
    """

    name: str
    inside: str
    cause: str
    crossing: bool
    instances_count: Num
    cards_count: Num
    failure_per_s: Num
    repair_s: Num
    masked_frac: Num = 0.0
    quorum: str = ""

    @property
    def all_per_s(self) -> Num:
        """Failures of all instances."""
        return self.instances_count * self.failure_per_s

    @property
    def stopping_per_s(self) -> Num:
        """Failures of all instances that stop a job which uses all cards."""
        return self.all_per_s * (1.0 - self.masked_frac)

    @property
    def masked_per_s(self) -> Num:
        """Failures of all instances that leave a job running, slower."""
        return self.all_per_s * self.masked_frac

    @property
    def down_cards_count(self) -> Num:
        """Cards that wait for repair on average: rate x repair x cards (Little)."""
        return self.stopping_per_s * self.repair_s * self.cards_count


def links_of(fabric: Fabric, made: Inventory) -> tuple[Links, ...]:
    """Return the parts of the scale-up tiers; unpublished counts are 0 here, and `uncounted` names them.

    The scale-out network is left to the failure book: the fleets behind its rates had one, and its failures are among
    them.
    """
    found: list[Links] = []
    for tier, parts in zip(fabric.tiers, made.tiers, strict=False):
        if tier.scale_out or tier.medium == "package":
            continue
        planes = tier.wiring.planes_count or 1.0
        switches = tier.wiring.switches_count or 1.0
        ways = (switches if switches > 1.0 else planes) if tier.structure in SWITCHED else 1.0
        modules = parts.modules_count or 0.0
        found.append(
            Links(
                tier=tier.name,
                optical_count=(parts.cables_count or 0.0) if modules else 0.0,
                module_count=modules,
                switches_count=parts.switches_count or 0.0,
                parallel_count=ways,
                unit_cards_count=_unit(fabric, tier.name) / fabric.ranks_per_chip,
            )
        )
    return tuple(found)


def _unit(fabric: Fabric, name: str) -> float:
    """Return the ranks under one instance of a tier."""
    return next(tier.ranks_count for tier in fabric.tiers if tier.name == name)


def uncounted(fabric: Fabric, made: Inventory) -> tuple[str, ...]:
    """Return the scale-up tiers whose optical modules or switches nobody has published."""
    return tuple(
        tier.name
        for tier, parts in zip(fabric.tiers, made.tiers, strict=False)
        if not tier.scale_out
        and (parts.modules_count is None or (tier.structure in SWITCHED and parts.switches_count is None))
    )


def sized(site: Site, cards_count: float) -> Site:
    """Return a site of the same kind with another number of cards; parts of the fabric grow with it."""
    share = cards_count / site.cards_count
    links = tuple(
        Links(
            tier=item.tier,
            optical_count=item.optical_count * share,
            module_count=item.module_count * share,
            switches_count=item.switches_count * share,
            parallel_count=item.parallel_count,
            unit_cards_count=item.unit_cards_count,
        )
        for item in site.links
    )
    return Site(
        cards_count=cards_count,
        pod_cards_count=site.pod_cards_count,
        node_cards_count=min(site.node_cards_count, float(cards_count)),
        cabinet_cards_count=min(site.cabinet_cards_count, float(cards_count)),
        links=links,
    )


def domains(site: Site, rates: Rates) -> tuple[FailureDomain, ...]:
    """Return everything that fails, the tree from the card out first, then what cuts across it.

    A card is repaired by taking its server out of work, so its blast radius is the server's cards.
    """
    card = rates.card_failure_per_s
    server = site.node_cards_count
    tree = (
        (
            "card",
            "server",
            "accelerator",
            site.cards_count,
            card * rates.cause_frac("accelerator"),
            rates.repair_mean_s,
        ),
        ("server", "cabinet", "host", site.nodes_count, card * server * rates.cause_frac("host"), rates.repair_mean_s),
        (
            "network port",
            "server",
            "network",
            site.cards_count,
            card * rates.cause_frac("network"),
            rates.repair_mean_s,
        ),
        ("software", "site", "software", site.cards_count, card * rates.cause_frac("software"), 0.0),
    )
    made = [
        FailureDomain(
            name=name,
            inside=inside,
            cause=cause,
            crossing=False,
            instances_count=count,
            cards_count=0.0 if cause == "software" else server,
            failure_per_s=rate,
            repair_s=repair,
        )
        for name, inside, cause, count, rate, repair in tree
    ]
    return (*made, *_shared(site, rates), *_fabric(site, rates))


def _shared(site: Site, rates: Rates) -> tuple[FailureDomain, ...]:
    """Return power shelves and coolant units of cabinets, and the feeds of pods, any one of which is enough."""
    cabinets = np.ceil(site.cards_count / site.cabinet_cards_count)
    cooled = np.minimum(rates.cdu_cabinets_count, site.pod_cards_count / site.cabinet_cards_count)
    feeds = max(1, round(float(np.mean(rates.feeds_count))))
    pods = np.ceil(site.cards_count / site.pod_cards_count)
    housed = np.minimum(site.cabinet_cards_count, site.cards_count)
    both = quorum_failure_per_s(rates.shared_failure_per_s, rates.shared_repair_s, 1, feeds)
    rows = (
        ("power shelf", "cabinet", "power", cabinets, housed, rates.shared_failure_per_s, ""),
        (
            "coolant unit",
            "pod",
            "cooling",
            np.ceil(cabinets / cooled),
            np.minimum(housed * cooled, site.cards_count),
            rates.shared_failure_per_s,
            "",
        ),
        (
            "power feeds",
            "pod",
            "power",
            pods,
            np.minimum(site.pod_cards_count, site.cards_count),
            both,
            f"1 of {feeds}",
        ),
    )
    return tuple(
        FailureDomain(
            name=name,
            inside=inside,
            cause=cause,
            crossing=True,
            instances_count=count,
            cards_count=cards,
            failure_per_s=rate,
            repair_s=rates.shared_repair_s,
            quorum=quorum,
        )
        for name, inside, cause, count, cards, rate, quorum in rows
    )


def _fabric(site: Site, rates: Rates) -> tuple[FailureDomain, ...]:
    """Return switches and optical cables of each tier; beside parallel ways they are masked and slow the job down."""
    found: list[FailureDomain] = []
    for item in site.links:
        parallel = item.parallel_count > 1.0
        masked = rates.module_masked_frac if parallel else 0.0
        quorum = f"{item.parallel_count - 1:g} of {item.parallel_count:g} ways" if parallel else ""
        for name, count, rate, cards in (
            (f"{item.tier} switch", item.switches_count, rates.switch_failure_per_s, item.unit_cards_count),
            (f"{item.tier} optical cable", item.optical_count, rates.link_failure_per_s, site.node_cards_count),
        ):
            if np.any(np.asarray(count) > 0.0):
                found.append(
                    FailureDomain(
                        name=name,
                        inside=item.tier,
                        cause="network",
                        crossing=True,
                        instances_count=count,
                        cards_count=np.minimum(cards, site.cards_count),
                        failure_per_s=rate,
                        repair_s=rates.swap_s,
                        masked_frac=masked,
                        quorum=quorum,
                    )
                )
    return tuple(found)


def stopping_per_s(found: tuple[FailureDomain, ...]) -> Num:
    """Return the failures that stop a job on all cards: rates add."""
    return sum((item.stopping_per_s for item in found), 0.0)


def repaired_frac(found: tuple[FailureDomain, ...]) -> Num:
    """Return the share of stops that send cards to a repair: all but those of software."""
    sent = sum((item.stopping_per_s for item in found if float(np.max(np.asarray(item.cards_count))) > 0.0), 0.0)
    return sent / stopping_per_s(found)


def down_frac(found: tuple[FailureDomain, ...], site: Site) -> Num:
    """Return the share of cards that wait for repair on average, lambda R / (1 + lambda R)."""
    load = sum((item.down_cards_count for item in found), 0.0) / site.cards_count
    return load / (1.0 + load)


def alone_frac(found: tuple[FailureDomain, ...]) -> Num:
    """Return the share of what waits for repair whose fault is one card or its port, not a whole server or more."""
    alone = sum((item.down_cards_count for item in found if item.name in ALONE), 0.0)
    return alone / sum((item.down_cards_count for item in found), TINY)


def slowed_frac(found: tuple[FailureDomain, ...], site: Site, exposed_frac: Num) -> Num:
    """Return what masked failures cost: a synchronous step is as slow as its slowest card.

    With f faulty ways at a time (rate x repair), the share of time with at least one is 1 - e^-f; then the exposed
    share of the step takes 1/(p - 1) longer of p parallel ways. An estimate: no trunk is counted twice.
    """
    lost: Num = 0.0
    for item in site.links:
        faulty = sum(
            (part.masked_per_s * part.repair_s for part in found if part.inside == item.tier),
            0.0,
        )
        if item.parallel_count > 1.0:
            longer = exposed_frac / (item.parallel_count - 1.0)
            lost = lost + -np.expm1(-np.asarray(faulty, dtype=float)) * longer / (1.0 + longer)
    return lost
