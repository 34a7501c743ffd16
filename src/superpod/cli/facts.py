"""Facts of catalogue entries as table cells: nothing unpublished ever shows as a number of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from superpod.cli.page import Cell, Column, Table
from superpod.cli.wording import DASH, fact_text, scaled, span

if TYPE_CHECKING:
    from superpod.catalog.provenance import Fact, Source

NOT_PUBLISHED_BY_ANYONE = ("estimate", "assumed", "user")
ESTIMATE_SIGN = "~"
SHORT_NAMES = {
    "matrix_flop_per_s": "{} rate",
    "headline_flop_per_s": "{} headline rate",
    "capacity_bytes": "memory size",
    "memory_bytes": "memory size",
    "bandwidth_bytes_per_s": "bandwidth",
    "latency_s": "latency",
    "bisection_frac": "bisection",
    "typical_w": "typical power",
    "max_w": "maximum power",
    "usd": "price",
    "cabinets_count": "cabinets",
    "dies_count": "dies",
    "pods_max_count": "most pods",
}

# The same in one word, where a table has room for no more.
KINDS = {"matrix_flop_per_s": "rates", "headline_flop_per_s": "rates", "power": "power", "host": "host"}
LEAVES = {"bandwidth_bytes_per_s": "bandwidth", "latency_s": "latency", "bisection_frac": "bisection"}


def short_name(path: str) -> str:
    """Return a fact's path in a few words.

    >>> short_name("tiers.rack.latency_s"), short_name("matrix_flop_per_s.fp8")
    ('rack latency', 'fp8 rate')
    """
    parts = path.split(".")
    if len(parts) == 2 and "{}" in SHORT_NAMES.get(parts[0], ""):
        return SHORT_NAMES[parts[0]].format(parts[1])
    leaf = SHORT_NAMES.get(parts[-1], parts[-1].replace("_", " "))
    owner = {
        "tiers": parts[1] if len(parts) > 2 else "",
        "scale_out": "scale-out",
        "memory": "memory",
        "host": "host",
    }.get(parts[0], "")
    return leaf if not owner or leaf.startswith(owner) else f"{owner} {leaf}"


def unpublished(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """Return the short names of the numbers that nobody has published, in the order of the file."""
    return tuple(dict.fromkeys(short_name(path) for path, fact in facts.items() if fact.missing))


def kinds_unpublished(facts: Mapping[str, Fact], owner: str = "") -> tuple[str, ...]:
    """Return the kinds of numbers that nobody has published, for a table, such as bandwidth, latency and power."""
    paths = (path for path, fact in facts.items() if fact.missing)
    return tuple(
        dict.fromkeys(
            f"{owner}{KINDS.get(path.split('.')[0]) or LEAVES.get(path.split('.')[-1]) or short_name(path)}"
            for path in paths
        )
    )


def cell(value: float | None, fact: Fact | None, scale: float, times: float = 1.0) -> str:
    """Return a catalogue number for a column: a dash where unpublished, `no` where unsupported, ~ for an estimate."""
    if fact is not None and fact.unsupported:
        return "no"
    text = scaled(None if value is None else value * times, scale)
    return f"{ESTIMATE_SIGN}{text}" if value is not None and fact is not None and fact.kind == "estimate" else text


FACT_COLUMNS = (
    Column(label="fact"),
    Column(label="value", right=True),
    Column(label="range", drop=2),
    Column(label="kind", drop=1),
    Column(label="source", wraps=True),
    Column(label="note", wraps=True, drop=3),
)


NARROW_COLUMNS = (*FACT_COLUMNS[:4], Column(label="source; note", wraps=True))


def facts_table(
    title: str, facts: Iterable[tuple[str, Fact]], sources: Mapping[str, Source], *, full: bool = True
) -> Table:
    """Return the facts with value, range, kind, source and note; the terminal has one column for the last two."""
    rows = [fact_row(where, fact, sources) for where, fact in facts]
    if full:
        return Table(title=title, columns=FACT_COLUMNS, rows=tuple(rows))
    narrow = tuple((*row[:4], joined(row[4], row[5])) for row in rows)
    return Table(title=title, columns=NARROW_COLUMNS, rows=narrow)


def joined(*cells: Cell | str) -> str:
    """Return the texts of cells that say something."""
    texts = (item if isinstance(item, str) else item.text for item in cells)
    return "; ".join(text for text in texts if text not in {"", DASH})


def fact_row(where: str, fact: Fact, sources: Mapping[str, Source]) -> tuple[Cell | str, ...]:
    """Return one fact; what nobody has published shows its estimate beside the dash."""
    note = "; ".join(
        text for text in (fact.note, fact.basis, f"conflict: {fact.conflict}" if fact.conflict else "") if text
    )
    if fact.value is None:
        return (where, DASH, DASH, absence(fact), source_cell(fact.source, sources), missing_note(where, fact, note))
    kind = Cell(text=fact.kind or DASH, tone="warn" if fact.kind in NOT_PUBLISHED_BY_ANYONE else "plain")
    return (
        where,
        fact_text(where, fact.value),
        span(where, fact.low, fact.high),
        kind,
        source_cell(fact.source, sources),
        note,
    )


def absence(fact: Fact) -> Cell:
    """Return why a fact has no value."""
    return Cell(text="unsupported", tone="faint") if fact.unsupported else Cell(text="not published", tone="warn")


def missing_note(where: str, fact: Fact, note: str) -> str:
    """Return the note of a missing fact with the estimate that --estimates would use."""
    guess = fact.estimate
    if guess is None:
        return note
    around = f" ({span(where, guess.low, guess.high)})" if guess.low is not None or guess.high is not None else ""
    return f"{note + '; ' if note else ''}estimate {fact_text(where, guess.value)}{around}: {guess.basis}"


def source_cell(name: str, sources: Mapping[str, Source]) -> Cell | str:
    """Return a source's title with its date and address; its id where the catalogue does not list it."""
    if not name:
        return DASH
    source = sources.get(name)
    if source is None:
        return name
    dated = f"{source.title}, {source.date}" if source.date and source.date not in source.title else source.title
    return Cell(text=dated, url=source.url)
