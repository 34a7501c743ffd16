"""A report as a page: one screen for the terminal, everything for HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.page import (
    Block,
    Breakdown,
    Cell,
    Column,
    Fill,
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
from superpod.cli.whole_page import building_section, failures_text
from superpod.cli.wording import DASH, count, duration, fact_text, quantity
from superpod.units import human, percent

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source, UsedFact
    from superpod.plan.report import Candidate, Metric, Report, Share, Station
    from superpod.result import Limit, Term

LEAVES_SHOWN = 8
LEAVES_SHOWN_EACH = 3  # in a terminal, where an answer has several breakdowns
LIMITS_SHOWN = 4
RUNNERS_SHOWN = 3
ESTIMATES_SHOWN = 2
NOTES_SHOWN = 1
TIGHT_FRAC = 0.1
TABLES = "tables/operators:time_s"  # where an answer from measured tables files its fact
STATE_TONES: dict[str, Tone] = {
    "shipping": "good",
    "listed": "good",
    "announced": "warn",
    "roadmap": "warn",
    "cancelled": "bad",
}
STATE_WORDS = {
    "roadmap": "on a roadmap, not built yet",
    "announced": "announced, not delivered yet",
    "listed": "listed for sale",
    "shipping": "shipping",
    "cancelled": "cancelled",
}
Hues = dict[str, int]


def report_page(report: Report, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of one report."""
    state = STATE_WORDS.get(report.state, report.state)
    return Page(
        title=f"{report.model} on {report.pod_name}",
        subtitle=f"{report.question}" if full else f"{report.pod}, {machine_text(report)}",
        badges=station_badges(report.stations) or (Cell(text=state, tone=STATE_TONES.get(report.state, "plain")),),
        blocks=full_blocks(report, sources) if full else screen_blocks(report),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def machine_text(report: Report) -> str:
    """Return the size of the machine and the work in a few words."""
    pods = f"{count(report.pods_count)} pod{'s' if report.pods_count != 1 else ''}"
    used = count(report.cards_used_count)
    cards = used if report.cards_used_count == report.cards_count else f"{used} of {count(report.cards_count)}"
    timed = any(used.where == TABLES for used in report.facts)
    kernels = ", operators as measured" if timed else ""
    return f"{pods}, {cards} cards, {report.work} in {report.precision}, software {report.software}{kernels}"


def screen_blocks(report: Report) -> tuple[Block, ...]:
    """Return what fits one screen."""
    blocks: list[Block] = [headline(report), Metrics(title="", items=metric_items(report.metrics))]
    blocks.extend(stations_table(report.stations))
    blocks.extend(breakdowns(report, LEAVES_SHOWN if len(report.breakdowns) == 1 else LEAVES_SHOWN_EACH))
    blocks.extend(memory(report))
    blocks.append(Text(title="Binding limit", lines=(report.binding,), tone="strong"))
    if report.whole is not None:
        blocks.append(failures_text(report.whole))
    blocks.append(Text(title="Layout", lines=(layout_text(report.layout),)))
    blocks.append(limits_table(report.limits, full=False))
    if report.runners_up:
        blocks.append(runners_up(report, full=False))
    blocks.append(rests_on(report))
    return tuple(blocks)


def station_badges(stations: Sequence[Station]) -> tuple[Cell, ...]:
    """Return whether each of two machines can be bought."""
    return tuple(
        Cell(
            text=f"{item.pod_name}: {STATE_WORDS.get(item.state, item.state)}",
            tone=STATE_TONES.get(item.state, "plain"),
        )
        for item in stations
    )


def stations_table(stations: Sequence[Station]) -> tuple[Table, ...]:
    """Return the two machines between which requests move; nothing where there is one."""
    columns = (
        Column(label="machine", wraps=True),
        Column(label="does"),
        Column(label="cards in use", right=True),
        Column(label="in"),
        Column(label="caches travel on"),
        Column(label="a card", right=True, drop=1),
        Column(label="of it in use", right=True),
    )
    rows = tuple(station_row(item) for item in stations)
    return (Table(title="", columns=columns, rows=rows),) if rows else ()


def station_row(item: Station) -> tuple[Cell | str, ...]:
    """Return one of two machines."""
    return (
        item.pod_name,
        "reads prompts" if item.phase == "prefill" else "decodes",
        f"{count(item.cards_used_count)} of {count(item.cards_count)}",
        item.precision,
        f"its {item.network}",
        quantity(item.network_bytes_per_s, "B/s"),
        percent(item.network_frac),
    )


def searched(report: Report) -> str:
    """Return how many layouts were looked at."""
    return f"{count(report.considered_count)} considered, {count(report.feasible_count)} feasible"


def full_blocks(report: Report, sources: Mapping[str, Source]) -> tuple[Block, ...]:
    """Return everything that the report holds, in the order in which an architect asks."""
    answer: list[Block] = [headline(report), Text(title="Binding limit", lines=(report.binding,), tone="strong")]
    answer.append(Metrics(title="", items=metric_items(report.metrics)))
    answer.append(Text(title="", lines=(f"{report.pod}: {machine_text(report)}",), tone="faint"))
    answer.extend(stations_table(report.stations))
    alternatives: tuple[Block, ...] = (
        layout_grid(report.layout),
        *((runners_up(report, full=True),) if report.runners_up else ()),
    )
    blocks: list[Block] = [
        *answer,
        Section(title="Where the time goes", blocks=tuple(breakdowns(report, LEAVES_SHOWN))),
        Section(title="Memory", blocks=tuple(memory(report))),
        Section(
            title="Limits and their margins",
            blocks=(limits_table(report.limits, full=True),),
        ),
        Section(title=f"Layout and alternatives: {searched(report)}", blocks=alternatives),
    ]
    if report.whole is not None:
        blocks.append(building_section(report.whole))
    if report.sensitivities:
        blocks.append(Section(title="What moves the answer", blocks=(sensitivities(report),)))
    blocks.append(Section(title="Estimates and assumptions it rests on", blocks=estimate_blocks(report)))
    facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
    blocks.append(Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,)))
    return tuple(blocks)


