"""Pages in a terminal, drawn with rich: at 80 columns, piped, or without colour they say the same."""

import io
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText

from superpod.cli import page
from superpod.cli.page import Cell, Column, Page
from superpod.units import percent

PIPED_WIDTH = 120
WIDTH_MAX = 180
PICTURE_WIDTH = 104
WRAP_WIDTH_MIN = 18
WRAP_WIDTH_WANTED = 22
BAR_WIDTH = 34
GAP = 2
METRIC_GAP = 5
INDENT = 2
BULLET = "• "
LONG_TABLE = 8
EIGHTHS = " ▏▎▍▌▋▊▉"
FILLS = "█▓▒"
SPARE = "░"
HEIGHTS = "·▁▂▃▄▅▆▇█"
HEAT_WIDTH = 64
STYLES = {"plain": "", "good": "green", "warn": "yellow", "bad": "red", "faint": "dim", "strong": "bold"}
HUES = ("blue", "cyan", "yellow", "green", "magenta", "red", "bright_magenta", "bright_blue")


def show(content: Page) -> None:
    """Print a page to stdout: as wide as the terminal, or COLUMNS or 120 columns where there is none."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        width = console.width if "COLUMNS" in os.environ else PIPED_WIDTH
        sys.stdout.write(plain(content, width))
        return
    if console.width > WIDTH_MAX:
        console = Console(highlight=False, emoji=False, markup=False, width=WIDTH_MAX)
    draw(content, console)


def plain(content: Page, width: int) -> str:
    """Return a page as text without colour and without blanks at line ends."""
    stream = io.StringIO()
    draw(content, Console(file=stream, highlight=False, emoji=False, markup=False, width=width, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def picture(content: Page, command: str) -> str:
    """Return the page as an SVG picture of a terminal that needs nothing from outside."""
    options: dict[str, Any] = {"highlight": False, "emoji": False, "markup": False, "legacy_windows": False}
    console = Console(
        file=io.StringIO(),
        record=True,
        width=PICTURE_WIDTH,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        **options,
    )
    draw(content, console)
    local = re.sub(r"@font-face\s*\{.*?\}\s*", "", console.export_svg(title=shortened(command)), flags=re.DOTALL)
    local = re.sub(r"<!--.*?-->\s*", "", local, flags=re.DOTALL)
    return local.replace(
        "Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    )


def shortened(command: str) -> str:
    """Return the command as far as the picture's title bar has room."""
    room = PICTURE_WIDTH - 30
    return command if len(command) <= room else f"{command[:room].rpartition(' ')[0]} …"


def draw(content: Page, console: Console) -> None:
    """Print a page to a console."""
    title = RichText(content.title, style="bold")
    for badge in content.badges:
        title.append(f"  [{badge.text}]", style=STYLES[badge.tone])
    console.print(title)
    if content.subtitle:
        console.print(RichText(content.subtitle, style="dim"))
    draw_blocks(content.blocks, console)


def draw_blocks(blocks: Sequence[page.Block], console: Console) -> None:
    """Print blocks; an empty line sets those of a new kind apart."""
    previous: page.Block | None = None
    for block in blocks:
        if not belongs(previous, block):
            console.print()
        DRAWERS[type(block)](block, console)
        previous = block


def belongs(previous: page.Block | None, block: page.Block) -> bool:
    """Return whether a block continues the one before it."""
    if isinstance(block, page.Metrics):
        return isinstance(previous, page.Headline)
    return type(block) is type(previous) and isinstance(block, page.Text | page.Fill | page.Breakdown)


def draw_headline(block: page.Headline, console: Console) -> None:
    """Print the number with its band."""
    line = RichText()
    line.append(f"{block.label}: ")
    line.append(block.text, style="bold green")
    if block.low != block.high:
        line.append(f"   between {block.low_text} and {block.high_text}", style="dim")
    console.print(line)


