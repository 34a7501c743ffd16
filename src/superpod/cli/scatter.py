"""Measured against predicted as one SVG drawing that stands alone: a colour and a mark a kind, lines at 20 %."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from superpod.validate.prediction import Prediction

SIDE, LEFT, TOP, LEGEND = 620, 70, 20, 46
WITHIN = 0.2
# Kind, colour (Okabe and Ito's, told apart by most eyes), mark.
LOOKS = (
    ("training", "#0072b2", "circle"),
    ("inference", "#d55e00", "triangle"),
    ("operator", "#009e73", "square"),
    ("collective", "#cc79a7", "diamond"),
)
MARKS = {"triangle": "M0,-4 L3.6,3 L-3.6,3 Z", "square": "M-3,-3 H3 V3 H-3 Z", "diamond": "M0,-4 L4,0 L0,4 L-4,0 Z"}
CSS = (
    "text{font:13px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}.equal{stroke:#333}"
    ".within{stroke:#888;stroke-dasharray:5 4}.paper{fill:#fff}"
)


def scatter(rows: Iterable[Prediction], title: str) -> str:
    """Return the drawing; rates stand as the time of one token, memory is left out."""
    points = [found for row in rows for found in _place(row)]
    low, high = _decades(points)
    parts = [f"<style>{CSS}</style>", f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>']
    parts += _grid(low, high)
    for kind, colour, mark in LOOKS:
        shape = MARKS.get(mark)
        for name, measured, predicted, label in points:
            if name == kind:
                x, y = _x(measured, low, high), _y(predicted, low, high)
                tip = f"<title>{escape(label)}</title>"
                body = f'<path d="{shape}">{tip}</path>' if shape else f'<circle r="3.2">{tip}</circle>'
                parts.append(f'<g transform="translate({x:.1f} {y:.1f})" fill="{colour}" fill-opacity="0.6">{body}</g>')
    parts += _legend(points)
    words = f"<title>{escape(title)}</title><desc>{len(points)} numbers, measured across, predicted up.</desc>"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{words}{"".join(parts)}</svg>\n'


WIDTH, HEIGHT = SIDE + LEFT + 20, SIDE + TOP + 44 + LEGEND


def _place(row: Prediction) -> list[tuple[str, float, float, str]]:
    """Return (kind, measured seconds, predicted seconds, words) of a time or a rate."""
    if not row.predicted or row.unit not in {"s", "token/s"}:
        return []
    turned = row.unit == "token/s"
    measured, predicted = (1.0 / value if turned else value for value in (row.measured, row.predicted))
    return [(row.kind, measured, predicted, f"{row.point}, {row.what}: {100 * row.error_frac:+.1f} %")]


def _decades(points: Sequence[tuple[str, float, float, str]]) -> tuple[int, int]:
    values = [math.log10(value) for _, measured, predicted, _ in points for value in (measured, predicted)]
    return (math.floor(min(values)), math.ceil(max(values))) if values else (-6, 2)


def _x(value: float, low: int, high: int) -> float:
    return LEFT + (math.log10(value) - low) / (high - low) * SIDE


def _y(value: float, low: int, high: int) -> float:
    return TOP + SIDE - (math.log10(value) - low) / (high - low) * SIDE


def _grid(low: int, high: int) -> list[str]:
    parts: list[str] = []
    for power in range(low, high + 1):
        x, y = _x(10.0**power, low, high), _y(10.0**power, low, high)
        parts.append(f'<path class="grid" d="M{x:.1f},{TOP} V{TOP + SIDE} M{LEFT},{y:.1f} H{LEFT + SIDE}"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP + SIDE + 18}" text-anchor="middle">{_seconds(power)}</text>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_seconds(power)}</text>')
    for factor, css in ((1.0, "equal"), (1.0 + WITHIN, "within"), (1.0 - WITHIN, "within")):
        shift = math.log10(factor) / (high - low) * SIDE
        start, end = TOP + SIDE - shift, TOP - shift
        parts.append(
            f'<path class="{css}" fill="none" d="M{LEFT},{start:.1f} L{LEFT + SIDE},{end:.1f}" clip-path="inset(0)"/>'
        )
    across = f'<text x="{LEFT + SIDE / 2:g}" y="{TOP + SIDE + 38}" text-anchor="middle">measured</text>'
    up = f'<text transform="translate(14 {TOP + SIDE / 2:g}) rotate(-90)" text-anchor="middle">predicted</text>'
    return [*parts, across, up]


def _seconds(power: int) -> str:
    """Return a power of ten as seconds.

    >>> _seconds(-5), _seconds(0)
    ('10 µs', '1 s')
    """
    for scale, unit in ((0, "s"), (-3, "ms"), (-6, "µs"), (-9, "ns")):
        if power >= scale:
            return f"{10 ** (power - scale):,} {unit}"
    return f"1e{power} s"


def _legend(points: Sequence[tuple[str, float, float, str]]) -> list[str]:
    parts: list[str] = []
    y = TOP + SIDE + 44 + LEGEND / 2
    for number, (kind, colour, mark) in enumerate(LOOKS):
        x = LEFT + number * 150
        shape = MARKS.get(mark)
        body = f'<path d="{shape}"/>' if shape else '<circle r="3.2"/>'
        count = sum(name == kind for name, *_ in points)
        parts.append(f'<g transform="translate({x} {y - 4:g})" fill="{colour}">{body}</g>')
        parts.append(f'<text x="{x + 10}" y="{y:g}">{kind} ({count})</text>')
    return parts
