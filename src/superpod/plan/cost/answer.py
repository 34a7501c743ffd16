"""From a machine to its cost: prices come from the catalogue or the user, formulas from `facility`."""

from dataclasses import dataclass, field, fields, replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.errors import MissingFactError
from superpod.facility.cost_parts import Estate, Footprint, Running, card_hour_usd, footprint, mtoken_usd, running
from superpod.plan.cost.bill import bill, stored
from superpod.plan.cost.result import Bought, CostReport
from superpod.plan.cost.site import Site, estate_of, site_of, terms_of
from superpod.plan.cost.work import Work, out_share_frac, run_cost, token_cost, work_of
from superpod.plan.evaluate import solve
from superpod.plan.goodput.answer import GoodputQuestion, goodput_report, hashed
from superpod.plan.goodput.result import GoodputReport, SelfCheck
from superpod.plan.goodput.work import Failing, failing_of
from superpod.plan.grounds import package_version
from superpod.plan.machine import machine
from superpod.plan.power.phases import loads_of
from superpod.plan.power.work import Powering, powering_of
from superpod.plan.scenario import Scenario
from superpod.plan.spread import Moved, Spread, spread
from superpod.plan.whole.answer import each_once
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuestion:
    """What is asked: a pod, several, or some cards; in which building; doing what.

    `price_usd` and `drawn_w` are of one pod and stand for the catalogue's. The site stores `storage_bytes`, and at the
    end of their life `resale_frac` of the machines' price comes back. `scenario` prices its tokens, and a run of
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
    storage_bytes: float = 0.0
    resale_frac: float = 0.0
    scenario: Scenario | None = None
    run_tokens: float = 0.0
    failures: GoodputQuestion = field(default_factory=GoodputQuestion)


def cost_report(catalogue: Catalogue, question: CostQuestion) -> CostReport:
    """Answer a question about cost.

    Raises MissingFactError for a price or a power that nobody has published: the user may give it.
    """
    failures = goodput_report(catalogue, question.pod, question.failures, pods=question.pods, cards=question.cards)
    work, powering, failing = _worked(catalogue, question)
    site = _site(catalogue, question, failures.cards_count, powering)
    estate = estate_of(site, {})
    spent = running(estate, site.terms)
    total = float(spent.total_usd_per_s)
    useful = float(failures.goodput.goodput_frac) if work is None else work.productive_frac
    currency = catalogue.currency(question.currency)
    money, prices = FactReader(kind="currencies", entry=currency), FactReader(kind="costs", entry=site.book)
    ratio = money.number("usd_ratio", currency.usd_ratio)
    embodied = prices.number("embodied_card_kg", site.book.embodied_card_kg)
    trail = footprint(estate, replace(site.terms, embodied_card_kg=embodied))
    facts = each_once((*site.facts, *money.cited()))
    lines = bill(catalogue, site.pod, site.pods_count, site.price_usd, site.network, site.book)
    lines += stored(site.storage_bytes, site.storage_usd)
    tokens = run = None
    if work is not None and failing is not None:
        tokens = token_cost(work, spent, trail, _token_spread(site, work, failing, facts, question.failures.seed))
        run = run_cost(work, tokens, trail, question.run_tokens, site.water_known)
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
        spread=_spread(site, facts, question.failures.seed),
        running=Running(**{item.name: float(getattr(spent, item.name)) for item in fields(Running)}),
        bill=lines,
        provisioned_w=float(estate.provisioned_w),
        drawn_w=float(estate.drawn_w),
        footprint=Footprint(**{item.name: float(getattr(trail, item.name)) for item in fields(Footprint)}),
        water_known=site.water_known,
        failures_usd_per_s=total * (1.0 - useful),
        spares_usd_per_s=total * float(failures.goodput.reserved_frac),
        parts_usd_per_s=_parts(failures, site),
        tokens=tokens,
        run=run,
        checks=_checks(site, estate, spent, lines),
        facts=each_once((*facts, *prices.cited())),
        notes=site.notes,
        catalogue_hash=hashed(facts),
        version=package_version(),
    )


def _site(catalogue: Catalogue, question: CostQuestion, cards: float, powering: Powering | None) -> Site:
    return site_of(
        catalogue,
        catalogue.pod(question.pod),
        cards,
        question.facility,
        book_id=question.book,
        price_usd=question.price_usd,
        drawn_w=question.drawn_w,
        storage_bytes=question.storage_bytes,
        resale_frac=question.resale_frac,
        powering=powering,
    )


def _spread(site: Site, facts: tuple[UsedFact, ...], seed: int) -> Spread:
    """Return how wide the facts leave an hour of a card."""

    def hour(changes: Moved) -> Num:
        spent = running(estate_of(site, changes), terms_of(site, changes))
        return card_hour_usd(spent.total_usd_per_s, site.cards_count)

    return spread(hour, facts, seed)


def _token_spread(site: Site, work: Work, failing: Failing, facts: tuple[UsedFact, ...], seed: int) -> Spread:
    """Return how wide prices, power and failures leave a million tokens, at the rate that was found."""

    def million(changes: Moved) -> Num:
        spent = running(estate_of(site, changes), terms_of(site, changes))
        return mtoken_usd(
            spent.total_usd_per_s * out_share_frac(work), work.out_tokens_per_s, failing.moved_frac(changes)
        )

    return spread(million, each_once((*facts, *failing.facts)), seed)


def _worked(catalogue: Catalogue, question: CostQuestion) -> tuple[Work | None, Powering | None, Failing | None]:
    """Search the plan of the work that is asked about; return its rates, its power where known, what failures leave."""
    scenario = question.scenario
    if scenario is None:
        return None, None, None
    made = machine(catalogue, scenario)
    answer, _ = solve(made, scenario)
    failing = failing_of(catalogue, made, answer.plan, question.failures)
    try:
        powering = powering_of(catalogue, made, loads_of(made, scenario.work, answer.plan))
    except MissingFactError:
        powering = None
    return work_of(made, scenario.work, answer.plan, answer.headline.value, failing.left), powering, failing


def _parts(failures: GoodputReport, site: Site) -> float:
    """Return what accelerators that are replaced cost a second: failures x share replaced x price of a card."""
    cards = next(row for row in failures.domains if row.name == "card")
    each = site.price_usd / (site.cards_count / site.pods_count)
    return cards.all_per_s * (site.book.replaced_frac or 0.0) * each


def _sentence(site: Site, question: CostQuestion, work: Work | None) -> str:
    doing = f", {work.sentence}" if work is not None else ""
    return f"What do {site.cards_count:,.0f} cards of {site.pod.name} cost in {site.facility.name}{doing}?"


def _checks(site: Site, estate: Estate, spent: Running, lines: tuple[Bought, ...]) -> tuple[SelfCheck, ...]:
    """Return what must hold: parts add up to the total, the bill to what was bought, and size leaves the hour alone."""
    bought = sum(line.whole_usd or 0.0 for line in lines if not line.inside)
    owed = float(estate.machines_usd + estate.network_usd + estate.storage_usd)
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
