"""`superpod validate`: published measurements against predictions, with limits that make it fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver

if TYPE_CHECKING:
    from superpod.validate.bands import Bands
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
  superpod validate --source LLMServingSim --simulate traces
"""


@click.command("validate", short_help="Predictions against published measurements.", epilog=EXAMPLES)
@click.option("--points", type=FILE, metavar="FILE", help="Score this file of JSON lines, not the shipped cases.")
@click.option(
    "--kind", "kinds", metavar="KIND,...", help="Only these kinds: training, inference, operator, collective."
)
@click.option("--source", metavar="TEXT", help="Only sources whose title contains this.")
@click.option("--hardware", metavar="TEXT", help="Only hardware that contains this.")
@click.option(
    "--simulate",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Simulate, request by request, closed loops and runs whose request trace is in this folder.",
)
@click.option("--limits", type=FILE, metavar="FILE", help="Hold against this file of limits, not the project's own.")
@click.option("--csv", "csv", type=FILE, metavar="FILE", help="Also write every number as CSV.")
@click.option("--page", metavar="DIR", help="Also write the scorecard into this folder.")
@click.option("--record", is_flag=True, help="Write the limits anew, a little above today's errors.")
@shared.common
def command(
    points: Path | None,
    kinds: str | None,
    source: str | None,
    hardware: str | None,
    simulate: Path | None,
    limits: Path | None,
    csv: Path | None,
    page: str | None,
    record: bool,
    **options: Any,
) -> int:
    """Predict published points and sum up the errors; exit code 1 where a recorded limit is exceeded.

    A point is complete where a prediction needs no guess; others count as not predicted, with the reason.
    """
    from superpod.cli import validate_files as files
    from superpod.cli.validate_page import scorecard_page
    from superpod.validate.bands import FULL, RECORDED, SHIPPED, recorded

    filtered = kinds is not None or bool(source or hardware)
    job = files.Job(points=points, csv=csv, folder=files.folder_of(page), place=limits or RECORDED, record=record)
    files.refuse_unfit(job, options, filtered=filtered)
    files.check(job, options["html"], given=limits is not None)
    held = recorded(SHIPPED if points is None else FULL, job.place)
    kept = files.kept_full_set(job)
    chosen = choose(points, kinds, source, hardware)
    files.refuse_other(job, chosen, held)
    digest = files.digest_of(points)
    same = points is None or digest == held.sha256
    card = score(chosen, options, held, whole=same and not filtered, simulate=simulate)
    beside, eased = files.beside(job, card, kept, digest)
    what = "the shipped cases" if points is None else points.name
    output = shared.outputs(options)
    deliver("validate", {"scorecard": card}, lambda full: scorecard_page(card, what, full=full), output, beside)
    if record:
        say_eased(eased)
        return 0
    say_unjudged(card, held, other=not same)
    return report_excess(card)


def choose(points: Path | None, kinds: str | None, source: str | None, hardware: str | None) -> tuple[Point, ...]:
    """Return the points that the options ask for; raise ScenarioError for an unknown kind or an empty choice."""
    from superpod.errors import ScenarioError
    from superpod.validate.point import KINDS, read_points, shipped_points

    wanted = kinds_of(kinds) if kinds is not None else KINDS
    found = read_points(points) if points is not None else shipped_points()
    if not found:
        raise ScenarioError("the file holds no points", where=f"--points {points}", hint="one point a line, as JSON")
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


def kinds_of(text: str) -> tuple[str, ...]:
    """Return the kinds that a list names; raise ScenarioError for one that there is not, or for none."""
    from superpod.errors import ScenarioError, did_you_mean
    from superpod.validate.point import KINDS

    words = tuple(word for word in (part.strip().lower() for part in text.split(",")) if word)
    if not words:
        raise ScenarioError("no kind is named", where="--kind", hint=f"one of {', '.join(KINDS)}")
    for word in words:
        if word not in KINDS:
            hint = did_you_mean(word, KINDS) or f"one of {', '.join(KINDS)}"
            raise ScenarioError(f"unknown kind {word!r}", where="--kind", hint=hint)
    return words


def score(
    points: Sequence[Point], options: dict[str, Any], held: Bands, *, whole: bool, simulate: Path | None = None
) -> Scorecard:
    """Return the scorecard of points, held against the limits of their set."""
    from superpod.validate.run import predict
    from superpod.validate.scorecard import scorecard

    catalogue = shared.open_catalogue(options)
    return scorecard(predict(catalogue, points, simulate=simulate), held, whole=whole, catalogue=catalogue)


def say_eased(eased: Sequence[str]) -> None:
    """Say on stderr which limits are wider than before."""
    for line in eased:
        click.echo(f"wider: {line}", err=True)


def say_unjudged(card: Scorecard, held: Bands, *, other: bool) -> None:
    """Say on stderr what no limit was held against."""
    if other and held.file:
        click.echo(f"another file than the recorded {held.file}: limits hold by source only", err=True)
    if card.unlimited:
        click.echo(f"without a recorded limit: {'; '.join(card.unlimited)}", err=True)
    if card.unjudged:
        click.echo(f"not judged, as only a part is predicted here: {'; '.join(card.unjudged)}", err=True)


def report_excess(card: Scorecard) -> int:
    """Say on stderr which limits are exceeded, and return the exit code."""
    from superpod.cli.validate_page import excess_line

    for item in card.exceeded:
        click.echo(excess_line(item), err=True)
    return EXCEEDED if card.exceeded else 0