def headline(report: Report) -> Headline:
    """Return the number that the question asked for, with its band."""
    low, high = report.band
    metric = report.headline
    return Headline(
        label=metric.label,
        text=quantity(metric.value, metric.unit),
        low_text=quantity(low, metric.unit),
        high_text=quantity(high, metric.unit),
        low=low,
        value=metric.value,
        high=high,
    )


def metric_items(metrics: Sequence[Metric]) -> tuple[tuple[str, str], ...]:
    """Return labels and texts of numbers."""
    return tuple((metric.label, metric_text(metric)) for metric in metrics)


def metric_text(metric: Metric) -> str:
    """Return a number, with its P10 and P90 where they are known."""
    text = quantity(metric.value, metric.unit)
    if metric.band is None:
        return text
    low, high = (quantity(value, metric.unit).removesuffix(f" {metric.unit}") for value in metric.band)
    return f"{text} ({low} to {high})"


def breakdowns(report: Report, shown: int) -> list[Breakdown]:
    """Return where the time of each step kind goes, equal names in equal colours."""
    hues: Hues = {}
    return [breakdown(term, shown, hues) for term in report.breakdowns]


def breakdown(term: Term, shown: int, hues: Hues) -> Breakdown:
    """Return the largest leaves under their first-level groups, and the rest as one."""
    times: dict[tuple[str, str], float] = {}
    for group in term.parts or (term,):
        for leaf in group.leaves():
            key = (group.name if group is not term else "", leaf.name)
            times[key] = times.get(key, 0.0) + float(leaf.time_s)
    whole = sum(times.values()) or 1.0
    ranked = sorted(times.items(), key=lambda item: -item[1])
    kept, rest = ranked[:shown], ranked[shown:]
    if len(rest) == 1:
        kept, rest = ranked, []
    group_times = {name: sum(time for (owner, _), time in times.items() if owner == name) for (name, _) in times}
    kept.sort(key=lambda item: (-group_times[item[0][0]], item[0][0], -item[1]))
    segments = [segment(group, name, time, whole, hues) for (group, name), time in kept if time != 0.0]
    left = sum(time for _, time in rest)
    if left > 0:
        segments.append(
            Segment(
                label=f"{len(rest)} smaller parts",
                share=left / whole,
                text=duration(left),
                group="other" if any(item.group for item in segments) else "",
                hue=-1,
            )
        )
    return Breakdown(title=term.name, total_text=duration(float(term.time_s)), segments=tuple(segments))


