"""A comparison as a page: machines side by side, chip against system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.page import Block, Cell, Column, Interval, Intervals, Page, Section, SplitBar, SplitBars, Table, Text
from superpod.cli.report_page import STATE_WORDS, breakdowns, layout_text, limits_table, memory
from superpod.cli.wording import DASH, count, factor, quantity
from superpod.units import human, percent, significant

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source, UsedFact
    from superpod.plan.compare.result import Comparison, Contender
    from superpod.plan.report import Report

BASIS_WORDS = {
    "as-built": "each machine as built",
    "equal-cards": "equal numbers of cards",
    "equal-flops": "equal compute",
    "equal-power": "equal site power",
    "equal-cost": "equal cost a second",
}
COLUMNS = (
    Column(label="machine", wraps=True),
    Column(label="state", drop=8),
    Column(label="format", drop=7),
    Column(label="cards", right=True),
    Column(label="token/s", right=True),
    Column(label="per card", right=True),
    Column(label="per pod", right=True, drop=6),
    Column(label="left by\nfailures", right=True, drop=4),
    Column(label="site\npower", right=True, drop=3),
    Column(label="per kW", right=True, drop=2),
    Column(label="USD per\nM tokens", right=True, drop=2),
    Column(label="card vs\nbaseline", right=True, drop=1),
    Column(label="= chip", right=True),
    Column(label="× system", right=True),
    Column(label="system\nefficiency", right=True, drop=5),
)
LEGEND = (
    "chip: a card under a perfect fabric, over the baseline's; "
    "system: the share of that which the machine keeps, over the baseline's; site power: drawn at this work with the "
    "facility's PUE, per kW of it; USD: machines, network, building, energy, upkeep over the tokens that failures leave"
)


def compare_page(comparison: Comparison, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of a comparison; the first contender is the baseline."""
    blocks: list[Block] = [
        Text(title="Verdict", lines=(comparison.verdict,), tone="strong"),
        contenders_table(comparison, full=full),
    ]
    blocks.append(per_card_bars(comparison, full=full))
    if comparison.refusals:
        lines = tuple(f"{refusal.pod}: {refusal.reason}" for refusal in comparison.refusals)
        blocks.append(Text(title="No answer for", lines=lines, bullets=True))
    lines = tuple(f"{machine_name(item.report, full=full)}: {item.report.binding}" for item in comparison.contenders)
    blocks.append(Text(title="What limits each machine", lines=lines, bullets=True))
    if full:
        blocks.extend(full_blocks(comparison, sources))
    else:
        blocks.append(estimates_text(comparison))
    report = comparison.contenders[0].report
    formats = " or ".join(dict.fromkeys(item.report.precision for item in comparison.contenders))
    software = " or ".join(dict.fromkeys(item.report.software for item in comparison.contenders))
    held = BASIS_WORDS.get(comparison.basis, comparison.basis)
    subtitle = (
        comparison.question
        if full
        else f"{comparison.work} in {formats}, software {software}, {held}; baseline {machine_name(report, full=full)}"
    )
    footer = f"superpod {report.version}, catalogue {report.catalogue_hash}"
    return Page(
        title=f"{report.model}: {len(comparison.contenders)} machines",
        subtitle=subtitle,
        blocks=tuple(blocks),
        footer=footer,
    )


def machine_name(report: Report, *, full: bool) -> str:
    """Return a machine's name, or in a terminal the shorter id that commands take."""
    return report.pod_name if full else report.pod.partition("@")[0]


def contenders_table(comparison: Comparison, *, full: bool) -> Table:
    """Return one row a contender; each dash has a footnote that says what is not published."""
    notes: list[str] = []
    rows = [contender_row(item, machine_name(item.report, full=full), notes) for item in comparison.contenders]
    estimated = any(item.report.estimates for item in comparison.contenders)
    starred = ("* rests on estimates or assumptions",) if full and estimated else ()
    return Table(title="", columns=COLUMNS, rows=tuple(rows), footnotes=(LEGEND, *starred, *notes))


