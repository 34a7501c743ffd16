"""From a machine to its cost: prices come from the catalogue or the user, formulas from `facility`."""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from superpod.catalog.costs import CostBook
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.catalog.schema import Facility, Pod
from superpod.facility.cost_parts import Estate, Footprint, Running, Terms, card_hour_usd, footprint, running
from superpod.plan.cost_bill import Network, bill, network_of
from superpod.plan.cost_result import Bought, CostReport
from superpod.plan.cost_work import Work, run_cost, token_cost, worked
from superpod.plan.goodput import GoodputQuestion, goodput_report, hashed
from superpod.plan.goodput_result import GoodputReport, SelfCheck
from superpod.plan.grounds import package_version
from superpod.plan.scenario import Scenario
from superpod.plan.spread import Moved, spread
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuestion:
    """What is asked: a pod, several, or some cards; in which building; doing what.

    `price_usd` and `drawn_w` are of one pod and stand for the catalogue's. `scenario` prices its tokens, and a run of
    `run_tokens`. `failures` says how losses are found.
    """

    pod: str
    pods: int | None = None
    cards: int | None = None
    facility: str = "us-large"
    book: str = ""
    currency: str = "usd"
    price_usd: float = 0.0
    drawn_w: float = 0.0
    scenario: Scenario | None = None
    run_tokens: float = 0.0
    failures: GoodputQuestion = field(default_factory=GoodputQuestion)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """A site in bare numbers, with the facts read on the way."""

    pod: Pod
    facility: Facility
    book: CostBook
    price_usd: float
    provisioned_w: float
    drawn_w: float
    pods_count: float
    cards_count: float
    network: Network
    terms: Terms
    water_known: bool
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]


def cost_report(catalogue: Catalogue, question: CostQuestion) -> CostReport:
    """Answer a question about cost.

    Raises MissingFactError for a price or a power that nobody has published: the user may give it.
    """
    failures = goodput_report(catalogue, question.pod, question.failures, pods=question.pods, cards=question.cards)
    site = _site(catalogue, question, failures)
    estate = _estate(site, {})
    spent = running(estate, site.terms)
    total = float(spent.total_usd_per_s)
    work = worked(catalogue, question.scenario, question.failures) if question.scenario is not None else None
    useful = float(failures.goodput.goodput_frac) if work is None else work.productive_frac
    currency = catalogue.currency(question.currency)
    money = FactReader(kind="currencies", entry=currency)
    ratio = money.number("usd_ratio", currency.usd_ratio)
    trail = footprint(estate, site.terms)
    facts = tuple({used.where: used for used in (*site.facts, *money.cited())}.values())

    def headline(changes: Moved) -> Num:
        spent_then = running(_estate(site, changes), _terms(site, changes))
        return card_hour_usd(spent_then.total_usd_per_s, site.cards_count)

    lines, parts = (
        bill(catalogue, site.pod, site.pods_count, site.price_usd, site.network, site.book),
        _parts(failures, site),
    )
    return CostReport(
        question=_sentence(site, question, work),
        pod=f"{site.pod.id}@{site.pod.version}",
        pod_name=site.pod.name,
        state=site.pod.state,
        facility=f"{site.facility.id}@{site.facility.version}",
        book=f"{site.book.id}@{site.book.version}",
        currency=currency.id,
        usd_ratio=ratio,
        cards_count=site.cards_count,
        pods_count=site.pods_count,
        card_hour_usd=float(card_hour_usd(total, site.cards_count)),
        productive_hour_usd=float(card_hour_usd(total, site.cards_count, useful)),
        goodput_frac=useful,
        spread=spread(headline, facts, question.failures.seed),
        running=_plain(spent),
        bill=lines,
        provisioned_w=float(estate.provisioned_w),
        drawn_w=float(estate.drawn_w),
        footprint=Footprint(**{item.name: float(getattr(trail, item.name)) for item in fields(Footprint)}),
        water_known=site.water_known,
        failures_usd_per_s=total * (1.0 - useful),
        spares_usd_per_s=total * float(failures.goodput.reserved_frac),
        parts_usd_per_s=parts,
        tokens=token_cost(work, spent, trail) if work is not None else None,
        run=run_cost(work, total, trail, question.run_tokens, site.water_known)
        if work and question.run_tokens
        else None,
        checks=_checks(site, estate, spent, lines),
        facts=facts,
        notes=site.notes,
        catalogue_hash=hashed(facts),
        version=package_version(),
    )


