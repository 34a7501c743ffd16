"""The scorecard as a page for terminal and browser."""

from collections.abc import Sequence

from superpod.cli.page import Block, Cell, Column, Drawing, Page, Section, Table, Text
from superpod.cli.scatter import scatter
from superpod.cli.wording import DASH, quantity
from superpod.units import percent
from superpod.validate.bands import misses
from superpod.validate.excess import ERROR, GONE, MEDIAN, NO_LIMIT, NUMBERS, P90, Excess
from superpod.validate.floors import Floor
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import Order, Ranking
from superpod.validate.scorecard import Scorecard
from superpod.validate.statistics import Coverage, Summary

ERRORS = (
    Column(label="kind"),
    Column(label="of", wraps=True),
    Column(label="numbers", right=True),
    Column(label="median", right=True),
    Column(label="P90", right=True),
    Column(label="P90, factor", right=True, drop=6),
    Column(label="signed", right=True, drop=2),
    Column(label="≤ 10 %", right=True, drop=4),
    Column(label="≤ 20 %", right=True),
    Column(label="covered", right=True, drop=1),
    Column(label="worst", right=True, drop=3),
    Column(label="worst point", cuts=True, drop=5),
)
TALLIES = (
    Column(label="kind"),
    Column(label="source", wraps=True),
    Column(label="points", right=True),
    Column(label="predicted", right=True),
    Column(label="not predicted", right=True),
    Column(label="of them incomplete", right=True, drop=1),
)
POINTS = (
    Column(label="point", wraps=True),
    Column(label="of"),
    Column(label="measured", right=True),
    Column(label="predicted", right=True),
    Column(label="error", right=True),
    Column(label="band", right=True, drop=1),
    Column(label="assumes", wraps=True, drop=2),
)


def scorecard_page(card: Scorecard, what: str, *, full: bool) -> Page:
    """Return the page: sums and limits in a terminal, with `full` also every ranking, peer, reason and point."""
    blocks: list[Block] = [
        tallies_table(card),
        errors_table("By kind", card.kinds),
        errors_table("By source", card.sources),
        errors_table("By chip", card.chips),
        *coverage_blocks(card.coverages),
        *floor_blocks(card.floors),
        *ranking_blocks(card.rankings),
        *order_blocks(card.orders),
        *excess_blocks(card.exceeded),
        points_table("Furthest off", card.worst),
    ]
    if full:
        blocks += [
            Drawing(title="Measured and predicted", svg=scatter(card.predictions, "Measured and predicted")),
            peers_table(card),
            Section(
                title="Points without a prediction",
                folded=True,
                blocks=(Text(title="", lines=reasons(card), bullets=True),),
            ),
            Section(
                title="Every number",
                folded=True,
                blocks=(points_table("", [row for row in card.predictions if row.predicted is not None]),),
            ),
        ]
    elif card.reasons:
        blocks.append(Text(title="Points without a prediction", lines=reasons(card)[:8], bullets=True, cuts=True))
    said = counted(card.points_count, card.complete_count, card.predicted_count)
    return Page(title=f"Predictions against {what}", subtitle=said, blocks=tuple(blocks))


def counted(points_count: int, complete_count: int, predicted_count: int) -> str:
    """Return how many points are predicted, in words.

    >>> counted(1575, 961, 948)
    '948 of 961 complete points predicted; 614 incomplete'
    """
    words = f"{predicted_count:,} of {complete_count:,} complete points predicted"
    incomplete = points_count - complete_count
    return f"{words}; {incomplete:,} incomplete" if incomplete else words


def tallies_table(card: Scorecard) -> Table:
    """Return how many points of each kind and source are predicted."""
    rows = tuple(
        (
            item.kind,
            item.source,
            f"{item.points_count:,}",
            f"{item.predicted_count:,}",
            f"{item.refused_count:,}",
            f"{item.incomplete_count:,}",
        )
        for item in card.tallies
    )
    return Table(title="Points", columns=TALLIES, rows=rows)


def errors_table(title: str, groups: Sequence[Summary]) -> Table:
    """Return errors by group."""
    return Table(title=title, columns=ERRORS, rows=tuple(error_row(group) for group in groups))


def error_row(group: Summary) -> tuple[Cell | str, ...]:
    """Return one group's errors."""
    return (
        group.kind,
        group.name,
        f"{group.count:,}",
        share(group.median),
        share(group.p90),
        times(group.factor_p90),
        signed(group.signed_median),
        share(group.within_10_frac),
        share(group.within_20_frac),
        share(group.covered_frac),
        signed(group.worst_error),
        group.worst_point or DASH,
    )


def coverage_blocks(found: Sequence[Coverage]) -> list[Block]:
    """Return how often measured numbers lie inside their bands, by quantity."""
    columns = (
        Column(label="kind"),
        Column(label="of", wraps=True),
        Column(label="numbers", right=True),
        Column(label="covered", right=True),
        Column(label="target 70 to 90 %"),
    )
    rows = tuple(
        (item.kind, item.what, str(item.count), share(item.covered_frac), coverage_words(item)) for item in found
    )
    return [Table(title="Measured numbers inside their bands", columns=columns, rows=rows)] if rows else []


