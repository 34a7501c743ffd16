"""A fabric's report as a page: parts, distances, times at each level, faults, traffic, jobs, and how full links are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.page import Block, Cell, Column, HeatMap, HeatRow, Matrix, Metrics, Page, Section, Table, Text
from superpod.cli.report_page import STATE_TONES, STATE_WORDS
from superpod.cli.wording import DASH, count, factor, quantity
from superpod.units import YEAR_S, human, percent

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.fabric.inventory import TierParts
    from superpod.plan.fabric.result import (
        CollectiveAnswer,
        FabricReport,
        FaultAnswer,
        JobAnswer,
        LinkUse,
        Timing,
        TrafficAnswer,
        UseMap,
    )

NOT_PUBLISHED = "not published, or not for so large a network"
MAP_NOTE = (
    "the fullest link of each few, in the order of their places; share of what it could carry until the last byte"
)
TIMES = (
    Column(label="level"),
    Column(label="way", wraps=True),
    Column(label="ranks", right=True, drop=1),
    Column(label="time", right=True),
    Column(label="bus bandwidth", right=True),
    Column(label="at port rates", right=True),
)
LEVELS_NOTE = (
    "L0 closed form, beside it the bound that no way beats; L1 classes of equal flows; L2 flow by flow. "
    "Times hold the transport's efficiency and the library's cost; at port rates: the wires alone"
)


def fabric_page(report: FabricReport, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of a fabric's report."""
    state = STATE_WORDS.get(report.state, report.state)
    badges = (Cell(text=state, tone=STATE_TONES.get(report.state, "plain")),) if report.state else ()
    pods = f"{count(report.pods_count)} pod{'s' if report.pods_count != 1 else ''}, " if report.inventory else ""
    return Page(
        title=f"Fabric of {report.name}",
        subtitle=report.question if full else f"{report.subject}, {pods}{report.ranks_count:,} ranks",
        badges=badges,
        blocks=(*answer_blocks(report, full=full), *ground_blocks(report, sources, full=full)),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def answer_blocks(report: FabricReport, *, full: bool) -> list[Block]:
    """Return everything that was asked."""
    blocks: list[Block] = [Metrics(title="", items=overview(report)), parts_table(report.parts)]
    if report.inventory is not None:
        blocks += [reach_table(report)]
    if report.collective is not None:
        blocks += collective_blocks(report.collective, full=full)
    if report.faults is not None:
        blocks += fault_blocks(report, report.faults)
    if report.traffic is not None:
        blocks += traffic_blocks(report.traffic)
    if report.jobs:
        blocks.append(jobs_table(report.jobs))
    return [*blocks, *map_blocks(report, full=full)]


def overview(report: FabricReport) -> tuple[tuple[str, str], ...]:
    """Return the numbers of the whole: sizes, what all can send, what crosses the middle, and how far it is."""
    made = report.inventory
    items: list[tuple[str, str]] = []
    if made is not None:
        share = made.bisection_bytes_per_s / (made.injection_bytes_per_s / 2.0)
        items += [("cards", count(made.chips_count)), ("ranks", count(made.ranks_count))]
        items += [("CPUs on the fabric", count(made.hosts_count))] if made.hosts_count else []
        items += [("stand-by ranks", count(made.spares_count))] if made.spares_count else []
        items += [
            ("injection of all ranks", human(made.injection_bytes_per_s, "B/s")),
            ("bisection", human(made.bisection_bytes_per_s, "B/s")),
            ("bisection / half of injection", percent(share)),
            ("farthest", quantity(max(reach.latency_s for reach in made.reaches), "s")),
        ]
    else:
        items.append(("ranks", count(float(report.ranks_count))))
    if report.diameter_count is not None:
        items.append(("diameter", f"{count(report.diameter_count)} links"))
    if report.exchange is not None and report.exchange.bus_bytes_per_s is not None:
        rate = quantity(report.exchange.bus_bytes_per_s, "B/s")
        items.append((f"each rank to all ({report.exchange.level})", rate))
    return tuple(items)


def parts_table(parts: Sequence[TierParts]) -> Table:
    """Return the bill of materials by tier, with its totals; nothing unpublished counts as nothing."""
    columns = (
        Column(label="tier"),
        Column(label="medium", drop=2),
        Column(label="instances", right=True, drop=4),
        Column(label="switch\nchips", right=True),
        Column(label="links", right=True, drop=3),
        Column(label="cables", right=True),
        Column(label="a cable", right=True, drop=1),
        Column(label="optical\nmodules", right=True),
        Column(label="modules'\npower", right=True),
        Column(label="failures\na year", right=True),
    )
    rows = [part_row(part) for part in parts]
    total = (
        Cell(text="all", tone="strong"),
        "",
        "",
        summed([part.switches_count for part in parts], "count"),
        summed([part.links_count for part in parts], "count"),
        summed([part.cables_count for part in parts], "count"),
        "",
        summed([part.modules_count for part in parts], "count"),
        summed([part.power_w for part in parts], "W"),
        summed([per_year(part.failure_per_s) for part in parts], "count"),
    )
    modules: dict[str, float] = {}
    for part in parts:
        if part.modules_count:
            modules[part.module] = modules.get(part.module, 0.0) + part.modules_count
    said = ", ".join(f"{count(number)} x {name}" for name, number in modules.items())
    notes = [f"optical modules by rate: {said}"] if said else []
    if any(None in (part.switches_count, part.cables_count, part.modules_count) for part in parts):
        notes.append(f"{DASH}: {NOT_PUBLISHED}; a total with + leaves it out")
    title = "Parts: switches, cables, optical modules"
    return Table(title=title, columns=columns, rows=(*rows, total), footnotes=tuple(notes))


def part_row(part: TierParts) -> tuple[Cell | str, ...]:
    """Return one tier's parts."""
    modules = count(part.modules_count)
    if part.modules_count:
        modules = f"{modules} x {part.module}"
    return (
        part.tier,
        part.medium,
        count(part.instances_count),
        count(part.switches_count),
        count(part.links_count),
        count(part.cables_count),
        quantity(part.cable_bytes_per_s, "B/s"),
        modules,
        quantity(part.power_w, "W"),
        failures(per_year(part.failure_per_s)),
    )


def per_year(per_s: float | None) -> float | None:
    """Return a rate a year."""
    return None if per_s is None else per_s * YEAR_S


def failures(number: float | None) -> str:
    """Return failures a year without false precision.

    >>> failures(36.81), failures(0.2), failures(None)
    ('37', '0.20', '—')
    """
    if number is None:
        return DASH
    return f"{number:,.0f}" if number >= 10 else f"{number:.2f}"


def summed(numbers: Sequence[float | None], unit: str) -> str:
    """Return a total; with a + where some of it is not published."""
    known = [number for number in numbers if number is not None]
    if not known:
        return DASH
    total = sum(known)
    text = failures(total) if unit == "count" and total != round(total) else quantity(total, unit)
    return text if len(known) == len(numbers) else f"{text} +"


def reach_table(report: FabricReport) -> Table:
    """Return how far apart ranks are by the smallest tier that holds both."""
    columns = (
        Column(label="two ranks in one"),
        Column(label="ranks", right=True),
        Column(label="hops", right=True),
        Column(label="a hop", right=True),
        Column(label="latency", right=True),
        Column(label="bandwidth of a rank", right=True),
    )
    reaches = report.inventory.reaches if report.inventory is not None else ()
    rows = tuple(
        (
            reach.tier,
            count(reach.ranks_count),
            count(reach.hops_count),
            quantity(reach.hop_s, "s"),
            quantity(reach.latency_s, "s"),
            quantity(reach.bytes_per_s, "B/s"),
        )
        for reach in reaches
    )
    return Table(title="Latency by hops", columns=columns, rows=rows)


def collective_blocks(answer: CollectiveAnswer, *, full: bool) -> list[Block]:
    """Return a collective's times, why its way was chosen, and the links that limit it."""
    every = "" if answer.stride == 1 else f", every {answer.stride}th"
    title = f"{answer.kind} of {human(answer.message_bytes, 'B')} over {answer.ranks_count:,} ranks{every}"
    rows = [timing_row(timing) for timing in answer.before]
    rows += [timing_row(timing, "after faults") for timing in answer.after]
    notes = (LEVELS_NOTE, *batches((*answer.before, *answer.after)))
    blocks: list[Block] = [Table(title=title, columns=TIMES, rows=tuple(rows), footnotes=notes)]
    if answer.reason:
        blocks.append(Text(title="Why this way", lines=(answer.reason,)))
    last = [*answer.before, *answer.after][-1:]
    blocks += [Text(title="Limiting links", lines=(limits_text(timing.limits),)) for timing in last if timing.limits]
    if full and len(answer.ways) > 1:
        columns = (
            Column(label="way", wraps=True),
            Column(label="time", right=True),
            Column(label="waits", right=True),
            Column(label="wires", right=True),
            Column(label="bound by"),
        )
        ways = tuple(
            (
                way.name,
                quantity(way.time_s, "s"),
                quantity(way.latency_s, "s"),
                quantity(way.wire_s, "s"),
                way.binding_tier,
            )
            for way in answer.ways
        )
        blocks.append(Table(title="Every way (L0)", columns=columns, rows=ways))
    return blocks


def timing_row(timing: Timing, state: str = "") -> tuple[Cell | str, ...]:
    """Return one time at one level."""
    return (
        f"{timing.level} {state}".strip(),
        timing.way,
        f"{timing.ranks_count:,}",
        Cell(text=quantity(timing.time_s, "s"), tone="strong"),
        quantity(timing.bus_bytes_per_s, "B/s"),
        quantity(timing.wire_s, "s"),
    )


def batches(timings: Sequence[Timing]) -> tuple[str, ...]:
    """Return what levels leave out, and within what share events are one."""
    fracs = {timing.batch_frac for timing in timings if timing.batch_frac}
    said = [f"L2: ends within {100 * frac:g} % of the time are one event" for frac in sorted(fracs)]
    return tuple(dict.fromkeys([*said, *(timing.caution for timing in timings if timing.caution)]))


def limits_text(limits: Sequence[LinkUse]) -> str:
    """Return the fullest links in one line."""
    return "; ".join(f"{use.name} ({percent(use.used_frac)})" for use in limits[:3])


def fault_blocks(report: FabricReport, faults: FaultAnswer) -> list[Block]:
    """Return the fabric before and after its faults, side by side."""
    columns = (
        Column(label=""),
        Column(label="before", right=True),
        Column(label="after", right=True),
        Column(label="after / before", right=True),
    )
    left = faults.links_count - faults.links_lost_count
    reachable = report.ranks_count - len(faults.isolated)
    rows: list[tuple[Cell | str, ...]] = [
        (
            "links, each direction counted",
            f"{faults.links_count:,}",
            f"{left:,}",
            percent(left / max(faults.links_count, 1)),
        ),
        ("ranks that reach each other", *compared(float(report.ranks_count), float(reachable), "count")),
    ]
    before, after = report.exchange, faults.exchange_after
    rows.append(("all-to-all, wires alone", *timed(before, after)))
    if before is not None and after is not None and before.bus_bytes_per_s and after.bus_bytes_per_s:
        rows.append(("  of it each rank", *compared(before.bus_bytes_per_s, after.bus_bytes_per_s, "B/s")))
    answer = report.collective
    if answer is not None:
        rows.append((f"{answer.kind} (L2)", *timed((answer.before or (None,))[-1], (answer.after or (None,))[-1])))
    if report.traffic is not None:
        rows.append(("traffic", *timed(report.traffic.before, report.traffic.after)))
    title = f"After {', '.join(faults.faults)}"
    blocks: list[Block] = [Table(title=title, columns=columns, rows=tuple(rows))]
    findings = list(faults.findings)
    if faults.isolated:
        findings.append(f"cut off: {ranges(faults.isolated)}")
    if findings:
        blocks.append(Text(title="Findings", lines=tuple(findings), bullets=True, tone="warn"))
    return blocks


def compared(before: float, after: float, unit: str) -> tuple[str, str, str]:
    """Return two numbers and their ratio."""
    return quantity(before, unit), quantity(after, unit), factor(after / before) if before else DASH


def timed(before: Timing | None, after: Timing | None) -> tuple[str, str, str]:
    """Return two times and their ratio; a dash for what did not run."""
    texts = [quantity(timing.time_s, "s") if timing is not None else DASH for timing in (before, after)]
    ratio = factor(after.time_s / before.time_s) if before is not None and after is not None else DASH
    return texts[0], texts[1], ratio


def ranges(places: Sequence[int]) -> str:
    """Return whole numbers as ranges.

    >>> ranges((1, 2, 3, 7))
    'ranks 1 to 3, 7'
    """
    parts: list[list[int]] = []
    for place in sorted(places):
        if parts and parts[-1][1] == place - 1:
            parts[-1][1] = place
        else:
            parts.append([place, place])
    shown = [f"{low} to {high}" if high > low else str(low) for low, high in parts[:12]]
    return f"ranks {', '.join(shown)}{' …' if len(parts) > 12 else ''}"


def traffic_blocks(answer: TrafficAnswer) -> list[Block]:
    """Return what a traffic matrix takes, and what limits it."""
    title = f"{answer.name}: {answer.flows_count:,} flows, {human(answer.size_bytes, 'B')}"
    timings = [timing for timing in (answer.before, answer.after) if timing is not None]
    rows = tuple(timing_row(timing, "after faults" if number else "") for number, timing in enumerate(timings))
    notes = ("beside it: the volume bound at port rates, that no routing by these paths beats", *batches(timings))
    blocks: list[Block] = [Table(title=title, columns=TIMES, rows=rows, footnotes=notes)]
    blocks += [Text(title="Limiting links", lines=(limits_text(timing.limits),)) for timing in timings[-1:]]
    most = max(max(row) for row in answer.matrix_bytes)
    cells = tuple(tuple(entry / most for entry in row) for row in answer.matrix_bytes)
    return [*blocks, Matrix(title="Who sends to whom", cells=cells, most_text=human(most, "B"))]


def jobs_table(jobs: Sequence[JobAnswer]) -> Table:
    """Return jobs side by side: alone, together, and how much slower each one is."""
    columns = (
        Column(label="job"),
        Column(label="collective"),
        Column(label="bytes", right=True),
        Column(label="ranks", right=True),
        Column(label="way", wraps=True, drop=1),
        Column(label="alone", right=True),
        Column(label="together", right=True),
        Column(label="slowdown", right=True),
    )
    rows = tuple(
        (
            job.name,
            job.kind,
            human(job.message_bytes, "B"),
            f"{job.first}+{job.ranks_count}" + (f"*{job.stride}" if job.stride != 1 else ""),
            job.way,
            quantity(job.alone_s, "s"),
            quantity(job.together_s, "s"),
            Cell(text=factor(job.slowdown_ratio), tone="warn" if job.slowdown_ratio > 1.05 else "plain"),
        )
        for job in jobs
    )
    note = f"L2, flow by flow; ends within {100 * jobs[0].batch_frac:g} % of the time are one event"
    return Table(title="Jobs at once", columns=columns, rows=rows, footnotes=(note,))


def map_blocks(report: FabricReport, *, full: bool) -> list[Block]:
    """Return how full the links are: everything for HTML, the last picture for a terminal."""
    return [heat_block(item) for item in (report.maps if full else report.maps[-1:])]


def heat_block(item: UseMap) -> HeatMap:
    """Return one map of links as a block."""
    rows = tuple(
        HeatRow(
            label=f"{row.label} ({row.links_count:,})",
            cells=row.cells_frac,
            least_text=percent(row.least_frac),
            middle_text=percent(row.middle_frac),
            most_text=percent(row.most_frac),
        )
        for row in item.rows
    )
    return HeatMap(title=f"How full the links are: {item.title}", rows=rows, note=MAP_NOTE)


def ground_blocks(report: FabricReport, sources: Mapping[str, Source], *, full: bool) -> list[Block]:
    """Return what the answer rests on: notes, and for HTML every fact."""
    blocks: list[Block] = []
    weak = [used for used in report.facts if used.fact.kind in {"estimate", "assumed", "user"}]
    lines = [*report.notes, f"routing: {report.routing}"]
    if report.facts:
        lines.append(
            f"{len(report.facts)} facts, of them {len(weak)} assumed, estimated or your own: --json, --html FILE"
        )
    if lines:
        blocks.append(Text(title="Notes", lines=tuple(lines), bullets=True, tone="faint"))
    if full and report.facts:
        facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
        blocks.append(Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,), folded=True))
    return blocks