def _site(catalogue: Catalogue, question: CostQuestion, failures: GoodputReport) -> _Site:
    """Return the site with everything that the catalogue and the user say of it."""
    pod, facility = catalogue.pod(question.pod), catalogue.facility(question.facility)
    base = catalogue.pod(pod.base) if pod.base else pod
    book = catalogue.costs(question.book or facility.id)
    pod_reader, building = FactReader(kind="pods", entry=base), FactReader(kind="facilities", entry=facility)
    reader = FactReader(kind="costs", entry=book)
    notes: list[str] = ["not counted: storage, resale, what idle hours cost beyond their share, embodied carbon"]
    price = question.price_usd or pod_reader.number("price.usd", base.price.usd)
    provisioned = pod_reader.number("power.max_w", base.power.max_w)
    drawn = question.drawn_w
    if not drawn and base.power.typical_w is not None:
        drawn = pod_reader.number("power.typical_w", base.power.typical_w)
    if not drawn:
        drawn = provisioned
        notes.append("drawn power is the maximum: no typical one is published; `superpod power` computes it")
    water_known = book.water_m3_per_j is not None
    terms = Terms(
        pue_ratio=building.number("pue", facility.pue),
        electricity_usd_per_j=building.number("electricity_usd_per_j", facility.electricity_usd_per_j),
        life_s=building.number("life_s", facility.life_s),
        discount_rate_per_s=building.number("discount_rate_per_s", facility.discount_rate_per_s),
        facility_usd_per_w=reader.number("facility_usd_per_w", book.facility_usd_per_w),
        facility_life_s=reader.number("facility_life_s", book.facility_life_s),
        upkeep_per_s=reader.number("upkeep_per_s", book.upkeep_per_s),
        carbon_kg_per_j=reader.number("carbon_kg_per_j", book.carbon_kg_per_j),
        water_m3_per_j=reader.number("water_m3_per_j", book.water_m3_per_j) if water_known else 0.0,
    )
    reader.number("replaced_frac", book.replaced_frac)
    pods_count = failures.cards_count / base.chips_count
    network = network_of(catalogue, pod, reader, book, float(np.ceil(pods_count)))
    notes += network.notes
    return _Site(
        pod=pod,
        facility=facility,
        book=book,
        price_usd=price,
        provisioned_w=provisioned,
        drawn_w=drawn,
        pods_count=pods_count,
        cards_count=failures.cards_count,
        network=network,
        terms=terms,
        water_known=water_known,
        facts=(*pod_reader.cited(), *building.cited(), *reader.cited()),
        notes=tuple(notes),
    )


def _estate(site: _Site, changes: Moved) -> Estate:
    """Return what stands on the site, with some facts moved."""
    pod = f"pods/{site.pod.base or site.pod.id}"
    price = changes.get(f"{pod}:price.usd", site.price_usd)
    top = changes.get(f"{pod}:power.max_w", site.provisioned_w)
    drawn = changes.get(f"{pod}:power.typical_w", site.drawn_w)
    return Estate(
        cards_count=site.cards_count,
        machines_usd=price * site.pods_count,
        network_usd=site.network.priced(changes, site.book.id),
        provisioned_w=top * site.pods_count,
        drawn_w=drawn * site.pods_count,
    )


def _terms(site: _Site, changes: Moved) -> Terms:
    """Return terms with some facts moved."""
    found: dict[str, Num] = {}
    for place in (f"facilities/{site.facility.id}", f"costs/{site.book.id}"):
        for item in fields(Terms):
            name = "pue" if item.name == "pue_ratio" else item.name
            if f"{place}:{name}" in changes:
                found[item.name] = changes[f"{place}:{name}"]
    return replace(site.terms, **found)


def _plain(spent: Running) -> Running:
    return Running(**{item.name: float(getattr(spent, item.name)) for item in fields(Running)})


def _parts(failures: GoodputReport, site: _Site) -> float:
    """Return what accelerators that are replaced cost a second: failures x share replaced x price of a card."""
    cards = next(row for row in failures.domains if row.name == "card")
    each = site.price_usd / (site.cards_count / site.pods_count)
    return cards.all_per_s * (site.book.replaced_frac or 0.0) * each


def _sentence(site: _Site, question: CostQuestion, work: Work | None) -> str:
    doing = f", {work.sentence}" if work is not None else ""
    return f"What do {site.cards_count:,.0f} cards of {site.pod.name} cost in {site.facility.name}{doing}?"


def _checks(site: _Site, estate: Estate, spent: Running, lines: tuple[Bought, ...]) -> tuple[SelfCheck, ...]:
    """Return what must hold: parts add up to the total, the bill to what was bought, and size leaves the hour alone."""
    bought = sum(line.whole_usd or 0.0 for line in lines if not line.inside)
    owed = float(estate.machines_usd + estate.network_usd)
    twice = replace(estate, **{item.name: 2.0 * getattr(estate, item.name) for item in fields(Estate)})
    one = float(card_hour_usd(spent.total_usd_per_s, estate.cards_count))
    two = float(card_hour_usd(running(twice, site.terms).total_usd_per_s, twice.cards_count))
    whole = sum(float(getattr(spent, item.name)) for item in fields(Running))
    total = float(spent.total_usd_per_s)
    return (
        SelfCheck(what="parts add up to the total", holds=abs(whole / total - 1.0) < 1e-9, found=whole, expected=total),
        SelfCheck(
            what="the bill is what is repaid", holds=abs(bought / owed - 1.0) < 1e-9, found=bought, expected=owed
        ),
        SelfCheck(what="twice the site, the same hour", holds=abs(two / one - 1.0) < 1e-9, found=two, expected=one),
    )
