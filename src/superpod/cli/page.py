"""What an answer shows, said once: blocks that `tables` draws in a terminal and `html` in a browser.

Every number in a block is already text; the only bare numbers are shares and positions that a drawing needs.
"""

from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["plain", "good", "warn", "bad", "faint", "strong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A table cell that is more than text: a tone (never the only carrier of meaning) or an address."""

    text: str
    tone: Tone = "plain"
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A table column.

    `wraps` lets it fold, `cuts` lets a terminal cut it to one line; a narrow terminal leaves out the columns with the
    highest `drop` first.
    """

    label: str
    right: bool = False
    wraps: bool = False
    cuts: bool = False
    drop: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under columns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    footnotes: tuple[str, ...] = ()
    compact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Paragraphs, or a list where `bullets` is set; `cuts` lets a terminal cut the items to one line each."""

    title: str
    lines: tuple[str, ...]
    bullets: bool = False
    tone: Tone = "plain"
    cuts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The number that the question asked for, between its low and its high."""

    label: str
    text: str
    low_text: str
    high_text: str
    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Named numbers: (label, text) pairs."""

    title: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a whole. `hue` numbers its colour, so that equal names look alike in all charts of a page."""

    label: str
    share: float
    text: str
    group: str = ""
    hue: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Where the time of one step goes, or another `quantity`."""

    title: str
    total_text: str
    segments: tuple[Segment, ...]
    quantity: str = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What a memory holds, as shares of its capacity (of the whole where the capacity is not known)."""

    title: str
    text: str
    segments: tuple[Segment, ...]
    has_capacity: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitBar:
    """One machine of a comparison: what a card reaches, and what its chip would reach under a perfect fabric."""

    label: str
    reached: float
    ideal: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitBars:
    """Machines side by side on one scale."""

    title: str
    bars: tuple[SplitBar, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value between its low and its high."""

    label: str
    low: float
    value: float
    high: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Values with their bands on one scale that starts at zero."""

    title: str
    rows: tuple[Interval, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """A row of shares from 0 to 1, each drawn as a cell; its texts say the least, the middle and the most of them."""

    label: str
    cells: tuple[float, ...]
    least_text: str
    middle_text: str
    most_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Rows of cells on one scale from 0 to 1."""

    title: str
    rows: tuple[HeatRow, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Who sends what to whom: shares of the largest entry, row = source; `most_text` says how much that is."""

    title: str
    cells: tuple[tuple[float, ...], ...]
    most_text: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A picture of its own as SVG; a terminal says that HTML shows it."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page with its own heading; a `folded` one opens on demand."""

    title: str
    blocks: tuple["Block", ...]
    folded: bool = False


Block = (
    Table | Text | Headline | Metrics | Breakdown | Fill | SplitBars | Intervals | HeatMap | Matrix | Drawing | Section
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer."""

    title: str
    subtitle: str
    blocks: tuple[Block, ...]
    footer: str = ""
    badges: tuple[Cell, ...] = field(default_factory=tuple)
