"""`superpod validate`: published measurements against predictions, with limits that make it fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver, write_atomically

if TYPE_CHECKING:
    from superpod.validate.point import Point
    from superpod.validate.scorecard import Scorecard

EXCEEDED = 1
FILE = click.Path(dir_okay=False, path_type=Path)
EXAMPLES = """
\b
Examples:
  superpod validate
  superpod validate --kind training --source vTrain
  superpod validate --points points.jsonl --csv errors.csv
"""


@click.command("validate", short_help="Predictions against published measurements.", epilog=EXAMPLES)
@click.option("--points", type=FILE, metavar="FILE", help="Score this file of JSON lines, not the shipped cases.")
@click.option(
    "--kind", "kinds", metavar="KIND,...", help="Only these kinds: training, inference, operator, collective."
)
@click.option("--source", metavar="TEXT", help="Only sources whose title contains this.")
@click.option("--hardware", metavar="TEXT", help="Only hardware that contains this.")
@click.option("--csv", "csv", type=FILE, metavar="FILE", help="Also write every number as CSV.")
@click.option(
    "--page", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Also write the scorecard."
)
@click.option("--record", is_flag=True, help="Write the limits anew, a little above today's errors.")
@shared.common
def command(
    points: Path | None,
    kinds: str | None,
    source: str | None,
    hardware: str | None,
    csv: Path | None,
    page: Path | None,
    record: bool,
    **options: Any,
) -> int:
    """Predict published points and sum up the errors; exit code 1 where a recorded limit is exceeded.

    A point is complete where a prediction needs no guess; others count as not predicted, with the reason.
    """
    from superpod.cli.validate_page import scorecard_page

    check_places({"--csv": csv, "--html": options["html"]})
    chosen = choose(points, kinds, source, hardware)
    whole = not (kinds or source or hardware)
    refuse_part(record=record, page=page, whole=whole)
    card = score(chosen, options, full=points is not None, whole=whole)
    what = f"{points.name}" if points is not None else "the shipped cases"
    beside = []
    if csv is not None:
        from superpod.cli.validate_markdown import csv_text

        beside.append((csv, csv_text(card.predictions)))
    output = shared.outputs(options)
    deliver("validate", {"scorecard": card}, lambda full: scorecard_page(card, what, full=full), output, beside)
    if page is not None:
        write_page(card, page, points)
    if record:
        write_limits(card, full=points is not None)
        return 0
    return report_excess(card)


def choose(points: Path | None, kinds: str | None, source: str | None, hardware: str | None) -> tuple[Point, ...]:
    """Return the points that the options ask for; raise ScenarioError for an unknown kind or an empty choice."""
    from superpod.errors import ScenarioError, did_you_mean
    from superpod.validate.point import KINDS, read_points, shipped_points

    wanted = [word.strip().lower() for word in kinds.split(",")] if kinds else list(KINDS)
    for word in wanted:
        if word not in KINDS:
            hint = did_you_mean(word, KINDS) or f"one of {', '.join(KINDS)}"
            raise ScenarioError(f"unknown kind {word!r}", where="--kind", hint=hint)
    found = read_points(points) if points is not None else shipped_points()
    kept = tuple(
        point
        for point in found
        if point.kind in wanted
        and (source or "").lower() in point.title.lower()
        and (hardware or "").lower() in point.hardware.lower()
    )
    if not kept:
        raise ScenarioError(f"none of {len(found):,} points is asked for", where="--kind, --source, --hardware")
    return kept


def refuse_part(*, record: bool, page: Path | None, whole: bool) -> None:
    """Raise ScenarioError where limits or a page are to be written from a part of the points."""
    from superpod.errors import ScenarioError

    if not whole and (record or page is not None):
        raise ScenarioError(
            "limits and the page are written from all points",
            where="--record" if record else "--page",
            hint="leave out --kind, --source and --hardware",
        )


def score(points: Sequence[Point], options: dict[str, Any], *, full: bool, whole: bool) -> Scorecard:
    """Return the scorecard of points, held against the limits of their set."""
    from superpod.validate.bands import FULL, SHIPPED, recorded
    from superpod.validate.run import predict
    from superpod.validate.scorecard import scorecard

    rows = predict(shared.open_catalogue(options), points)
    return scorecard(rows, recorded(FULL if full else SHIPPED), whole=whole and not full)


def write_page(card: Scorecard, folder: Path, points: Path | None) -> None:
    """Write the scorecard page and its drawing, and of a run over a file what the page keeps of it."""
    import datetime
    import json

    from superpod.cli.scatter import scatter
    from superpod.cli.validate_markdown import FULL_DRAWING, FULL_SET, full_set, scorecard_markdown

    folder.mkdir(parents=True, exist_ok=True)
    if points is not None:
        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        document = full_set(card, date=today, command=f"superpod validate --points {points.name}")
        drawing = scatter(card.predictions, "Measured and predicted, the full set")
        write_atomically([(folder / FULL_SET, document), (folder / FULL_DRAWING, drawing)])
        return
    kept = folder / FULL_SET
    last = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
    drawing = scatter(card.predictions, "Measured and predicted")
    write_atomically([(folder / "scorecard.md", scorecard_markdown(card, last)), (folder / "scatter.svg", drawing)])


def write_limits(card: Scorecard, *, full: bool) -> None:
    """Write the limits of this set anew beside those of the other one."""
    from superpod.validate.bands import FULL, RECORDED, SHIPPED, bands_of, recorded, text_of

    sets = {which: recorded(which) for which in (SHIPPED, FULL)}
    sets[FULL if full else SHIPPED] = bands_of(card.predictions, with_cases=not full)
    write_atomically([(RECORDED, text_of(sets))])
    click.echo(f"wrote {RECORDED}", err=True)


def report_excess(card: Scorecard) -> int:
    """Say on stderr which limits are exceeded, and return the exit code."""
    from superpod.cli.validate_page import excess_line

    for item in card.exceeded:
        click.echo(excess_line(item), err=True)
    return EXCEEDED if card.exceeded else 0