def contender_row(item: Contender, name: str, notes: list[str]) -> tuple[Cell | str, ...]:
    """Return one machine; append to `notes` what it lacks."""
    mark = ""
    if item.lacks:
        mark = f" [{len(notes) + 1}]"
        notes.append(f"[{len(notes) + 1}] {name}: {'; '.join(item.lacks)}")
    estimated = " *" if item.report.estimates else ""
    return (
        f"{name}{estimated}{mark}",
        item.report.state,
        item.report.precision,
        count(item.cards_count),
        significant(item.tokens_per_s),
        significant(item.per_card),
        DASH if item.per_pod is None else significant(item.per_pod),
        DASH if item.goodput_frac is None else percent(item.goodput_frac),
        DASH if item.site_w is None else human(item.site_w, "W"),
        DASH if item.per_kw is None else significant(item.per_kw),
        DASH if item.mtoken_usd is None else significant(item.mtoken_usd),
        factor(item.chip_factor * item.system_factor),
        significant(item.chip_factor),
        significant(item.system_factor),
        percent(item.system_efficiency),
    )


def per_card_bars(comparison: Comparison, *, full: bool) -> SplitBars:
    """Return what a card reaches beside what its chip would reach under a perfect fabric."""
    bars = tuple(
        SplitBar(
            label=machine_name(item.report, full=full),
            reached=item.per_card,
            ideal=item.ideal_per_card,
            text=f"{significant(item.per_card)} of {significant(item.ideal_per_card)}",
        )
        for item in comparison.contenders
    )
    return SplitBars(
        title="Token/s per card", bars=bars, note="filled: reached; pale: what the fabric costs against a perfect one"
    )


def estimates_text(comparison: Comparison) -> Text:
    """Return how many numbers of each machine nobody published."""
    parts = [
        f"{machine_name(item.report, full=False)} {len(item.report.estimates)}"
        for item in comparison.contenders
        if item.report.estimates
    ]
    facts = len(all_facts(comparison))
    last = f"--json or --html FILE for all {facts} facts and their sources"
    lines = (f"* estimates and assumptions: {', '.join(parts)}", last) if parts else (last,)
    return Text(title="Rests on", lines=lines, bullets=True, tone="faint")


def all_facts(comparison: Comparison) -> dict[str, UsedFact]:
    """Return the facts of all contenders, each once."""
    return {used.where: used for item in comparison.contenders for used in item.report.facts}


def full_blocks(comparison: Comparison, sources: Mapping[str, Source]) -> list[Block]:
    """Return bands, each machine's own report in short, and all facts."""
    blocks: list[Block] = []
    if len({item.report.headline.key for item in comparison.contenders}) == 1:
        blocks.append(Section(title="How sure the numbers are", blocks=(bands(comparison),)))
    blocks.extend(machine_section(item) for item in comparison.contenders)
    facts = all_facts(comparison)
    flagged = {used.where: used for item in comparison.contenders for used in item.report.estimates}
    table = facts_table("", ((where, used.fact) for where, used in facts.items()), sources)
    if flagged:
        weak = facts_table("", ((where, used.fact) for where, used in flagged.items()), sources)
        blocks.append(Section(title=f"{len(flagged)} estimates and assumptions it rests on", blocks=(weak,)))
    blocks.append(Section(title=f"All {len(facts)} facts and their sources", blocks=(table,), folded=True))
    return blocks


def bands(comparison: Comparison) -> Intervals:
    """Return each contender's headline with its low and high."""
    rows = tuple(
        Interval(
            label=item.report.pod_name,
            low=item.report.band[0],
            value=item.report.headline.value,
            high=item.report.band[1],
            text=quantity(item.report.headline.value, item.report.headline.unit),
        )
        for item in comparison.contenders
    )
    return Intervals(
        title=comparison.contenders[0].report.headline.label,
        rows=rows,
        note="The line runs from the low to the high of each number.",
    )


def machine_section(item: Contender) -> Section:
    """Return where one machine's time and memory go."""
    report = item.report
    blocks: tuple[Block, ...] = (
        Text(title="", lines=(f"{report.pod}, {STATE_WORDS.get(report.state, report.state)}. {report.binding}",)),
        *breakdowns(report, 8),
        *memory(report),
        limits_table(report.limits, full=True),
        Text(title="Layout", lines=(layout_text(report.layout),)),
    )
    return Section(title=report.pod_name, blocks=blocks, folded=True)
