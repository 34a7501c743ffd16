"""How full links are, as a file of its own: SVG, HTML or PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from superpod.cli import charts, page
from superpod.cli.fabric_page import heat_block, traffic_blocks

if TYPE_CHECKING:
    from superpod.plan.fabric.result import FabricReport

STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:#16202c}"
    "text.soft{fill:#56657a}text.title{font-weight:600;font-size:16px}"
)
MARGIN = 20
TITLE_HEIGHT = 26


def blocks(report: FabricReport) -> list[page.HeatMap | page.Matrix]:
    """Return every map of a report, and its traffic matrix."""
    made: list[page.HeatMap | page.Matrix] = [heat_block(item) for item in report.maps]
    if report.traffic is not None:
        made += [block for block in traffic_blocks(report.traffic) if isinstance(block, page.Matrix)]
    return made


def drawn_map(report: FabricReport, path: Path, command: str) -> str | bytes:
    """Return the maps of a report in the format of the file's name."""
    ending = path.suffix.lower()
    title = f"{report.name}: how full the links are"
    if ending == ".png":
        from superpod.cli.heat_map_png import picture

        return picture(title, blocks(report))
    if ending == ".svg":
        return svg(title, blocks(report))
    from superpod.cli.html import render

    whole = page.Page(title=title, subtitle=report.question, blocks=tuple(blocks(report)))
    return render(whole, command)


def svg(title: str, made: list[page.HeatMap | page.Matrix]) -> str:
    """Return the maps below each other as one SVG picture that needs nothing from outside."""
    parts = [charts.words(MARGIN, MARGIN + 8, title, "title")]
    top = float(MARGIN + TITLE_HEIGHT)
    for block in made:
        drawn = charts.matrix(block) if isinstance(block, page.Matrix) else charts.heat_map(block.title, block.rows)
        height = charts.height_of(block)
        parts.append(charts.words(MARGIN, top + 14, block.title))
        place = f'x="{MARGIN}" y="{top + TITLE_HEIGHT:g}" width="{charts.WIDTH}" height="{height:g}"'
        parts.append(drawn.replace("<svg ", f"<svg {place} ", 1))
        top += TITLE_HEIGHT + height + MARGIN
    width = charts.WIDTH + 2 * MARGIN
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top:g}" width="{width}" height="{top:g}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#ffffff"/>{body}</svg>\n'
    )