def draw_metrics(block: page.Metrics, console: Console) -> None:
    """Print named numbers in as many columns as fit."""
    for across in (3, 2, 1):
        rows = -(-len(block.items) // across)
        grid = [metric_column(block.items[start : start + rows]) for start in range(0, len(block.items), rows or 1)]
        if (
            across == 1
            or sum(cell_len(column[0]) + METRIC_GAP for column in grid) - METRIC_GAP <= console.width - INDENT
        ):
            break
    for row in range(rows):
        line = (" " * METRIC_GAP).join(column[row] for column in grid if row < len(column))
        console.print(RichText(" " * INDENT + line))


def metric_column(items: Sequence[tuple[str, str]]) -> list[str]:
    """Return labels and numbers as lines of equal width."""
    label_width = max(cell_len(label) for label, _ in items)
    text_width = max(cell_len(text) for _, text in items)
    return [padded(label, label_width + GAP) + padded(text, text_width, right=True) for label, text in items]


def draw_breakdown(block: page.Breakdown, console: Console) -> None:
    """Print the parts of a time as bars under the names of their groups."""
    line = RichText(block.title, style="bold")
    line.append(f"  {block.total_text}", style="not bold")
    console.print(line)
    group_width = min(20, max((cell_len(item.group) for item in block.segments), default=0))
    label_width = min(30, max((cell_len(item.label) for item in block.segments), default=0))
    bar_width = max(6, min(BAR_WIDTH, console.width - INDENT - group_width - label_width - 28))
    largest = max((item.share for item in block.segments), default=1.0) or 1.0
    previous = ""
    for item in block.segments:
        row = RichText(" " * INDENT)
        if group_width:
            row.append(padded("" if item.group == previous else item.group, group_width + GAP), style="dim")
        previous = item.group
        row.append(padded(item.label, label_width + GAP))
        row.append(padded(bar(item.share / largest, bar_width), bar_width + 1), style=hue(item.hue))
        row.append(f"{percent(item.share):>7}  {item.text:>9}")
        console.print(row)


def draw_fill(block: page.Fill, console: Console) -> None:
    """Print a memory as one bar and its parts in words; the parts alternate their pattern as well as their colour."""
    line = RichText(block.title, style="bold")
    line.append(f"  {block.text}  ", style="not bold")
    width = max(10, min(BAR_WIDTH, console.width - cell_len(line.plain) - 1))
    drawn = 0
    ends = 0.0
    legend: list[RichText] = []
    for number, item in enumerate(block.segments):
        ends += item.share
        length = max(0, min(width, round(ends * width)) - drawn)
        fill = FILLS[number % len(FILLS)]
        line.append(fill * length, style=hue(item.hue))
        drawn += length
        legend.append(RichText.assemble((fill, hue(item.hue)), f" {item.label} {item.text}"))
    if block.has_capacity:
        line.append(SPARE * (width - drawn), style="dim")
    console.print(line)
    packed(legend, console)


def packed(items: Sequence[RichText], console: Console) -> None:
    """Print short texts beside each other, as many in a line as fit."""
    line = RichText(" " * INDENT)
    for item in items:
        if line.cell_len > INDENT and line.cell_len + item.cell_len > console.width:
            console.print(line)
            line = RichText(" " * INDENT)
        line.append_text(item).append(" " * 3)
    console.print(line, no_wrap=True, overflow="ignore", crop=True)


def draw_split_bars(block: page.SplitBars, console: Console) -> None:
    """Print what each machine reaches, and behind it what a perfect fabric would give."""
    console.print(RichText(block.title, style="bold"))
    largest = max((max(item.reached, item.ideal) for item in block.bars), default=1.0) or 1.0
    label_width = min(34, max((cell_len(item.label) for item in block.bars), default=0))
    text_width = max((cell_len(item.text) for item in block.bars), default=0)
    width = max(8, min(48, console.width - INDENT - label_width - text_width - 5))
    for item in block.bars:
        reached = round(item.reached / largest * width)
        row = RichText(" " * INDENT + padded(item.label, label_width) + " " * GAP)
        row.append("█" * reached, style="blue")
        row.append(SPARE * max(0, round(item.ideal / largest * width) - reached), style="blue dim")
        row.append(" " * (width - max(reached, round(item.ideal / largest * width))))
        row.append(f"  {item.text}")
        console.print(row)
    if block.note:
        console.print(RichText(" " * INDENT + block.note, style="dim"))


def draw_intervals(block: page.Intervals, console: Console) -> None:
    """Print values with their bands as lines of text."""
    rows = tuple((item.label, item.text, f"{item.low:g} to {item.high:g}") for item in block.rows)
    columns = (Column(label="what", wraps=True), Column(label="value", right=True), Column(label="band", right=True))
    draw_table(page.Table(title=block.title, columns=columns, rows=rows), console)


def draw_text(block: page.Text, console: Console) -> None:
    """Print paragraphs; a single one stands beside its title."""
    style = STYLES[block.tone]
    if block.title and len(block.lines) == 1 and not block.bullets:
        line = RichText(f"{block.title}: ", style="bold")
        line.append(block.lines[0], style="not bold")
        console.print(line)
        return
    if block.title:
        console.print(RichText(block.title, style="bold"))
    for text in block.lines:
        if block.bullets:
            hang(RichText(text, style=style), console, cuts=block.cuts)
        else:
            console.print(RichText(text, style=style))


def hang(text: RichText, console: Console, *, cuts: bool) -> None:
    """Print a list item whose further lines stand under its first word."""
    room = console.width - INDENT - len(BULLET)
    lines = [text] if cuts else list(text.wrap(console, room))
    for number, line in enumerate(lines):
        line.truncate(room, overflow="ellipsis")
        row = RichText(" " * INDENT + (BULLET if number == 0 else " " * len(BULLET)))
        console.print(row.append_text(line), no_wrap=True)


def draw_heat_map(block: page.HeatMap, console: Console) -> None:
    """Print rows of cells as heights, the fullest of each few where they are many, beside their numbers."""
    if block.title:
        console.print(RichText(block.title, style="bold"))
    label_width = max((cell_len(row.label) for row in block.rows), default=0)
    texts = [f"{row.least_text:>8}{row.middle_text:>9}{row.most_text:>9}" for row in block.rows]
    room = max(8, min(HEAT_WIDTH, console.width - INDENT - label_width - 2 * GAP - 26))
    head = " " * (INDENT + label_width + GAP + room + GAP) + f"{'least':>8}{'median':>9}{'most':>9}"
    console.print(RichText(head, style="dim"))
    for row, text in zip(block.rows, texts, strict=True):
        line = RichText(" " * INDENT + padded(row.label, label_width + GAP))
        line.append(padded(heights(row.cells, room), room + GAP), style="blue")
        console.print(line.append(text))
    if block.note:
        console.print(Padding(RichText(block.note, style="dim"), (0, 0, 0, INDENT)))


def draw_drawing(block: page.Drawing, console: Console) -> None:
    """Print that there is a picture; it is for HTML."""
    console.print(RichText(f"{block.title}: drawn in HTML", style="dim"))


def draw_matrix(block: page.Matrix, console: Console) -> None:
    """Print what a matrix sends at most; the picture is for HTML."""
    side = len(block.cells)
    line = RichText(f"{block.title}: ", style="bold")
    line.append(f"{side} x {side} cells, at most {block.most_text}", style="not bold")
    console.print(line)


def heights(cells: Sequence[float], width: int) -> str:
    """Return shares as bars of one character each, the largest of several where they are more than `width`.

    >>> heights((0.0, 0.5, 1.0), 8)
    '·▄█'
    """
    together = -(-len(cells) // width)
    groups = [max(cells[start : start + together]) for start in range(0, len(cells), together)]
    return "".join(HEIGHTS[min(8, max(1, round(share * 8)))] if share > 0 else HEIGHTS[0] for share in groups)


def draw_section(block: page.Section, console: Console) -> None:
    """Print a heading and its blocks."""
    console.print(RichText(f"── {block.title} ", style="bold"))
    draw_blocks(block.blocks, console)


def draw_table(block: page.Table, console: Console) -> None:
    """Print a table, without the columns that this width has no room for."""
    fitted, dropped = fit(block, console.width - INDENT)
    if block.title:
        console.print(RichText(block.title, style="bold"))
    cuts = cut_widths(fitted, console.width - INDENT)
    table = empty_table(fitted, cuts)
    for row in fitted.rows:
        table.add_row(*(cell_text(item, cuts.get(place)) for place, item in enumerate(row)))
    console.print(Padding(table, (0, 0, 0, INDENT), expand=False))
    notes = list(block.footnotes)
    if dropped:
        notes.append(f"no room here for: {', '.join(dropped)} (a wider terminal, --json or --html has them)")
    for note in notes:
        console.print(Padding(RichText(note, style="dim"), (0, 0, 0, INDENT)))


def empty_table(block: page.Table, cuts: Mapping[int, int]) -> RichTable:
    """Return the columns of a table; a long one gets a line below its heading."""
    long = len(block.rows) > LONG_TABLE and not block.compact
    table = RichTable(
        box=SIMPLE_HEAD if long else None,
        show_header=not block.compact,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1 if long else GAP, 0, 0),  # the box adds a blank column
        header_style="bold" if long else "dim",
        collapse_padding=True,
    )
    for place, column in enumerate(block.columns):
        natural = natural_width(block, column)
        table.add_column(
            RichText(padded(column.label, cuts[place]) if place in cuts else column.label),
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            vertical="top",
            width=cuts.get(place),
            min_width=min(WRAP_WIDTH_MIN, natural) if column.wraps else natural,
        )
    return table


def cut_widths(table: page.Table, width: int) -> dict[int, int]:
    """Return the widths of the columns that may be cut to one line: shares of what the others leave."""
    naturals = {place: natural_width(table, column) for place, column in enumerate(table.columns)}
    cut = [place for place, column in enumerate(table.columns) if column.cuts]
    room = width - sum(natural + GAP for place, natural in naturals.items() if place not in cut)
    widths: dict[int, int] = {}
    for number, place in enumerate(cut):
        left = len(cut) - number
        later = sum(naturals[other] for other in cut[number + 1 :])
        share = max(room // left, room - later - GAP * (left - 1)) - (GAP if left == 1 else 0)
        widths[place] = max(1, min(naturals[place], share))
        room -= widths[place] + GAP
    return widths


def fit(table: page.Table, width: int) -> tuple[page.Table, list[str]]:
    """Return the table without the columns that `width` has no room for, and their labels."""
    columns = list(range(len(table.columns)))
    dropped: list[str] = []
    while sum(wanted_width(table, table.columns[place]) + GAP for place in columns) - GAP > width:
        droppable = [place for place in columns if table.columns[place].drop]
        if not droppable:
            break
        least = max(droppable, key=lambda place: table.columns[place].drop)
        columns.remove(least)
        dropped.append(table.columns[least].label.replace("\n", " "))
    rows = tuple(tuple(row[place] for place in columns) for row in table.rows)
    return replace(table, columns=tuple(table.columns[place] for place in columns), rows=rows), dropped


def wanted_width(table: page.Table, column: Column) -> int:
    """Return the room that a column needs to be worth showing."""
    natural = natural_width(table, column)
    return min(natural, WRAP_WIDTH_WANTED) if column.wraps else natural


def natural_width(table: page.Table, column: Column) -> int:
    """Return the width of a column's longest cell."""
    place = table.columns.index(column)
    cells = [cell_len(item if isinstance(item, str) else item.text) for row in table.rows for item in (row[place],)]
    return max([*cells, *(cell_len(line) for line in column.label.split("\n"))])


def cell_text(item: Cell | str, width: int | None) -> RenderableType:
    """Return a cell for rich, cut to a width where one is given; addresses become links where the terminal has them."""
    if isinstance(item, str):
        return RichText(item if width is None else padded(item, width))
    style = STYLES[item.tone]
    link = f"link {item.url}" if re.fullmatch(r"https?://\S+", item.url) else ""
    return RichText(item.text, style=f"{style} {link}".strip())


def bar(share: float, width: int) -> str:
    """Return a bar of eighths of a character.

    >>> bar(0.5, 4), bar(0.3, 4)
    ('██', '█▎')
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).strip()


def hue(number: int) -> str:
    """Return the colour of a segment."""
    return "dim" if number < 0 else HUES[number % len(HUES)]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return text cut or filled to a width of terminal cells."""
    if cell_len(text) > width:
        text = f"{set_cell_size(text, max(0, width - 1)).rstrip()}…"
    spare = " " * max(0, width - cell_len(text))
    return spare + text if right else text + spare


DRAWERS: dict[type[Any], Callable[[Any, Console], None]] = {
    page.Headline: draw_headline,
    page.Metrics: draw_metrics,
    page.Breakdown: draw_breakdown,
    page.Fill: draw_fill,
    page.SplitBars: draw_split_bars,
    page.Intervals: draw_intervals,
    page.Text: draw_text,
    page.Table: draw_table,
    page.HeatMap: draw_heat_map,
    page.Matrix: draw_matrix,
    page.Drawing: draw_drawing,
    page.Section: draw_section,
}