def coverage_words(item: Coverage) -> str:
    """Return whether the bands of a quantity hold what they are to hold."""
    missed = misses(item.covered_frac)
    return f"✘ missed: bands {missed}" if missed else "✔ within"


def floor_blocks(floors: Sequence[Floor]) -> list[Block]:
    """Return trivial models beside ours."""
    columns = (
        Column(label="trivial model", wraps=True),
        Column(label="fitted to these points", drop=1),
        Column(label="numbers", right=True),
        Column(label="its median", right=True),
        Column(label="its P90", right=True),
        Column(label="our median", right=True),
        Column(label="our P90", right=True),
    )
    rows = tuple(
        (
            f"{floor.what}: {floor.name}",
            "yes" if floor.fitted else "no",
            str(floor.count),
            share(floor.median),
            share(floor.p90),
            share(floor.our_median),
            share(floor.our_p90),
        )
        for floor in floors
    )
    return [Table(title="Beside trivial models, on the same points", columns=columns, rows=rows)] if rows else []


def ranking_blocks(rankings: Sequence[Ranking]) -> list[Block]:
    """Return Kendall's tau of each ladder."""
    columns = (
        Column(label="ladder", wraps=True),
        Column(label="steps", right=True),
        Column(label="tau", right=True),
    )
    rows = tuple((item.ladder.replace("|", ", "), str(item.count), f"{item.tau:+.2f}") for item in rankings)
    return [Table(title="Order kept (Kendall's tau)", columns=columns, rows=rows)] if rows else []


def order_blocks(orders: Sequence[Order]) -> list[Block]:
    """Return pairs of chips that ran the same work."""
    columns = (
        Column(label="faster chip"),
        Column(label="than"),
        Column(label="of"),
        Column(label="number format", drop=1),
        Column(label="pairs", right=True),
        Column(label="order kept", right=True),
        Column(label="measured", right=True),
        Column(label="predicted", right=True),
    )
    rows = tuple(
        (
            item.first,
            item.second,
            item.kind,
            item.formats,
            str(item.count),
            share(item.kept_frac),
            times(item.measured_ratio),
            times(item.predicted_ratio),
        )
        for item in orders
    )
    return [Table(title="Chips on the same work", columns=columns, rows=rows)] if rows else []


def excess_blocks(found: Sequence[Excess]) -> list[Block]:
    """Return the limits that are exceeded, or that none is."""
    if not found:
        return [Text(title="Limits", lines=("✔ no recorded limit is exceeded",), tone="good")]
    return [Text(title="Limits exceeded", lines=tuple(excess_line(item) for item in found), bullets=True, tone="bad")]


def excess_line(item: Excess) -> str:
    """Return a limit that is exceeded, in words."""
    if item.found is None or item.limit is None:
        return f"✘ {item.where}: {item.what if item.what in {GONE, NO_LIMIT} else 'has no order any more'}"
    if item.what in {ERROR, MEDIAN, P90}:
        return f"✘ {item.where}: {item.what} {times(1.0 + item.found)}, limit {times(1.0 + item.limit)}"
    if item.what == NUMBERS:
        return f"✘ {item.where}: {item.found:,.0f} {item.what}, recorded {item.limit:,.0f}"
    return f"✘ {item.where}: {item.what} {item.found:.2f}, limit {item.limit:.2f}"


def points_table(title: str, rows: Sequence[Prediction]) -> Table:
    """Return single predictions."""
    return Table(title=title, columns=POINTS, rows=tuple(point_row(row) for row in rows))


def point_row(row: Prediction) -> tuple[Cell | str, ...]:
    """Return one prediction."""
    between = DASH if row.low is None else f"{quantity(row.low, row.unit)} to {quantity(row.high, row.unit)}"
    return (
        row.point,
        row.what,
        quantity(row.measured, row.unit),
        quantity(row.predicted, row.unit),
        signed(row.error_frac),
        between,
        ", ".join(part for part in (row.basis, row.software) if part),
    )


def peers_table(card: Scorecard) -> Table:
    """Return what peers print."""
    columns = (
        Column(label="simulator"),
        Column(label="figure", wraps=True),
        Column(label="on", wraps=True),
        Column(label="said by"),
    )
    rows = tuple((Cell(text=peer.name, url=peer.url), peer.figure, peer.on, peer.mark) for peer in card.peers)
    return Table(title="What others print", columns=columns, rows=rows)


def reasons(card: Scorecard) -> tuple[str, ...]:
    """Return why points have no prediction, the commonest reason first."""
    return tuple(f"{count:,} × {reason}" for reason, count in card.reasons.items())


def share(value: float | None) -> str:
    """Return a share, or a dash."""
    return DASH if value is None else percent(value)


def times(value: float | None) -> str:
    """Return a factor, or a dash.

    >>> times(1.234), times(None)
    ('× 1.23', '—')
    """
    return DASH if value is None else f"× {value:.2f}"


def signed(value: float | None) -> str:
    """Return a signed share, or a dash.

    >>> signed(-0.123), signed(None)
    ('-12.3 %', '—')
    """
    return DASH if value is None else f"{100 * value:+.1f} %"
