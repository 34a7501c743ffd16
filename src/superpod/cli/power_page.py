"""A power report as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from superpod.cli.charts import WIDTH, drawing, words
from superpod.cli.facts import facts_table
from superpod.cli.page import (
    Block,
    Breakdown,
    Cell,
    Column,
    Drawing,
    Headline,
    Interval,
    Intervals,
    Metrics,
    Page,
    Section,
    Segment,
    Table,
    Text,
    Tone,
)
from superpod.cli.report_page import STATE_TONES, STATE_WORDS, layout_text
from superpod.cli.wording import DASH, count, quantity
from superpod.units import human, percent, significant

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.plan.power.report import PowerReport
    from superpod.plan.report import Metric

PARTS_SHOWN_FRAC = 0.005
FACTS_SHOWN = 6
HEIGHT, LEFT, TOP = 160.0, 70.0, 12.0
TONES: Mapping[str, Tone] = {"ok": "good", "warn": "warn", "stop": "bad"}


def power_page(report: PowerReport, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of a power report."""
    return Page(
        title=f"{report.model} on {report.pod_name}: power",
        subtitle=report.question if full else f"{report.pod}, {size(report)}",
        badges=(Cell(text=STATE_WORDS.get(report.state, report.state), tone=STATE_TONES.get(report.state, "plain")),),
        blocks=full_blocks(report, sources) if full else screen_blocks(report),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def size(report: PowerReport) -> str:
    """Return the machine and its building in a few words."""
    pods = f"{count(report.pods_count)} pod{'s' if report.pods_count != 1 else ''}"
    work = f"{count(report.cards_count)} cards, {report.work} in {report.precision}"
    return f"{pods}, {work}; {report.design}; {report.climate}"


def screen_blocks(report: PowerReport) -> tuple[Block, ...]:
    """Return what fits one screen."""
    return (
        headline(report),
        Metrics(title="", items=tuple((metric.label, written(metric)) for metric in report.metrics)),
        uses(report),
        levels(report),
        *feed(report),
        Text(title="Binding limit", lines=(report.binding,), tone="strong"),
        *swings(report),
        movers(report),
        checks(report),
        Text(title="Layout", lines=(layout_text(report.layout),)),
        Text(title="Rests on", lines=(*report.notes[-2:], rests_on(report)), bullets=True, tone="faint"),
    )


def full_blocks(report: PowerReport, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return everything that the report holds."""
    facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
    return (
        headline(report),
        Text(title="Binding limit", lines=(report.binding,), tone="strong"),
        Metrics(title="", items=tuple((metric.label, written(metric)) for metric in report.metrics)),
        Text(title="", lines=(f"{report.pod}: {size(report)}",), tone="faint"),
        Section(title="Where the power goes", blocks=(uses(report),)),
        Section(title="From the chip to the site", blocks=(levels(report), *nameplate(report))),
        *((Section(title="What a feed bears", blocks=feed(report)),) if report.feed is not None else ()),
        Section(title="What chips do", blocks=(phases(report),)),
        *(
            (Section(title="Power over time", blocks=(*swings(report), *shape(report))),)
            if report.swings is not None
            else ()
        ),
        *((Section(title="The building by month", blocks=(months(report),)),) if report.months else ()),
        Section(title="What moves the answer", blocks=(tornado(report),)),
        Section(title="Rules that the answer is held against", blocks=(checks(report),)),
        Section(title="Layout", blocks=(Text(title="", lines=(layout_text(report.layout),)),)),
        Section(title="Notes", blocks=(Text(title="", lines=report.notes, bullets=True),)),
        Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,), folded=True),
    )


def headline(report: PowerReport) -> Headline:
    """Return the site's power between its 10th and 90th percentile."""
    low, high = report.band
    value = report.headline.value
    return Headline(
        label=f"{report.headline.label} (P10 to P90, median {human(report.median_w, 'W')})",
        text=human(value, "W"),
        low_text=human(low, "W"),
        high_text=human(high, "W"),
        low=low,
        value=value,
        high=high,
    )


def written(metric: Metric) -> str:
    """Return a number in the unit that people use for it."""
    if metric.unit == "":
        return percent(metric.value)
    if metric.unit == "ratio":
        return f"{metric.value:.3f}"
    if metric.unit == "m3/J":
        return quantity(metric.value, "m3/J") if metric.value > 0.0 else "none: dry coolers"
    if metric.unit == "C":
        return f"{metric.value:.0f} °C"
    return human(metric.value, metric.unit)


def uses(report: PowerReport) -> Breakdown:
    """Return the site's power by use."""
    whole = report.headline.value
    parts = [(part.name, float(part.power_w)) for part in report.parts]
    shown = [(name, watts) for name, watts in parts if watts >= PARTS_SHOWN_FRAC * whole]
    rest = whole - sum(watts for _, watts in shown)
    segments = [
        Segment(label=name, share=watts / whole, text=human(watts, "W"), hue=place)
        for place, (name, watts) in enumerate(shown)
    ]
    if rest > 0.0:
        segments.append(Segment(label="smaller parts", share=rest / whole, text=human(rest, "W"), hue=len(shown)))
    return Breakdown(title="site", total_text=human(whole, "W"), segments=tuple(segments), quantity="power")


def levels(report: PowerReport) -> Table:
    """Return the power of one unit of each level."""
    columns = (
        Column(label="level"),
        Column(label="units", right=True),
        Column(label="mean", right=True),
        Column(label="provisioned peak", right=True),
    )
    rows = tuple(
        (level.name, count(level.units_count), human(level.mean_w, "W"), human(level.peak_w, "W"))
        for level in report.levels
    )
    return Table(
        title="",
        columns=columns,
        rows=rows,
        footnotes=(
            "mean: energy over time. Peak: chips of each load in their busiest phase at once, with their overshoot; of "
            "several units one full of the busiest chips; the site in the worst hour.",
            *(plate_text(report),) * bool(report.nameplates),
        ),
    )


def feed(report: PowerReport) -> tuple[Block, ...]:
    """Return how many machines a feed bears; nothing where none was asked for."""
    found = report.feed
    if found is None:
        return ()
    columns = (
        Column(label="counted by"),
        Column(label="each, at the site", right=True),
        Column(label="machines", right=True),
        Column(label="pods", right=True),
        Column(label="mean load of the feed", right=True),
    )
    rows = tuple(
        (
            fit.basis,
            human(fit.unit_w, "W"),
            count(fit.machines_count),
            count(fit.pods_count),
            percent(fit.mean_frac),
        )
        for fit in found.fits
    )
    return (
        Table(
            title=f"Machines under a feed of {human(found.feed_w, 'W')}",
            columns=columns,
            rows=rows,
            footnotes=(
                "In step: one job, all machines in the same phase. Each in its own time: jobs of their own, which even "
                f"out. Both stand above the feed for at most {percent(found.exceed_frac)} of the time, and are capped "
                "then. In the worst hour of the weather; overshoot of chips is left to their supplies.",
            ),
        ),
    )


def plate_text(report: PowerReport) -> str:
    """Return published powers beside the computed ones."""
    said = [
        f"{plate.where.rpartition('.')[2].removesuffix('_w')} published {human(plate.published_w, 'W')}, "
        f"computed {human(plate.computed_w, 'W')}"
        for plate in report.nameplates
    ]
    return f"Pod: {'; '.join(said)}."


def nameplate(report: PowerReport) -> tuple[Block, ...]:
    """Return published powers beside computed ones; nothing where none is published."""
    if not report.nameplates:
        return (Text(title="", lines=("No power of this pod is published.",), tone="faint"),)
    columns = (
        Column(label="published"),
        Column(label="power", right=True),
        Column(label="computed", right=True),
        Column(label="ratio", right=True),
    )
    rows = tuple(
        (
            plate.where,
            human(plate.published_w, "W"),
            human(plate.computed_w, "W"),
            f"{plate.computed_w / plate.published_w:.2f}",
        )
        for plate in report.nameplates
    )
    return (Table(title="Beside published powers", columns=columns, rows=rows),)


def phases(report: PowerReport) -> Table:
    """Return what one chip of each load does and draws."""
    columns = (
        Column(label="chips"),
        Column(label="activity"),
        Column(label="of the time", right=True),
        Column(label="flop", right=True),
        Column(label="memory", right=True),
        Column(label="links", right=True),
        Column(label="a chip", right=True),
    )
    rows = tuple(
        (
            item.load,
            item.name,
            percent(item.share_frac),
            busy(item.flop_frac),
            busy(item.memory_frac),
            busy(item.link_frac),
            human(item.power_w, "W"),
        )
        for item in report.phases
        if item.share_frac > 0.0005
    )
    return Table(title="", columns=columns, rows=rows, footnotes=("shares of peak rates while it lasts",))


def busy(share: float) -> str:
    """Return a utilisation, a dash where there is none."""
    return percent(share) if share > 0.0 else DASH


def swings(report: PowerReport) -> tuple[Block, ...]:
    """Return what the supply sees over a step."""
    found = report.swings
    if found is None:
        return ()
    items = (
        ("least, most", f"{human(found.least_w, 'W')}, {human(found.most_w, 'W')}"),
        ("ramp", f"{human(found.ramp_w_per_s, 'W')}/s"),
        ("0.1-20 Hz, rms", human(found.band_w, "W")),
        ("strongest line", f"{human(found.peak_w, 'W')} at {significant(found.peak_hz)} Hz"),
        ("storage that holds the mean", human(found.storage_j, "J")),
    )
    return (Metrics(title="The machine's supply over a step", items=items),)


def shape(report: PowerReport) -> tuple[Block, ...]:
    """Return power over time as a line from zero up; nothing where there is no timeline."""
    found = report.swings
    if found is None:
        return ()
    most, count_w = max(found.shape_w), len(found.shape_w)
    points = " ".join(
        f"{LEFT + (WIDTH - LEFT) * place / max(count_w - 1, 1):.1f},{HEIGHT - (HEIGHT - TOP) * watts / most:.1f}"
        for place, watts in enumerate(found.shape_w)
    )
    whole = count_w * found.shape_s
    parts = (
        f'<polyline points="{points}" fill="none" stroke="var(--hue-0)" stroke-width="1.5"/>',
        words(0.0, TOP + 4.0, human(most, "W")),
        words(0.0, HEIGHT, "0 W"),
        words(WIDTH, HEIGHT + 16.0, human(whole, "s"), anchor="end"),
    )
    said = f"power of the machine over {human(whole, 's')}, from {human(min(found.shape_w), 'W')} to {human(most, 'W')}"
    return (Drawing(title="", svg=drawing(HEIGHT + 24.0, "Power over time", said, parts)),)


def months(report: PowerReport) -> Table:
    """Return the building's ratios month by month."""
    columns = (
        Column(label="month"),
        Column(label="PUE", right=True),
        Column(label="worst hour", right=True),
        Column(label="WUE", right=True),
    )
    rows = tuple(
        (month.name, f"{month.pue_ratio:.3f}", f"{month.worst_pue_ratio:.3f}", quantity(month.wue_m3_per_j, "m3/J"))
        for month in report.months
    )
    return Table(title="", columns=columns, rows=rows)


def movers(report: PowerReport) -> Table:
    """Return the facts whose ranges move the site's power most, for a terminal."""
    base = report.headline.value
    columns = (Column(label="what moves the site's power", wraps=True), Column(label="at its low", right=True))
    rows = tuple(
        (item.where, f"{100 * (item.at_low / base - 1):+.1f} %", f"{100 * (item.at_high / base - 1):+.1f} %")
        for item in report.tornado[:FACTS_SHOWN]
    )
    return Table(title="", columns=(*columns, Column(label="at its high", right=True)), rows=rows)


def tornado(report: PowerReport) -> Intervals:
    """Return the facts whose ranges move the site's power most, as the change that each end makes."""
    base = report.headline.value
    rows = tuple(
        Interval(
            label=item.where,
            low=min(item.at_low, item.at_high) / base,
            value=1.0,
            high=max(item.at_low, item.at_high) / base,
            text=f"{100 * (item.at_low / base - 1):+.1f} % to {100 * (item.at_high / base - 1):+.1f} %",
        )
        for item in report.tornado
    )
    return Intervals(title="What moves the site's power", rows=rows, note="each fact at its low and at its high alone")


def checks(report: PowerReport) -> Table:
    """Return the rules and how the answer fares."""
    columns = (Column(label="rule"), Column(label=""), Column(label="found", wraps=True))
    rows = tuple((item.name, Cell(text=item.verdict, tone=TONES[item.verdict]), item.text) for item in report.checks)
    return Table(title="", columns=columns, rows=rows)


def rests_on(report: PowerReport) -> str:
    """Return how many facts the answer rests on, and on whose word."""
    kinds = [used.fact.kind for used in report.facts]
    weak = sum(kind in {"assumed", "estimate", "user"} for kind in kinds)
    return f"{len(kinds)} facts, {weak} of them assumed or estimated; all: --json, --html FILE"
