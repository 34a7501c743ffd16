"""Pages as one HTML file that needs no network, no script and no second file."""

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from superpod.cli import charts, page
from superpod.cli.page import Block, Cell, Column, Page
from superpod.units import percent

STYLE = Path(__file__).with_name("report.css")
WIDE_COLUMNS = 8
ADDRESS = re.compile(r"https?://\S+")


def render(content: Page, command: str = "") -> str:
    """Return a page as a whole HTML document; `command` says how to make it again."""
    badges = "".join(f'<span class="badge {badge.tone}">{escape(badge.text)}</span>' for badge in content.badges)
    made = [escape(content.footer)] if content.footer else []
    made += [f"<code>{escape(command)}</code>"] if command else []
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(content.title)}</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>",
            "</head>",
            "<body>",
            '<main class="wide">' if is_wide(content.blocks) else "<main>",
            f"<header><h1>{escape(content.title)}{badges}</h1>",
            f'<p class="subtitle">{escape(content.subtitle)}</p></header>',
            cards(content.blocks),
            f"<footer>{' · '.join(made)}</footer>",
            "</main>",
            "</body>",
            "</html>",
            "",
        )
    )


def is_wide(blocks: Sequence[Block]) -> bool:
    """Return whether a page has a table of many columns."""
    return any(isinstance(block, page.Table) and len(block.columns) >= WIDE_COLUMNS for block in blocks)


def cards(blocks: Sequence[Block]) -> str:
    """Return top-level blocks on cards: what comes before the first section shares one, each section has its own."""
    first = [block for block in blocks if not isinstance(block, page.Section)]
    sections = [section(block) for block in blocks if isinstance(block, page.Section)]
    opening = [f'<div class="card">\n{inner(first)}\n</div>'] if first else []
    return "\n".join([*opening, *sections])


def section(block: page.Section) -> str:
    """Return a section as a card, or as one that opens on demand."""
    body = inner(block.blocks)
    if block.folded:
        return f"<details><summary>{escape(block.title)}</summary>\n{body}\n</details>"
    return f'<section class="card"><h2>{escape(block.title)}</h2>\n{body}\n</section>'


def inner(blocks: Sequence[Block]) -> str:
    """Return blocks below each other."""
    return "\n".join(f'<div class="block">{WRITERS[type(block)](block)}</div>' for block in blocks)


def headline(block: page.Headline) -> str:
    """Return the number, large, beside its band."""
    number = f'<div><div class="label">{escape(block.label)}</div><div class="number">{escape(block.text)}</div>'
    between = f'<div class="label">between {escape(block.low_text)} and {escape(block.high_text)}</div></div>'
    return f'<div class="headline">{number}{between}<div class="chart">{charts.band(block)}</div></div>'


def metrics(block: page.Metrics) -> str:
    """Return named numbers as a grid."""
    items = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in block.items)
    return f'{heading(block.title)}<dl class="metrics">{items}</dl>'


