"""What a machine costs, as a page: one screen for the terminal, everything for HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.page import (
    Block,
    Breakdown,
    Cell,
    Column,
    Headline,
    Metrics,
    Page,
    Section,
    Segment,
    Table,
    Text,
)
from superpod.cli.reliability_page import checks, rests_on, tornado
from superpod.cli.report_page import STATE_TONES, STATE_WORDS
from superpod.cli.wording import DASH, count, duration
from superpod.units import KWH_J, YEAR_S, human, percent, significant

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.plan.cost.result import Bought, CostReport

PARTS = {
    "machines_usd_per_s": "machines",
    "network_usd_per_s": "network between pods",
    "storage_usd_per_s": "storage",
    "building_usd_per_s": "building, supply, cooling",
    "energy_usd_per_s": "energy",
    "upkeep_usd_per_s": "upkeep",
}


def cost_page(report: CostReport, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of one answer."""
    place = f"{report.pod}, {count(report.cards_count)} cards, {report.facility}, prices {report.book}"
    return Page(
        title=f"Cost of {report.pod_name}",
        subtitle=report.question if full else place,
        badges=(Cell(text=STATE_WORDS.get(report.state, report.state), tone=STATE_TONES.get(report.state, "plain")),),
        blocks=full_blocks(report, sources) if full else screen_blocks(report),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def screen_blocks(report: CostReport) -> tuple[Block, ...]:
    """Return what fits one screen."""
    return (
        headline(report),
        Metrics(title="", items=metrics(report)),
        *((Metrics(title="", items=token_items(report)),) if report.tokens is not None else ()),
        by_part(report),
        bill(report),
        rests_on("USD an hour", report.spread.bars, report.facts, report.notes),
    )


def full_blocks(report: CostReport, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return everything that the report holds."""
    facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
    bars = tornado(report.spread.bars, "an accelerator-hour", lambda value: money(report, value))
    tokens: tuple[Block, ...] = (Metrics(title="", items=token_items(report)),)
    if report.tokens is not None:
        wide = report.tokens.spread.bars
        tokens += (tornado(wide, "a million tokens, at the rate found", lambda value: money(report, value)),)
    return (
        headline(report),
        Metrics(title="", items=metrics(report)),
        *((Section(title="Tokens", blocks=tokens),) if report.tokens is not None else ()),
        Section(title="By part", blocks=(by_part(report),)),
        Section(title="Bill of materials", blocks=(bill(report),)),
        Section(title="What moves the answer", blocks=(bars,)),
        Section(title="Checks of this answer", blocks=(checks(report.checks),)),
        Section(title="Notes", blocks=(Text(title="", lines=report.notes, bullets=True),)),
        Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,)),
    )


def money(report: CostReport, usd: float | None) -> str:
    """Return dollars in the report's currency."""
    if usd is None:
        return DASH
    value, code = usd / report.usd_ratio, report.currency.upper()
    for scale, name in ((1e9, "billion "), (1e6, "million ")):
        if abs(value) >= scale:
            return f"{significant(value / scale)} {name}{code}"
    return f"{significant(value)} {code}"


def between(report: CostReport, low: float, high: float) -> str:
    """Return a range of money."""
    return f"{money(report, low)} to {money(report, high)}"


def headline(report: CostReport) -> Headline:
    """Return an installed accelerator-hour between its P10 and its P90."""
    low, high = report.spread.p10, report.spread.p90
    return Headline(
        label="An accelerator-hour, used or not (P10 and P90)",
        text=money(report, report.card_hour_usd),
        low_text=money(report, low),
        high_text=money(report, high),
        low=low,
        value=report.card_hour_usd,
        high=high,
    )


def metrics(report: CostReport) -> tuple[tuple[str, str], ...]:
    """Return the numbers beside the headline."""
    trail = report.footprint
    items = [
        ("median over the facts' ranges", money(report, report.spread.p50)),
        ("a productive hour", money(report, report.productive_hour_usd)),
        ("productive share", percent(report.goodput_frac)),
        ("a year", money(report, float(report.running.total_usd_per_s) * YEAR_S)),
        ("lost to failures and spares, a year", money(report, report.failures_usd_per_s * YEAR_S)),
        ("of it spares held back", money(report, report.spares_usd_per_s * YEAR_S)),
        ("replaced cards (within upkeep)", money(report, report.parts_usd_per_s * YEAR_S)),
        ("IT power drawn", human(report.drawn_w, "W")),
        ("energy a year", f"{significant(float(trail.site_w) * YEAR_S / KWH_J / 1e6)} GWh"),
        ("carbon of the grid, a year", f"{significant(float(trail.carbon_kg_per_s) * YEAR_S / 1e3)} t"),
        ("carbon of making it, a year", f"{significant(float(trail.embodied_kg_per_s) * YEAR_S / 1e3)} t"),
        ("water a year", f"{significant(float(trail.water_m3_per_s) * YEAR_S)} m³" if report.water_known else DASH),
    ]
    return tuple(items)


def token_items(report: CostReport) -> tuple[tuple[str, str], ...]:
    """Return what tokens and a run cost."""
    tokens, run = report.tokens, report.run
    if tokens is None:
        return ()
    items = [
        ("tokens a second", significant(tokens.tokens_per_s)),
        ("a million tokens" + (" out" if tokens.work == "serve" else ""), money(report, tokens.out_mtoken_usd)),
        ("its P10 and P90 at this rate", between(report, tokens.spread.p10, tokens.spread.p90)),
    ]
    if tokens.in_mtoken_usd is not None:
        items.append(("a million tokens in", money(report, tokens.in_mtoken_usd)))
    if tokens.both_mtoken_usd is not None:
        items.append(("a million of both together", money(report, tokens.both_mtoken_usd)))
    items += [
        ("energy a token", human(tokens.token_energy_j, "J")),
        ("electricity of a million", money(report, tokens.energy_mtoken_usd)),
        ("carbon of a million", f"{significant(tokens.mtoken_carbon_kg)} kg"),
        ("how it is laid out", tokens.how),
    ]
    if run is not None:
        items += [
            (f"a run of {human(run.run_tokens, 'tokens')}", money(report, run.whole_usd)),
            ("its P10 and P90 at this rate", between(report, run.p10_usd, run.p90_usd)),
            ("it takes", duration(run.time_s)),
            ("of it lost to failures", money(report, run.lost_usd)),
            ("its energy", f"{significant(run.energy_j / KWH_J / 1e6)} GWh"),
            ("its carbon", f"{significant(run.carbon_kg / 1e3)} t"),
        ]
    return tuple(items)


def by_part(report: CostReport) -> Breakdown:
    """Return an hour of an accelerator by part."""
    total = float(report.running.total_usd_per_s)
    shares = [(label, float(getattr(report.running, name)) / total) for name, label in PARTS.items()]
    segments = tuple(
        Segment(label=label, share=share, text=money(report, share * report.card_hour_usd), hue=number)
        for number, (label, share) in enumerate(shares)
        if share > 0.0
    )
    return Breakdown(
        title="An hour by part", total_text=money(report, report.card_hour_usd), segments=segments, quantity="cost"
    )


def bill(report: CostReport) -> Table:
    """Return what is bought."""
    columns = (
        Column(label="bought", wraps=True),
        Column(label="number", right=True),
        Column(label="each", right=True),
        Column(label="together", right=True),
    )
    return Table(title="", columns=columns, rows=tuple(line(report, item) for item in report.bill))


def line(report: CostReport, item: Bought) -> tuple[Cell | str, ...]:
    """Return one line; what is inside another's price says so."""
    whole = money(report, item.whole_usd)
    return (
        f"  of it {item.name} ({item.note})" if item.inside else item.name,
        count(item.amount_count),
        money(report, item.each_usd),
        Cell(text=f"({whole})", tone="faint") if item.inside else whole,
    )
