"""An answer as a thing in a building: what its machine draws, what failures leave of its rate, what its tokens cost.

All follows from the plan that was found: power from its phases, goodput from its step or its instances, cost from both.
`superpod power`, `reliability` and `cost` ask more of the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.errors import MissingFactError
from superpod.facility.cost_parts import Running, card_hour_usd, mtoken_usd, running
from superpod.plan.cost.site import Site, estate_of, site_of, terms_of
from superpod.plan.goodput.work import Failing
from superpod.plan.machine import Machine
from superpod.plan.power.phases import Load
from superpod.plan.power.work import PHASES, Powering, powering_of
from superpod.plan.public_record import NINETIETH
from superpod.plan.spread import Moved, draws, ranged
from superpod.plan.whole.result import Money, Power, Whole
from superpod.result import Num

DRAWS = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One machine of an answer: what its chips do."""

    machine: Machine
    loads: tuple[Load, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Work that is done: tokens a second, of output where prompts are read too, and its P10 and P90 over its value."""

    tokens_per_s: float
    band: tuple[float, float] = (1.0, 1.0)


def whole_of(
    catalogue: Catalogue, place: str, parts: Sequence[Part], done: Done, failing: Failing
) -> tuple[Whole, tuple[UsedFact, ...]]:
    """Return what an answer is in a facility, and the facts which that rests on."""
    lacks: list[str] = []
    powerings = _had(lacks, "power", lambda: [powering_of(catalogue, part.machine, part.loads) for part in parts])
    sites = None
    if powerings is not None:
        sites = _had(lacks, "cost", lambda: sites_of(catalogue, place, parts, powerings))
    facility = catalogue.facility(place)
    reader = FactReader(kind="facilities", entry=facility)
    pue = reader.number("pue", facility.pue)
    facts = each_once(
        (
            *failing.facts,
            *(used for item in powerings or () for used in item.facts),
            *(used for site in sites or () for used in site.facts),
            *(reader.cited() if powerings else ()),
        )
    )
    drawn = draws(ranged(facts), DRAWS)
    cards = sum(part.machine.cards_count for part in parts)
    return Whole(
        facility=f"{facility.id}@{facility.version}",
        cards_count=cards,
        tokens_per_s=done.tokens_per_s,
        failures=failing.left,
        power=_power(powerings, cards, done, (f"facilities/{place}:pue", pue), drawn) if powerings else None,
        money=_money(sites, cards, done, failing, drawn) if sites else None,
        lacks=tuple(lacks),
    ), facts


def sites_of(
    catalogue: Catalogue, place: str, parts: Sequence[Part], powerings: Sequence[Powering]
) -> tuple[Site, ...]:
    """Return the sites of machines that draw what their work does; raise MissingFactError for an unpublished price."""
    return tuple(
        site_of(catalogue, part.machine.pod, part.machine.cards_count, place, powering=powering)
        for part, powering in zip(parts, powerings, strict=True)
    )


def _had(lacks: list[str], what: str, read: Callable[[], T]) -> T | None:
    """Return what is read; None where a fact of it is not published, with the reason added to `lacks`."""
    try:
        return read()
    except MissingFactError as error:
        lacks.append(f"no {what}: {error.where} is not published")
        return None


def each_once(facts: Sequence[UsedFact]) -> tuple[UsedFact, ...]:
    """Return facts, each once."""
    return tuple({used.where: used for used in facts}.values())


def _power(powerings: Sequence[Powering], cards: float, done: Done, pue: tuple[str, float], drawn: Moved) -> Power:
    """Return the power of all machines: IT x PUE of the facility."""

    def site_w(changes: Moved) -> Num:
        it: Num = sum((item.it_w(changes) for item in powerings), 0.0)
        return it * changes.get(*pue)

    it = sum(item.drawn.it_w for item in powerings)
    low, high = _ends(site_w(drawn))
    chips = [item.drawn.chip_w for item in powerings]
    return Power(
        it_w=it,
        site_w=it * pue[1],
        p10_w=low,
        p90_w=high,
        card_w=it * pue[1] / cards,
        chip_w=chips[0] if len(chips) == 1 else None,
        pue_ratio=pue[1],
        token_energy_j=it * pue[1] / done.tokens_per_s,
        basis=next((item.drawn.basis for item in powerings if item.drawn.basis != PHASES), PHASES),
    )


def _money(sites: Sequence[Site], cards: float, done: Done, failing: Failing, drawn: Moved) -> Money:
    """Return what all sites cost; the draws move prices, power, failures and, by its own band, the rate."""

    def spent(changes: Moved) -> list[Running]:
        return [running(estate_of(site, changes), terms_of(site, changes)) for site in sites]

    def whole(changes: Moved) -> Num:
        return sum((item.total_usd_per_s for item in spent(changes)), 0.0)

    each = spent({})
    parts = {item.name: sum(float(getattr(one, item.name)) for one in each) for item in fields(Running)}
    total = float(whole({}))
    rates = done.tokens_per_s * _rates(done)
    low, high = _ends(mtoken_usd(whole(drawn), rates, failing.moved_frac(drawn)))
    return Money(
        running=Running(**parts),
        total_usd_per_s=total,
        card_hour_usd=float(card_hour_usd(total, cards)),
        mtoken_usd=float(mtoken_usd(total, done.tokens_per_s, failing.left.goodput_frac)),
        p10_usd=low,
        p90_usd=high,
    )


def _rates(done: Done) -> Num:
    """Return draws of the rate over its value, log-normal on either side of it, whose P10 and P90 are its band."""
    normal = np.random.default_rng(1).standard_normal(DRAWS)
    low, high = np.log(done.band)
    rates: Num = np.exp(np.where(normal < 0.0, -low, high) / NINETIETH * normal)
    return rates


def _ends(values: Num) -> tuple[float, float]:
    low, high = np.percentile(np.broadcast_to(np.asarray(values, dtype=float), (DRAWS,)), (10.0, 90.0))
    return float(low), float(high)