def breakdown(block: page.Breakdown) -> str:
    """Return the bar of a whole and the table of its parts."""
    title = f"{block.title}: {block.total_text}"
    grouped = any(item.group for item in block.segments)
    columns = (
        Column(label="part"),
        *((Column(label="of"),) if grouped else ()),
        Column(label=block.quantity, right=True),
        Column(label="share", right=True),
    )
    head = "".join(header(column) for column in columns)
    rows = "".join(
        f'<tr><th scope="row">{key(item.hue)}{escape(item.label)}</th>'
        + (f"<td>{escape(item.group)}</td>" if grouped else "")
        + f'<td class="right">{escape(item.text)}</td><td class="right">{percent(item.share)}</td></tr>'
        for item in block.segments
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"{heading(title)}{charts.stacked_bar(title, block.segments)}{table}"


def fill(block: page.Fill) -> str:
    """Return a memory's bar against its capacity, and its parts."""
    title = f"{block.title}: {block.text}"
    items = "".join(f"<li>{key(item.hue)}{escape(item.label)} {escape(item.text)}</li>" for item in block.segments)
    free = '<li><span class="key" style="background:var(--spare)"></span>free</li>' if block.has_capacity else ""
    bar = charts.stacked_bar(title, block.segments, has_spare=block.has_capacity)
    return f'{heading(title)}{bar}<ul class="legend">{items}{free}</ul>'


def split_bars(block: page.SplitBars) -> str:
    """Return machines side by side."""
    return f"{heading(block.title)}{charts.split_bars(block.title, block.bars)}{footnotes((block.note,))}"


def intervals(block: page.Intervals) -> str:
    """Return values with their bands."""
    return f"{heading(block.title)}{charts.intervals(block.title, block.rows)}{footnotes((block.note,))}"


def heat_map(block: page.HeatMap) -> str:
    """Return rows of cells on one scale."""
    return f"{heading(block.title)}{charts.heat_map(block.title, block.rows)}{footnotes((block.note,))}"


def matrix(block: page.Matrix) -> str:
    """Return who sends what to whom."""
    return f"{heading(block.title)}{charts.matrix(block)}{footnotes((block.note,))}"


def drawing(block: page.Drawing) -> str:
    """Return a picture."""
    return f"{heading(block.title)}{block.svg}"


def text(block: page.Text) -> str:
    """Return paragraphs or a list."""
    if block.bullets:
        items = "".join(f"<li>{escape(line)}</li>" for line in block.lines)
        return f'{heading(block.title)}<ul class="{block.tone}">{items}</ul>'
    paragraphs = "".join(f'<p class="{block.tone}">{escape(line)}</p>' for line in block.lines)
    return heading(block.title) + paragraphs


def table(block: page.Table) -> str:
    """Return a table whose first column names its rows."""
    head = "" if block.compact else f"<thead><tr>{''.join(header(column) for column in block.columns)}</tr></thead>"
    body = "".join(table_row(row, block.columns) for row in block.rows)
    css = ' class="compact"' if block.compact else ""
    drawn = f'<div class="scroll"><table{css}>{head}<tbody>{body}</tbody></table></div>'
    return f"{heading(block.title)}{drawn}{footnotes(block.footnotes)}"


def table_row(row: Sequence[Cell | str], columns: Sequence[Column]) -> str:
    """Return a row; its first cell names it."""
    pairs = zip(row, columns, strict=True)
    return f"<tr>{''.join(cell(item, column, place == 0) for place, (item, column) in enumerate(pairs))}</tr>"


def header(column: Column) -> str:
    """Return a column's heading."""
    names = [name for name, wanted in (("right", column.right), ("wraps", column.wraps)) if wanted]
    css = f' class="{" ".join(names)}"' if names else ""
    return f'<th scope="col"{css}>{escape(column.label)}</th>'


def cell(item: Cell | str, column: Column, names_row: bool) -> str:
    """Return a cell; a source shows its title as a link and its address in words."""
    content = item if isinstance(item, Cell) else Cell(text=item)
    classes: list[str] = [content.tone] if content.tone != "plain" else []
    classes += [name for name, wanted in (("right", column.right), ("wraps", column.wraps)) if wanted]
    css = f' class="{" ".join(classes)}"' if classes else ""
    body = anchor(content) if content.url else escape(content.text)
    return f'<th scope="row"{css}>{body}</th>' if names_row else f"<td{css}>{body}</td>"


def anchor(content: Cell) -> str:
    """Return a link with its address in words; anything that is not a web address stays text."""
    address = escape(content.url)
    if not ADDRESS.fullmatch(content.url):
        return f'{escape(content.text)}<span class="address">{address}</span>'
    link = f'<a href="{address}">{escape(content.text)}</a>'
    return link if content.text == content.url else f'{link}<span class="address">{address}</span>'


def heading(title: str) -> str:
    """Return a block's heading, where it has one."""
    return f"<h3>{escape(title)}</h3>" if title else ""


def footnotes(lines: Sequence[str]) -> str:
    """Return small print."""
    return "".join(f'<p class="footnote">{escape(line)}</p>' for line in lines if line)


def key(hue: int) -> str:
    """Return the coloured square of a legend."""
    return f'<span class="key {charts.hue_class(hue)}"></span>'


WRITERS: dict[type[Any], Callable[[Any], str]] = {
    page.Headline: headline,
    page.Metrics: metrics,
    page.Breakdown: breakdown,
    page.Fill: fill,
    page.SplitBars: split_bars,
    page.Intervals: intervals,
    page.Text: text,
    page.Table: table,
    page.HeatMap: heat_map,
    page.Matrix: matrix,
    page.Drawing: drawing,
    page.Section: section,
}
