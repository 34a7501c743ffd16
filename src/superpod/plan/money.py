"""What a million tokens cost on a machine, where its price and its power are published."""

from dataclasses import dataclass

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.errors import MissingFactError
from superpod.facility.cost import Tariff, capital_usd_per_s, energy_usd_per_s
from superpod.plan.machine import Machine
from superpod.plan.report import Metric

TOKENS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """Metrics of cost with the facts they rest on, or a note that says what is missing."""

    metrics: tuple[Metric, ...] = ()
    facts: tuple[UsedFact, ...] = ()
    note: str = ""


def costed(catalogue: Catalogue, facility: str, made: Machine, tokens_per_s: float) -> Costed:
    """Return capital and energy per million tokens; pods are bought outright and draw their maximum power."""
    reader = FactReader(kind="pods", entry=made.pod)
    try:
        price = reader.number("price.usd", made.pod.price.usd)
        power = reader.number("power.max_w", made.pod.power.max_w)
    except MissingFactError as error:
        return Costed(note=f"no cost: {error.where} is not published")
    tariff, cited = read_tariff(catalogue, facility)
    pods = made.cards_count / made.pod.chips_count
    each = pods / tokens_per_s * TOKENS
    capital, energy = capital_usd_per_s(price, tariff) * each, energy_usd_per_s(power, tariff) * each
    return Costed(
        metrics=(
            Metric(key="usd_per_mtoken", label="per million tokens", value=float(capital + energy), unit="USD"),
            Metric(key="energy_usd_per_mtoken", label="electricity of it", value=float(energy), unit="USD"),
        ),
        facts=(*reader.cited(), *cited),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRates:
    """What one card of a machine draws, the building included, and costs."""

    power_w: float
    cost_usd_per_s: float


def card_rates(catalogue: Catalogue, facility: str, made: Machine) -> CardRates | None:
    """Return the rates at maximum power and list price; None where one of the two is not published."""
    reader = FactReader(kind="pods", entry=made.pod)
    try:
        price = reader.number("price.usd", made.pod.price.usd)
        power = reader.number("power.max_w", made.pod.power.max_w)
    except MissingFactError:
        return None
    tariff, _ = read_tariff(catalogue, facility)
    spent = float(capital_usd_per_s(price, tariff)) + float(energy_usd_per_s(power, tariff))
    cards = made.pod.chips_count
    return CardRates(power_w=power * tariff.pue / cards, cost_usd_per_s=spent / cards)


def read_tariff(catalogue: Catalogue, name: str) -> tuple[Tariff, tuple[UsedFact, ...]]:
    """Return a facility in bare numbers, and the facts read."""
    facility = catalogue.facility(name)
    reader = FactReader(kind="facilities", entry=facility)
    names = ("pue", "electricity_usd_per_j", "life_s", "discount_rate_per_s")
    return Tariff(**{item: reader.number(item, getattr(facility, item)) for item in names}), reader.cited()
