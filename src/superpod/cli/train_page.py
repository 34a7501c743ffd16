"""A training report as a page: the report of any work, and what a search of layouts adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from superpod.cli.page import Block, Column, Drawing, Interval, Intervals, Page, Section, Table, Text
from superpod.cli.report_page import differing, report_page
from superpod.cli.wording import DASH, count, duration, quantity
from superpod.units import human

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.plan.report import FrontPoint, Report, Searched

LEVERS_SHOWN = 3
FRONT_SHOWN = 12


def train_page(report: Report, sources: Mapping[str, Source], picture: str, *, full: bool) -> Page:
    """Return the page of a training report; `picture` is the timeline as SVG, for the full page."""
    page = report_page(report, sources, full=full)
    if report.searched is None:
        return page
    if not full:
        lines = levers_text(report.searched)
        at = next((place for place, block in enumerate(page.blocks) if _titled(block, "Rests on")), len(page.blocks))
        added = (Text(title="A tenth more buys", lines=(lines,)),) if lines else ()
        return replace(page, blocks=(*page.blocks[:at], *added, *page.blocks[at:]))
    sections: list[Block] = []
    if picture:
        sections.append(Section(title="The step, stage by stage", blocks=(Drawing(title="", svg=picture),)))
    sections.append(Section(title="Time against memory and cards", blocks=(front_table(report, report.searched),)))
    if report.searched.levers:
        sections.append(Section(title="What a better machine buys", blocks=(levers_chart(report.searched),)))
    at = next(place for place, block in enumerate(page.blocks) if _titled(block, "Memory")) + 1
    return replace(page, blocks=(*page.blocks[:at], *sections, *page.blocks[at:]))


def _titled(block: Block, title: str) -> bool:
    return getattr(block, "title", None) == title


def levers_text(searched: Searched) -> str:
    """Return the strongest levers in one line."""
    worth = [lever for lever in searched.levers if lever.gain_frac >= 0.0005][:LEVERS_SHOWN]
    return ", ".join(f"{lever.name} {100 * lever.gain_frac:+.1f} %" for lever in worth)


def levers_chart(searched: Searched) -> Intervals:
    """Return what each lever gains."""
    rows = tuple(
        Interval(
            label=lever.name,
            low=min(0.0, lever.gain_frac),
            value=lever.gain_frac,
            high=max(0.0, lever.gain_frac),
            text=f"{100 * lever.gain_frac:+.2f} %",
        )
        for lever in searched.levers
    )
    note = "Throughput with a tenth more of one quantity (or a tenth less latency), the layout free to change."
    return Intervals(title="", rows=rows, note=note)


def front_table(report: Report, searched: Searched) -> Table:
    """Return the layouts that none beats in time, memory and cards together, fastest first."""
    columns = (
        Column(label="step", right=True),
        Column(label="memory a rank", right=True),
        Column(label="cards", right=True),
        Column(label="energy", right=True),
        Column(label="cost", right=True),
        Column(label="how it differs from the best", wraps=True),
    )
    shown = searched.front[:FRONT_SHOWN]
    note = (
        f"{count(searched.pruned_count)} layouts were never priced: no memory holds them, or kernels alone are slower."
    )
    more = f" {len(searched.front) - len(shown)} more points: --json." if len(searched.front) > len(shown) else ""
    return Table(
        title="",
        columns=columns,
        rows=tuple(front_row(point, report) for point in shown),
        footnotes=(note + more, "Energy at the maximum power of the pod, the building included: an upper bound."),
    )


def front_row(point: FrontPoint, report: Report) -> tuple[str, ...]:
    """Return one point of the front."""
    return (
        duration(point.step_s),
        human(point.memory_bytes, "B"),
        count(point.cards_count),
        DASH if point.energy_j is None else human(point.energy_j, "J"),
        DASH if point.cost_usd is None else quantity(point.cost_usd, "USD"),
        differing(point.layout, report.layout),
    )
