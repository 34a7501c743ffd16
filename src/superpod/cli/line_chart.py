"""Lines over a scale, as inline SVG: time series, distributions, and one number against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from superpod.cli.charts import WIDTH, drawing, words

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 250, 88, 16, 30, 44
TICKS = 5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
HUES = ("--hue-0", "--hue-2", "--hue-1", "--hue-4", "--hue-3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points (x, y) joined by a line, in order of x; `dots` marks each with a text under the pointer."""

    label: str
    points: tuple[tuple[float, float], ...]
    dots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From least to most, in a unit that its texts say; logarithmic where that is asked for."""

    label: str
    least: float
    most: float
    log: bool = False
    shift: float = 1.0

    def part(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        if self.log:
            low, high = math.log(self.least), math.log(self.most)
            return (math.log(max(value, self.least)) - low) / ((high - low) or 1.0)
        return (value - self.least) / ((self.most - self.least) or 1.0)

    def ticks(self) -> list[float]:
        """Return round values between the ends."""
        if self.log:
            first, last = math.floor(math.log10(self.least)), math.ceil(math.log10(self.most))
            found = [float(10.0**power) for power in range(first, last + 1)]
            if len(found) < 4:
                found = [value * factor for value in found for factor in (1.0, 2.0, 5.0)]
        else:
            found = even(self.least, self.most)
        return [value for value in found if self.least * (1 - 1e-9) <= value <= self.most * (1 + 1e-9)]


def even(least: float, most: float) -> list[float]:
    """Return about five round values.

    >>> even(0.0, 47.0)
    [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    rough = (most - least) / TICKS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in STEPS if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(least / step - 1e-9)
    return [place * step for place in range(first, math.floor(most / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """Return a value beside an axis.

    >>> tick_text(0.25), tick_text(20000.0)
    ('0.25', '20,000')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def line_chart(
    title: str, lines: Sequence[Line], across: Scale, up: Scale, marks: Sequence[tuple[str, float]] = ()
) -> str:
    """Return lines over a scale; `marks` are heights that a dashed line shows, such as targets."""
    room, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = grid(across, up, room, height)
    for name, value in marks:
        if up.least <= value <= up.most:
            y = TOP + height * (1.0 - up.part(value))
            parts.append(
                f'<line x1="{LEFT}" x2="{LEFT + room}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--bad)" '
                f'stroke-dasharray="5 4"/>'
            )
            parts.append(words(LEFT + 6, y - 4, name, "soft"))
    for number, line in enumerate(lines):
        hue = HUES[number % len(HUES)]
        places = [(LEFT + room * across.part(x), TOP + height * (1.0 - up.part(y))) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="var({hue})" stroke-width="2"/>')
        for (x, y), tip in zip(places, line.dots, strict=False):
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="var({hue})"><title>{escape(tip)}</title></circle>'
            )
    parts += legend(lines)
    said = "; ".join(f"{line.label}: {len(line.points)} points" for line in lines)
    return drawing(HEIGHT, title, said, parts)


def grid(across: Scale, up: Scale, room: float, height: float) -> list[str]:
    """Return both axes with their ticks and names."""
    parts = []
    for value in up.ticks():
        y = TOP + height * (1.0 - up.part(value))
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT + room}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(words(LEFT - 8, y + 4, tick_text(value), "soft", "end"))
    for value in across.ticks():
        x = LEFT + room * across.part(value)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + height}"/>')
        parts.append(words(x, TOP + height + 17, tick_text(value), "soft", "middle"))
    parts.append(words(LEFT + room, TOP + height + 36, across.label, "soft", "end"))
    parts.append(words(0, 14, up.label, "soft"))
    return parts


def legend(lines: Sequence[Line]) -> list[str]:
    """Return the names of lines, where there are several."""
    if len(lines) < 2:
        return []
    parts, x = [], float(WIDTH - RIGHT)
    for number in reversed(range(len(lines))):
        label = lines[number].label
        parts.append(words(x, 14, label, anchor="end"))
        x -= 7.0 * len(label) + 22
        parts.append(f'<rect x="{x:.1f}" y="5" width="11" height="11" rx="3" fill="var({HUES[number % len(HUES)]})"/>')
        x -= 16
    return parts
