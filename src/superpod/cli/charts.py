"""Inline SVG charts: no script, no outside address, a title and a description in each."""

from collections.abc import Sequence
from html import escape

from superpod.cli.page import Headline, HeatMap, HeatRow, Interval, Matrix, Segment, SplitBar

WIDTH = 1000
GAP = 1.5
HUES_COUNT = 8
LABEL_WIDTH = 310
TEXT_WIDTH = 190
ROW_HEIGHT = 30
LABEL_LETTERS = 40
# From light to dark in even steps of lightness (CIE L* 95 to 15), so that a print in grey says the same.
RAMP = ("#f7f1d5", "#d9e3b0", "#a8d1a3", "#6cbb9f", "#3aa0a0", "#21819b", "#1f6190", "#24407b", "#1d2153")
UNUSED = "#dcdfe3"
SHADES = 64
HEAT_LABEL_WIDTH = 270
HEAT_TEXT_WIDTH = 210
HEAT_ROW_HEIGHT = 24
HEAT_HEAD = 24
HEAT_FOOT = 48
MATRIX_SIDE = 460


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


def heat_map(title: str, rows: Sequence[HeatRow]) -> str:
    """Return rows of cells, the darker the fuller, each row with its least, median and most in words."""
    room = WIDTH - HEAT_LABEL_WIDTH - HEAT_TEXT_WIDTH
    parts = [
        words(WIDTH - 140, 14, "least", "soft", "end"),
        words(WIDTH - 70, 14, "median", "soft", "end"),
        words(WIDTH, 14, "most", "soft", "end"),
    ]
    for number, row in enumerate(rows):
        top = HEAT_HEAD + number * HEAT_ROW_HEIGHT
        parts.append(words(0, top + 15, shortened(row.label, LABEL_LETTERS)))
        width, height = room / len(row.cells), HEAT_ROW_HEIGHT - 4
        for first, last, shade in runs(row.cells):
            tip = f"{row.label}: {100 * row.cells[first]:.0f} %"
            parts.append(cell(HEAT_LABEL_WIDTH + first * width, top, (last - first) * width, height, shade, tip))
        for place, text in ((140, row.least_text), (70, row.middle_text), (0, row.most_text)):
            parts.append(words(WIDTH - place, top + 15, text, anchor="end"))
    bottom = HEAT_HEAD + len(rows) * HEAT_ROW_HEIGHT
    parts.append(scale(HEAT_LABEL_WIDTH, bottom + 8, room, "0 %", "100 % of what the link can carry"))
    said = "; ".join(f"{row.label} {row.least_text} to {row.most_text}, median {row.middle_text}" for row in rows)
    return drawing(bottom + HEAT_FOOT, title, said, parts)


def matrix(block: Matrix) -> str:
    """Return a square of cells, row = source, the darker the more bytes."""
    side = MATRIX_SIDE / len(block.cells)
    left, top = 70, HEAT_HEAD
    parts = [words(left, 14, "to rank 0 …", "soft"), words(left - 8, top + 14, "from 0", "soft", "end")]
    for number, row in enumerate(block.cells):
        for first, last, shade in runs(row):
            parts.append(cell(left + first * side, top + number * side, (last - first) * side, side, shade))
    parts.append(scale(left, top + MATRIX_SIDE + 10, MATRIX_SIDE, "0", block.most_text))
    return drawing(top + MATRIX_SIDE + HEAT_FOOT, block.title, f"at most {block.most_text} between two", parts)


def height_of(block: HeatMap | Matrix) -> float:
    """Return the height of a map's drawing."""
    inside = MATRIX_SIDE if isinstance(block, Matrix) else len(block.rows) * HEAT_ROW_HEIGHT
    return HEAT_HEAD + inside + HEAT_FOOT


def scale(left: float, top: float, width: float, least: str, most: str) -> str:
    """Return the colours from nothing to all, with their ends in words."""
    step = width / SHADES
    shades = [cell(left + number * step, top, step, 12, colour((number + 0.5) / SHADES)) for number in range(SHADES)]
    ends = words(left, top + 28, least, "soft") + words(left + width, top + 28, most, "soft", "end")
    return "".join(shades) + ends


def runs(cells: Sequence[float]) -> list[tuple[int, int, str]]:
    """Return (first, last + 1, colour) of neighbours that look alike.

    >>> [(first, last) for first, last, _ in runs((0.5, 0.5, 1.0))]
    [(0, 2), (2, 3)]
    """
    found: list[tuple[int, int, str]] = []
    for place, share in enumerate(cells):
        shade = colour(share)
        if found and found[-1][2] == shade:
            found[-1] = (found[-1][0], place + 1, shade)
        else:
            found.append((place, place + 1, shade))
    return found


def colour(share: float) -> str:
    """Return the colour of a share from 0 to 1; what is not used at all is grey.

    >>> colour(0.0), colour(1.0)
    ('#dcdfe3', '#1d2153')
    """
    if share <= 0:
        return UNUSED
    place = round(min(share, 1.0) * SHADES) / SHADES * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    ends = [[int(RAMP[end][start : start + 2], 16) for start in (1, 3, 5)] for end in (low, low + 1)]
    mixed = [round(one + (other - one) * (place - low)) for one, other in zip(*ends, strict=True)]
    return f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def cell(x: float, y: float, width: float, height: float, fill: str, tip: str = "") -> str:
    """Return a cell of a heat map; its colour stands in it, so that it is the same wherever the picture goes."""
    hover = f"<title>{escape(tip)}</title>" if tip else ""
    size = f'x="{x:.2f}" y="{y:.2f}" width="{width + 0.2:.2f}" height="{height:.2f}"'
    return f'<rect fill="{fill}" {size}>{hover}</rect>' if hover else f'<rect fill="{fill}" {size}/>'


def shortened(text: str, most: int) -> str:
    """Return text that fits its place; the start of a long path says less than its end."""
    if len(text) <= most:
        return text
    return f"…{text[1 - most :]}" if ":" in text else f"{text[: most - 1]}…"
