"""Inline SVG charts: no script, no outside address, a title and a description in each."""

from collections.abc import Sequence
from html import escape

from superpod.cli.page import Headline, Interval, Segment, SplitBar

WIDTH = 1000
GAP = 1.5
HUES_COUNT = 8
LABEL_WIDTH = 310
TEXT_WIDTH = 190
ROW_HEIGHT = 30
LABEL_LETTERS = 40


def hue_class(number: int) -> str:
    """Return the CSS classes of a segment: eight colours, then the same in a second shade."""
    if number < 0:
        return "rest"
    return f"h{number % HUES_COUNT}" + (" second" if number // HUES_COUNT % 2 else "")


def drawing(height: float, title: str, description: str, parts: Sequence[str], width: int = WIDTH) -> str:
    """Return one SVG element that says in words what it shows."""
    body = "".join(parts)
    words = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return f'<svg role="img" viewBox="0 0 {width} {height:g}" preserveAspectRatio="xMinYMid meet">{words}{body}</svg>'


def rectangle(x: float, y: float, width: float, height: float, css: str, tip: str = "") -> str:
    """Return a bar; `tip` shows under the pointer."""
    hover = f"<title>{escape(tip)}</title>" if tip else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:g}"'
    return f'<rect class="{css}" {size} rx="2">{hover}</rect>'


def words(x: float, y: float, text: str, css: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(text)}</text>'


def stacked_bar(title: str, segments: Sequence[Segment], *, has_spare: bool = False) -> str:
    """Return parts of a whole as one bar; with `has_spare` what they leave free shows as an empty end."""
    height = 34
    positive = [item for item in segments if item.share > 0]
    whole = max(1.0, sum(item.share for item in positive))
    parts = [rectangle(0, 0, WIDTH, height, "spare", "free")] if has_spare else []
    place = 0.0
    for item in positive:
        width = item.share / whole * WIDTH
        tip = f"{item.label}: {item.text}, {100 * item.share:.1f} %"
        parts.append(rectangle(place, 0, width - (GAP if width > 2 * GAP else 0), height, hue_class(item.hue), tip))
        place += width
    if has_spare and whole > 1.0:
        edge = WIDTH / whole
        parts.append(
            f'<line class="band" x1="{edge:.1f}" x2="{edge:.1f}" y1="0" y2="{height}"><title>capacity</title></line>'
        )
    said = ", ".join(f"{item.label} {100 * item.share:.1f} %" for item in segments)
    return drawing(height, title, said, parts)


def band(item: Headline) -> str:
    """Return the headline's interval on a scale that starts at zero."""
    width, height = 420, 58
    largest = max(item.high, item.value, 0.0) or 1.0
    left, right = (max(0.0, value) / largest * (width - 20) + 10 for value in (item.low, item.high))
    dot = max(0.0, item.value) / largest * (width - 20) + 10
    apart = right - left > 150
    low_place = (left, "middle" if left > 60 else "start") if apart else (left, "end" if left > 100 else "start")
    parts = [
        f'<line class="axis" x1="10" x2="{width - 10}" y1="22" y2="22"/>',
        f'<line class="band" x1="{left:.1f}" x2="{right:.1f}" y1="22" y2="22"/>',
        f'<circle class="dot" cx="{dot:.1f}" cy="22" r="7"/>',
        words(10, 48, "0", "soft"),
        words(low_place[0], 48, item.low_text, "soft", low_place[1]) if left > 40 else "",
        words(width - 4, 48 if apart or left <= 40 else 10, item.high_text, "soft", "end"),
    ]
    return drawing(height, f"{item.label}: {item.text}", f"between {item.low_text} and {item.high_text}", parts, width)


def intervals(title: str, rows: Sequence[Interval]) -> str:
    """Return values with their bands, one below the other, on one scale that holds zero."""
    least = min([0.0, *(row.low for row in rows)])
    most = max([0.0, *(row.high for row in rows)])
    reach = (most - least) or 1.0
    room = WIDTH - LABEL_WIDTH - TEXT_WIDTH
    height = len(rows) * ROW_HEIGHT + 4
    zero = LABEL_WIDTH - least / reach * room
    parts = [f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height}"/>']
    for number, row in enumerate(rows):
        middle = number * ROW_HEIGHT + ROW_HEIGHT / 2
        low, value, high = (zero + place / reach * room for place in (row.low, row.value, row.high))
        tip = escape(f"{row.label}: {row.text}")
        parts.append(words(0, middle + 5, shortened(row.label, LABEL_LETTERS)))
        parts.append(f'<line class="band" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:g}" y2="{middle:g}"/>')
        parts.append(f'<circle class="dot" cx="{value:.1f}" cy="{middle:g}" r="6"><title>{tip}</title></circle>')
        parts.append(words(WIDTH, middle + 5, row.text, anchor="end"))
    said = "; ".join(f"{row.label} {row.text}" for row in rows)
    return drawing(height, title or "Values with their bands", said, parts)


def split_bars(title: str, bars: Sequence[SplitBar]) -> str:
    """Return what each machine's card reaches, before the pale bar of its chip under a perfect fabric."""
    largest = max((max(bar.reached, bar.ideal) for bar in bars), default=1.0) or 1.0
    room = WIDTH - LABEL_WIDTH - TEXT_WIDTH
    parts: list[str] = []
    for number, bar in enumerate(bars):
        top = number * (ROW_HEIGHT + 6)
        tip = f"{bar.label}: {bar.text}"
        parts.append(words(0, top + 20, shortened(bar.label, LABEL_LETTERS)))
        parts.append(rectangle(LABEL_WIDTH, top + 2, bar.ideal / largest * room, 26, "ideal", tip))
        parts.append(rectangle(LABEL_WIDTH, top + 6, bar.reached / largest * room, 18, "h0", tip))
        parts.append(words(WIDTH, top + 20, bar.text, anchor="end"))
    said = "; ".join(f"{bar.label}: {bar.text}" for bar in bars)
    return drawing(len(bars) * (ROW_HEIGHT + 6), title, said, parts)


def shortened(text: str, most: int) -> str:
    """Return text that fits its place; the start of a long path says less than its end."""
    if len(text) <= most:
        return text
    return f"…{text[1 - most :]}" if ":" in text else f"{text[: most - 1]}…"
