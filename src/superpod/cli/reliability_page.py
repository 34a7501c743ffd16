"""What failures leave of a machine, as a page: one screen for the terminal, everything for HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.page import (
    Block,
    Breakdown,
    Cell,
    Column,
    Headline,
    Interval,
    Intervals,
    Metrics,
    Page,
    Section,
    Segment,
    SplitBar,
    SplitBars,
    Table,
    Text,
)
from superpod.cli.report_page import STATE_TONES, STATE_WORDS
from superpod.cli.wording import DASH, count, duration, fact_text
from superpod.units import DAY_S, human, percent, significant

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source, UsedFact
    from superpod.plan.goodput.result import DomainRow, GoodputReport, SelfCheck
    from superpod.plan.spread import Bar

BARS_SHOWN = 5
DOMAINS_SHOWN = 6
WEAK = ("estimate", "assumed", "user")


def reliability_page(report: GoodputReport, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of one answer."""
    return Page(
        title=f"Failures on {report.pod_name}",
        subtitle=report.question if full else f"{report.pod}, {count(report.cards_count)} cards, book {report.book}",
        badges=(Cell(text=STATE_WORDS.get(report.state, report.state), tone=STATE_TONES.get(report.state, "plain")),),
        blocks=full_blocks(report, sources) if full else screen_blocks(report),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def screen_blocks(report: GoodputReport) -> tuple[Block, ...]:
    """Return what fits one screen."""
    return (
        headline(report),
        Metrics(title="", items=metrics(report)),
        lost_time(report),
        policies(report),
        domains(report, DOMAINS_SHOWN),
        Metrics(title="", items=serving(report)),
        held(report.checks),
        rests_on("goodput", report.spread.bars, report.facts, report.notes),
    )


def full_blocks(report: GoodputReport, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return everything that the report holds."""
    facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
    return (
        headline(report),
        Metrics(title="", items=metrics(report)),
        Section(title="Where the time goes", blocks=(lost_time(report),)),
        Section(title="Spare policies", blocks=(policies(report),)),
        Section(title="Scale", blocks=(scale(report),)),
        Section(title="Failure domains", blocks=(domains(report, len(report.domains)),)),
        Section(title="Serving", blocks=(Metrics(title="", items=serving(report)),)),
        Section(title="What moves the answer", blocks=(tornado(report.spread.bars, "goodput", percent),)),
        Section(title="Checks of this answer", blocks=(checks(report.checks),)),
        *(
            (Section(title="Notes", blocks=(Text(title="", lines=report.notes, bullets=True),)),)
            if report.notes
            else ()
        ),
        Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,)),
    )


def headline(report: GoodputReport) -> Headline:
    """Return goodput between its P10 and its P90."""
    value, low, high = float(report.goodput.goodput_frac), report.spread.p10, report.spread.p90
    return Headline(
        label="Goodput, share of all cards' time (P10 and P90)",
        text=percent(value),
        low_text=percent(low),
        high_text=percent(high),
        low=low,
        value=value,
        high=high,
    )


def metrics(report: GoodputReport) -> tuple[tuple[str, str], ...]:
    """Return the numbers beside the headline."""
    saved, played = report.saved, report.played
    items = [
        ("median over the facts' ranges", percent(report.spread.p50)),
        ("effective while it holds its cards", percent(float(report.goodput.effective_frac))),
        ("between failures that stop it", duration(report.mtbf_s)),
        ("cards waiting for repair", percent(report.down_frac)),
        ("cards that stand by", count(round(report.spares_count))),
        ("checkpoint", human(saved.size_bytes, "B") if saved.size_bytes else "--model sizes it"),
        ("stall of one", duration(saved.stall_s)),
        ("stored after", duration(saved.persist_s)),
        ("between checkpoints", duration(saved.interval_s)),
        ("optical modules", count(report.optics.modules_count)),
        ("optical link failures a day", significant(report.optics.failures_per_s * DAY_S)),
        ("of them stop a job", significant(report.optics.stopping_per_s * DAY_S)),
    ]
    if played is not None:
        spread = f"{percent(played.goodput_p10_frac)} to {percent(played.goodput_p90_frac)}"
        items += [
            (f"{played.histories_count:,} histories of {duration(played.length_s)}", spread),
            ("failures in one", count(round(played.stops_count))),
            ("servers down at once, P99", count(round(played.down_p99_count))),
        ]
    return tuple(items)


def lost_time(report: GoodputReport) -> Breakdown:
    """Return the time of all cards: goodput and what is lost, the largest first."""
    losses = sorted(report.losses.items(), key=lambda item: -item[1])
    rows = [("goodput", float(report.goodput.goodput_frac)), *((name, share) for name, share in losses if share > 1e-6)]
    segments = tuple(
        Segment(label=name, share=share, text=hours(share), hue=number) for number, (name, share) in enumerate(rows)
    )
    return Breakdown(title="Time of all cards", total_text="24 h a day", segments=segments)


def hours(share: float) -> str:
    """Return a share of a day."""
    return duration(share * DAY_S)


def policies(report: GoodputReport) -> Table:
    """Return what each spare policy leaves."""
    columns = (
        Column(label="spares"),
        Column(label="what it means", wraps=True),
        Column(label="held back", right=True),
        Column(label="stranded", right=True),
        Column(label="goodput", right=True),
    )
    rows = tuple(
        (
            Cell(text=f"{row.name} ◂" if row.name == report.policy else row.name, tone="strong")
            if row.name == report.policy
            else row.name,
            row.meaning,
            percent(row.reserved_frac),
            percent(row.stranded_frac),
            percent(row.goodput_frac),
        )
        for row in report.policies
    )
    return Table(title="", columns=columns, rows=rows)


def domains(report: GoodputReport, shown: int) -> Table:
    """Return the failure domains by how often they stop the job."""
    columns = (
        Column(label="what fails"),
        Column(label="inside", drop=2),
        Column(label="number", right=True),
        Column(label="cards taken along", right=True),
        Column(label="quorum", drop=1),
        Column(label="masked", right=True, drop=1),
        Column(label="stops a day", right=True),
    )
    ordered = sorted(report.domains, key=lambda row: -row.stopping_per_s)
    rest = len(ordered) - shown
    notes = (f"and {rest} that fail less: --json, --html FILE",) if rest > 0 else ("⤫ cuts across the tree",)
    return Table(title="", columns=columns, rows=tuple(domain_row(row) for row in ordered[:shown]), footnotes=notes)


def domain_row(row: DomainRow) -> tuple[Cell | str, ...]:
    """Return one domain."""
    return (
        f"{row.name} ⤫" if row.crossing else row.name,
        row.inside,
        count(row.instances_count),
        count(row.cards_count) if row.cards_count else DASH,
        row.quorum or DASH,
        percent(row.masked_frac) if row.masked_frac else DASH,
        significant(row.stopping_per_s * DAY_S),
    )


def scale(report: GoodputReport) -> SplitBars:
    """Return goodput of the same job by cards."""
    bars = tuple(
        SplitBar(
            label=f"{count(row.cards_count)} card{'s' if row.cards_count > 1 else ''}",
            reached=row.goodput_frac,
            ideal=1.0,
            text=f"{percent(row.goodput_frac)}, a failure each {duration(row.mtbf_s)}",
        )
        for row in report.scale
    )
    return SplitBars(title="Goodput by size", bars=bars, note="Parts of the fabric grow with the cards.")


def serving(report: GoodputReport) -> tuple[tuple[str, str], ...]:
    """Return the availability of a serving instance by what follows a failure."""
    found, rows = report.serving, report.quorums
    return (
        ("cards of a serving instance", count(report.instance_cards_count)),
        ("between its failures", duration(1.0 / float(found.failure_per_s))),
        ("it serves, waiting for the repair", percent(float(found.waiting_frac))),
        ("with a spare server, then a restart", f"{100 * float(found.restarted_frac):.3f} %"),
        ("elastic, on fewer cards till then", percent(float(found.elastic_frac))),
        *((f"at least {row.needed_count} of {row.nodes_count} servers up", percent(row.up_frac)) for row in rows),
    )


def held(found: Sequence[SelfCheck]) -> Text:
    """Return what was checked of this answer, a line each."""
    lines = tuple(
        f"{'✔' if item.holds else '✘ BROKEN:'} {item.what}: {item.found:.4g} against {item.expected:.4g}"
        for item in found
    )
    return Text(title="Checked", lines=lines, bullets=True, tone="faint", cuts=True)


def checks(found: Sequence[SelfCheck]) -> Table:
    """Return what was checked about this very answer."""
    columns = (
        Column(label="check", wraps=True),
        Column(label="found", right=True),
        Column(label="held to", right=True),
        Column(label="outcome"),
    )
    rows = tuple(
        (
            item.what,
            f"{item.found:.4f}",
            f"{item.expected:.4f}",
            Cell(text="✔ holds" if item.holds else "✘ broken", tone="good" if item.holds else "bad"),
        )
        for item in found
    )
    return Table(title="", columns=columns, rows=rows)


def tornado(bars: Sequence[Bar], headline: str, write: Callable[[float], str]) -> Intervals:
    """Return the headline with each fact at its low and at its high alone."""
    rows = tuple(
        Interval(
            label=f"{bar.where} ({bar.kind})",
            low=min(bar.at_low, bar.at_high),
            value=bar.at_low,
            high=max(bar.at_low, bar.at_high),
            text=f"{write(bar.at_low)} at its low, {write(bar.at_high)} at its high",
        )
        for bar in bars
    )
    return Intervals(title="", rows=rows, note=f"{headline} with each number alone at the ends of its range")


def rests_on(headline: str, bars: Sequence[Bar], facts: Sequence[UsedFact], notes: Sequence[str]) -> Text:
    """Return what moves the answer most, how much of it is assumed, and the first note."""
    by_place = {used.where: used for used in facts}
    lines = [
        f"{bar.where} = {fact_text(bar.where, by_place[bar.where].fact.value)} ({bar.kind}): "
        f"{headline} {significant(bar.at_low)} at its low, {significant(bar.at_high)} at its high"
        for bar in bars[:BARS_SHOWN]
    ]
    weak = sum(1 for used in facts if used.fact.kind in WEAK)
    last = f"{weak} of {len(facts)} facts are assumed, estimated or yours; all: --json, --html FILE"
    return Text(title="Rests on", lines=(*lines, *notes[:1], last), bullets=True, tone="faint", cuts=True)
