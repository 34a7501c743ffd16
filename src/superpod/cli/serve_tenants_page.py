"""A report of several models on one pod as a page: a row for each on one screen, all of each in HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.page import Block, Cell, Column, Headline, Page, Section, Table, Text
from superpod.cli.page import Metrics as Grid
from superpod.cli.report_page import STATE_TONES, STATE_WORDS, estimate_blocks, layout_text, metric_items, rests_on
from superpod.cli.serve_charts import distributions, over_time
from superpod.cli.serve_page import CONDITION_TONES, classes_table, condition, pools_table, share_tone, times_table
from superpod.cli.wording import count, duration, quantity
from superpod.units import percent

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.plan.serving.tenants_result import Split, TenantAnswer, TenantsReport

SPLITS_SHOWN = 4


def tenants_page(report: TenantsReport, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of a report."""
    state = STATE_WORDS.get(report.state, report.state)
    used = f"{count(report.cards_used_count)} of {count(report.cards_count)} cards in instances"
    return Page(
        title=f"{len(report.tenants)} models on {report.pod_name}",
        subtitle=report.question if full else f"{report.pod}, {used}, {count(report.cards_idle_count)} idle",
        badges=(Cell(text=state, tone=STATE_TONES.get(report.state, "plain")),),
        blocks=full_blocks(report, sources) if full else screen_blocks(report),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def screen_blocks(report: TenantsReport) -> tuple[Block, ...]:
    """Return what fits one screen."""
    return (*answer(report), *([splits_table(report, SPLITS_SHOWN)] if report.splits else []), rests_on(report))  # type: ignore[arg-type]


def answer(report: TenantsReport) -> tuple[Block, ...]:
    """Return the answer: all together, then each."""
    return (
        headline(report),
        Grid(title="", items=metric_items(report.metrics)),
        tenants_table(report),
        Text(
            title="Deployments",
            lines=tuple(f"{item.name}: {layout_text(item.report.deployment)}" for item in report.tenants),
            bullets=True,
        ),
        Text(
            title="Binding limit of each",
            lines=tuple(f"{item.name}: {item.report.binding}" for item in report.tenants),
            bullets=True,
        ),
    )


def full_blocks(report: TenantsReport, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return everything, tenant by tenant."""
    splits = [Section(title="Splits that were tried", blocks=(splits_table(report, len(report.splits)),))]
    facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
    return (
        *answer(report),
        *(splits if report.splits else []),
        *(tenant_section(item) for item in report.tenants),
        Section(title="Estimates and assumptions it rests on", blocks=estimate_blocks(report)),  # type: ignore[arg-type]
        Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,), folded=True),
    )


def headline(report: TenantsReport) -> Headline:
    """Return the smallest share of requests within targets, with the band of that tenant."""
    worst = min(report.tenants, key=lambda item: item.report.outcome.met_frac)
    low, high = worst.report.band
    return Headline(
        label=f"requests within both targets, {worst.name} having fewest",
        text=percent(report.headline.value),
        low_text=percent(low),
        high_text=percent(high),
        low=low,
        value=report.headline.value,
        high=high,
    )


def tenants_table(report: TenantsReport) -> Table:
    """Return a row for each tenant."""
    columns = (
        Column(label="tenant"),
        Column(label="cards", right=True),
        Column(label="in use", right=True, drop=1),
        Column(label="requests/s", right=True),
        Column(label="TTFT P50", right=True, drop=2),
        Column(label="P90", right=True),
        Column(label="TPOT P50", right=True, drop=2),
        Column(label="P90", right=True),
        Column(label="within both", right=True),
        Column(label="output", right=True),
        Column(label="state"),
    )
    return Table(title="", columns=columns, rows=tuple(tenant_row(item) for item in report.tenants))


def tenant_row(item: TenantAnswer) -> tuple[Cell | str, ...]:
    """Return one tenant."""
    made = item.report.outcome
    times = made.times
    return (
        item.name,
        f"{count(item.cards_count)}{' given' if item.is_given else ''}",
        count(item.report.cards_used_count),
        quantity(made.offered_per_s, "1/s").removesuffix(" /s"),
        duration(times.ttft.p50_s),
        duration(times.ttft.p90_s),
        duration(times.tpot.p50_s),
        duration(times.tpot.p90_s),
        Cell(text=percent(made.met_frac), tone=share_tone(made.met_frac)),
        quantity(made.output_tokens_per_s, "token/s"),
        Cell(text=made.condition, tone=CONDITION_TONES[made.condition]),
    )


def splits_table(report: TenantsReport, shown: int) -> Table:
    """Return the best of the splits that were tried on some of the requests."""
    columns = (
        *(Column(label=item.name, right=True) for item in report.tenants),
        Column(label="within both, the least", right=True),
        Column(label="goodput of all", right=True),
    )
    left = len(report.splits) - shown
    note = "Cards by tenant, each simulated on its first requests" + (f"; {left} more: --json." if left > 0 else ".")
    rows = tuple(split_row(item) for item in report.splits[:shown])
    return Table(title="", columns=columns, rows=rows, footnotes=(note,))


def split_row(item: Split) -> tuple[Cell | str, ...]:
    """Return one split."""
    cards = (count(number) for number in item.cards.values())
    return (*cards, percent(item.met_frac), quantity(item.goodput_tokens_per_s, "token/s"))


def tenant_section(item: TenantAnswer) -> Section:
    """Return all of one tenant."""
    report = item.report
    blocks: list[Block] = [
        Text(title="", lines=(report.question,), tone="faint"),
        Grid(title="", items=metric_items(report.metrics)),
        Text(title=report.outcome.condition.capitalize(), lines=(condition(report),)),
        Text(title="Deployment", lines=(layout_text(report.deployment),)),
        times_table(report),
        *distributions(report),
        classes_table(report.outcome.classes),
        *over_time(report.outcome),
        pools_table(report.outcome),
    ]
    if report.advice:
        blocks.append(Text(title="What to do", lines=report.advice, bullets=True))
    return Section(title=f"{item.name}: {report.model} on {count(item.cards_count)} cards", blocks=tuple(blocks))
