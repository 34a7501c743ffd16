"""The scorecard as a page for terminal and browser."""

from collections.abc import Sequence

from superpod.cli.page import Block, Cell, Column, Drawing, Page, Section, Table, Text
from superpod.cli.scatter import scatter
from superpod.cli.wording import DASH, quantity
from superpod.units import percent
from superpod.validate.bands import Excess
from superpod.validate.prediction import Prediction
from superpod.validate.scorecard import Scorecard
from superpod.validate.statistics import Floor, Order, Ranking, Summary

ERRORS = (
    Column(label="kind"),
    Column(label="of", wraps=True),
    Column(label="n", right=True),
    Column(label="median", right=True),
    Column(label="P90", right=True),
    Column(label="signed", right=True, drop=2),
    Column(label="≤ 10 %", right=True, drop=4),
    Column(label="≤ 20 %", right=True),
    Column(label="covered", right=True, drop=1),
    Column(label="worst", right=True, drop=3),
    Column(label="worst point", cuts=True, drop=5),
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
        errors_table("By kind", card.kinds),
        errors_table("By source", card.sources),
        errors_table("By chip", card.chips),
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
    predicted = f"{card.predicted_count:,} of {card.points_count:,} points predicted"
    return Page(title=f"Predictions against {what}", subtitle=predicted, blocks=tuple(blocks))


def errors_table(title: str, groups: Sequence[Summary]) -> Table:
    """Return errors by group; groups without any prediction are told by their reasons."""
    return Table(title=title, columns=ERRORS, rows=tuple(error_row(group) for group in groups if group.count))


def error_row(group: Summary) -> tuple[Cell | str, ...]:
    """Return one group's errors."""
    count = f"{group.count:,}" + (f" (+{group.refused_count:,} not)" if group.refused_count else "")
    return (
        group.kind,
        group.name,
        count,
        share(group.median),
        share(group.p90),
        signed(group.signed_median),
        share(group.within_10_frac),
        share(group.within_20_frac),
        share(group.covered_frac),
        signed(group.worst_error),
        group.worst_point or DASH,
    )


def floor_blocks(floors: Sequence[Floor]) -> list[Block]:
    """Return trivial models beside ours."""
    columns = (
        Column(label="trivial model", wraps=True),
        Column(label="n", right=True),
        Column(label="its median", right=True),
        Column(label="its P90", right=True),
        Column(label="our median", right=True),
        Column(label="our P90", right=True),
    )
    rows = tuple(
        (
            f"{floor.what}: {floor.name}",
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
        Column(label="n", right=True),
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
        Column(label="n", right=True),
        Column(label="order kept", right=True),
        Column(label="measured", right=True),
        Column(label="predicted", right=True),
    )
    rows = tuple(
        (
            item.first,
            item.second,
            item.kind,
            str(item.count),
            share(item.kept_frac),
            f"× {item.measured_ratio:.2f}",
            f"× {item.predicted_ratio:.2f}",
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
    if item.what == "is not predicted":
        return f"✘ {item.where}: is not predicted any more"
    return f"✘ {item.where}: {item.what} {share(item.found)}, limit {share(item.limit)}"


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


def signed(value: float | None) -> str:
    """Return a signed share, or a dash.

    >>> signed(-0.123), signed(None)
    ('-12.3 %', '—')
    """
    return DASH if value is None else f"{100 * value:+.1f} %"