def segment(group: str, name: str, time: float, whole: float, hues: Hues) -> Segment:
    """Return one leaf; a leaf that is its own group needs no group name."""
    hue = hues.setdefault(name, len(hues))
    return Segment(label=name, share=time / whole, text=duration(time), group="" if group == name else group, hue=hue)


def memory(report: Report) -> list[Fill]:
    """Return what each pool of ranks holds; the capacity is that of its memory limit."""
    limits = [limit for limit in report.limits if limit.unit == "B"]
    hues: Hues = {}
    return [memory_pool(pool, parts, memory_limit(pool, parts, limits), hues) for pool, parts in report.memory]


def memory_limit(pool: str, parts: Sequence[Share], limits: Sequence[Limit]) -> Limit | None:
    """Return the limit in bytes that names this pool, or else the one whose need is closest to its parts."""
    named = [limit for limit in limits if pool.lower() in f"{limit.code} {limit.what}".lower()]
    held = sum(part.amount_bytes for part in parts)
    return min(named or limits, key=lambda limit: abs(float(limit.needed) - held), default=None)


def memory_pool(pool: str, parts: Sequence[Share], limit: Limit | None, hues: Hues) -> Fill:
    """Return one pool's memory as shares of its capacity."""
    held = sum(part.amount_bytes for part in parts)
    capacity = float(limit.available) if limit is not None else held
    segments = tuple(
        Segment(
            label=part.name,
            share=part.amount_bytes / (capacity or 1.0),
            text=human(part.amount_bytes, "B"),
            hue=hues.setdefault(part.name, len(hues)),
        )
        for part in parts
        if part.amount_bytes > 0
    )
    text = human(held, "B")
    if limit is not None:
        text += f" of {human(capacity, 'B')}, {percent(1.0 - held / (capacity or 1.0))} free"
    return Fill(title=f"Memory, {pool}", text=text, segments=segments, has_capacity=limit is not None)


def limits_table(limits: Sequence[Limit], *, full: bool) -> Table:
    """Return the limits, the tightest first; in full with what would cure each."""
    columns = [
        Column(label="limit", wraps=True, cuts=not full),
        Column(label="needed", right=True),
        Column(label="available", right=True),
        Column(label="margin", right=True),
    ]
    if full:
        columns.append(Column(label="what would cure it", wraps=True))
    ordered = sorted(limits, key=margin)
    shown = ordered if full else ordered[:LIMITS_SHOWN]
    return Table(title="", columns=tuple(columns), rows=tuple(limit_row(limit, full=full) for limit in shown))


def limit_row(limit: Limit, *, full: bool) -> tuple[Cell | str, ...]:
    """Return one limit; a limit without a unit counts things."""
    needed, available = (quantity(float(value), limit.unit or "count") for value in (limit.needed, limit.available))
    return (limit.what, needed, available, margin_cell(margin(limit)), *((limit.cure,) if full else ()))


def margin(limit: Limit) -> float:
    """Return the free share of a limit; nothing available means nothing free."""
    return float(limit.margin_frac) if limit.available else float("-inf" if limit.needed else "inf")


def margin_cell(share: float) -> Cell:
    """Return a margin in words as well as in colour."""
    if share < 0:
        return Cell(text=f"{percent(share)} broken", tone="bad")
    return Cell(
        text=f"{percent(share)} tight" if share < TIGHT_FRAC else percent(share),
        tone="warn" if share < TIGHT_FRAC else "good",
    )


def layout_grid(layout: Mapping[str, float | str]) -> Metrics:
    """Return every degree and choice of a layout."""
    return Metrics(
        title="", items=tuple((name.replace("_", " "), degree_text(value)) for name, value in layout.items())
    )


def degree_text(value: float | str) -> str:
    """Return a degree or a choice."""
    return value if isinstance(value, str) else count(float(value))


def layout_text(layout: Mapping[str, float | str]) -> str:
    """Return a layout in one line; degrees of one go without saying."""
    named = [f"{name.replace('_', ' ')} {degree_text(value)}" for name, value in layout.items() if value != 1]
    ones = "; all other degrees 1" if len(named) < len(layout) else ""
    return ", ".join(named) + ones


