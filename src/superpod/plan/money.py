"""What a million tokens cost on a machine, where its price and its power are published."""

from dataclasses import dataclass

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.errors import MissingFactError
from superpod.facility.cost import Tariff, capital_usd_per_s, energy_usd_per_s
from superpod.plan.machine import Machine
from superpod.plan.report import Metric
from superpod.result import Num

TOKENS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """Metrics of cost with the facts they rest on, or a note that says what is missing."""

    metrics: tuple[Metric, ...] = ()
    facts: tuple[UsedFact, ...] = ()
    note: str = ""


def costed(catalogue: Catalogue, facility: str, made: Machine, tokens_per_s: float) -> Costed:
    """Return capital and energy per million tokens; pods are bought outright and draw their maximum power."""
    try:
        bought = _bought(catalogue, facility, made)
    except MissingFactError as error:
        return Costed(note=f"no cost: {error.where} is not published")
    pods = made.cards_count / made.pod.chips_count
    each = pods / tokens_per_s * TOKENS
    capital, energy = bought.capital_usd_per_s * each, bought.energy_usd_per_s * each
    return Costed(
        metrics=(
            Metric(key="usd_per_mtoken", label="per million tokens", value=float(capital + energy), unit="USD"),
            Metric(key="energy_usd_per_mtoken", label="electricity of it", value=float(energy), unit="USD"),
        ),
        facts=bought.facts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRates:
    """What one card of a machine draws, the building included, and costs."""

    power_w: float
    cost_usd_per_s: float


def card_rates(catalogue: Catalogue, facility: str, made: Machine) -> CardRates | None:
    """Return the rates at maximum power and list price; None where one of the two is not published."""
    try:
        bought = _bought(catalogue, facility, made)
    except MissingFactError:
        return None
    spent = float(bought.capital_usd_per_s) + float(bought.energy_usd_per_s)
    cards = made.pod.chips_count
    return CardRates(power_w=bought.site_w / cards, cost_usd_per_s=spent / cards)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bought:
    """One pod at list price and maximum power, the building included, and the facts that say so."""

    capital_usd_per_s: Num
    energy_usd_per_s: Num
    site_w: float
    facts: tuple[UsedFact, ...]


def _bought(catalogue: Catalogue, facility: str, made: Machine) -> _Bought:
    """Raises MissingFactError where price or power are not published."""
    reader = FactReader(kind="pods", entry=made.pod)
    price = reader.number("price.usd", made.pod.price.usd)
    power = reader.number("power.max_w", made.pod.power.max_w)
    tariff, cited = read_tariff(catalogue, facility)
    return _Bought(
        capital_usd_per_s=capital_usd_per_s(price, tariff),
        energy_usd_per_s=energy_usd_per_s(power, tariff),
        site_w=power * tariff.pue,
        facts=(*reader.cited(), *cited),
    )


def read_tariff(catalogue: Catalogue, name: str) -> tuple[Tariff, tuple[UsedFact, ...]]:
    """Return a facility in bare numbers, and the facts read."""
    facility = catalogue.facility(name)
    reader = FactReader(kind="facilities", entry=facility)
    names = ("pue", "electricity_usd_per_j", "life_s", "discount_rate_per_s")
    return Tariff(**{item: reader.number(item, getattr(facility, item)) for item in names}), reader.cited()