def differing(layout: Mapping[str, float | str], chosen: Mapping[str, float | str]) -> str:
    """Return only what a layout has that the chosen one has not."""
    changed = {name: value for name, value in layout.items() if chosen.get(name) != value}
    return (
        ", ".join(f"{name.replace('_', ' ')} {degree_text(value)}" for name, value in changed.items()) or "same degrees"
    )


def runners_up(report: Report, *, full: bool) -> Table:
    """Return the next best layouts and why they lose."""
    columns = (
        Column(label=f"next best of {count(report.feasible_count)} feasible", wraps=True, cuts=not full),
        Column(label=report.headline.unit or "reach", right=True),
        Column(label="against best", right=True, drop=0 if full else 1),
        Column(label="why it loses", wraps=True, cuts=not full),
    )
    shown = report.runners_up if full else report.runners_up[:RUNNERS_SHOWN]
    return Table(title="", columns=columns, rows=tuple(candidate_row(candidate, report) for candidate in shown))


def candidate_row(candidate: Candidate, report: Report) -> tuple[Cell | str, ...]:
    """Return one candidate beside the chosen layout."""
    best = report.headline.value
    against = f"{100 * (candidate.value / best - 1):+.1f} %" if best and candidate.value else DASH
    reached = quantity(candidate.value, report.headline.unit).removesuffix(f" {report.headline.unit}")
    return (differing(candidate.layout, report.layout), reached if candidate.value else DASH, against, candidate.why)


def sensitivities(report: Report) -> Intervals:
    """Return how the headline answers to its most important facts."""
    rows = tuple(
        Interval(
            label=item.where,
            low=min(0.0, item.elasticity),
            value=item.elasticity,
            high=max(0.0, item.elasticity),
            text=f"{item.elasticity:+.2f}",
        )
        for item in sorted(report.sensitivities, key=lambda item: -abs(item.elasticity))
    )
    note = "+0.50 means that 10 % more of this number gives 5 % more of the headline."
    return Intervals(title="", rows=rows, note=note)


def rests_on(report: Report) -> Text:
    """Return the weakest grounds of an answer: estimates, assumptions and the user's own numbers, then notes."""
    weak = report.estimates
    lines = [f"{used.where} = {used_text(used)} ({used.fact.kind}): {basis(used)}" for used in weak[:ESTIMATES_SHOWN]]
    rest = (len(weak) - ESTIMATES_SHOWN, len(report.notes) - NOTES_SHOWN)
    more = [f"{number} more {name}" for number, name in zip(rest, ("assumed", "notes"), strict=True) if number > 0]
    cited = len({used.fact.source for used in report.facts if used.fact.source})
    published = f"{len(report.facts) - len(weak)} published facts from {cited} sources"
    last = f"{', '.join([*more, published])}; all {len(report.facts)}: --json, --html FILE"
    lines = [*lines, *report.notes[:NOTES_SHOWN], last]
    return Text(title="Rests on", lines=tuple(lines), bullets=True, tone="faint", cuts=True)


def basis(used: UsedFact) -> str:
    """Return why somebody believes a fact."""
    return used.fact.note or used.fact.basis or "no note"


def used_text(used: UsedFact) -> str:
    """Return the number of a used fact."""
    return fact_text(used.where, used.fact.value)


def estimate_blocks(report: Report) -> tuple[Block, ...]:
    """Return the estimates as a table, and the notes."""
    blocks: list[Block] = []
    if report.estimates:
        columns = (
            Column(label="fact"),
            Column(label="value", right=True),
            Column(label="kind"),
            Column(label="basis", wraps=True),
        )
        rows = tuple(
            (
                used.where,
                used_text(used),
                Cell(text=used.fact.kind or DASH, tone="warn"),
                used.fact.note or used.fact.basis or DASH,
            )
            for used in report.estimates
        )
        blocks.append(Table(title="", columns=columns, rows=rows))
    else:
        blocks.append(Text(title="", lines=("None: every number was published.",)))
    if report.notes:
        blocks.append(Text(title="Notes", lines=report.notes, bullets=True))
    return tuple(blocks)
