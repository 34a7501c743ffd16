"""Published points to predictions, each by the reader of its kind."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from superpod.catalog.load import Catalogue
from superpod.errors import SuperpodError
from superpod.validate import collective_points, inference, operators, training
from superpod.validate.point import Point, shipped_points
from superpod.validate.prediction import Prediction, refused
from superpod.validate.rankings import FORMAT
from superpod.validate.statistics import INCOMPLETE

Reader = Callable[[Catalogue, Point], tuple[Prediction, ...]]
READERS: Mapping[str, Reader] = {
    "training": training.predict,
    "inference": inference.predict,
    "operator": operators.predict,
    "collective": collective_points.predict,
}
QUANTISATION = "quantisation"  # the key of a serving point's number format
# What a reader trips over in a point that its source wrote in an unforeseen way.
UNFORESEEN = (ArithmeticError, LookupError, TypeError, ValueError)


def predict(catalogue: Catalogue, points: Iterable[Point], *, simulate: Path | None = None) -> tuple[Prediction, ...]:
    """Return the predictions of all points, in their order; one without a number says why.

    `simulate` is a folder of request traces: serving runs of one of them, and closed loops, are simulated.
    """
    return tuple(made for point in points for made in predict_one(catalogue, point, simulate=simulate))


def predict_one(catalogue: Catalogue, point: Point, *, simulate: Path | None = None) -> tuple[Prediction, ...]:
    """Return the predictions of a point; what is not complete is not guessed, unless a shipped case completes it."""
    point = point if point.complete else completed(point)
    if not point.complete:
        return (refused(point, f"{INCOMPLETE}{', '.join(point.missing) or 'inputs are missing'}"),)
    reader = READERS[point.kind]
    if point.kind == "inference" and simulate is not None:
        reader = partial(inference.predict, simulate=simulate)
    try:
        return tuple(replace(row, twin=twin_of(point, row.what)) for row in reader(catalogue, point))
    except SuperpodError as error:
        return (refused(point, error.message),)
    except UNFORESEEN as error:
        return (refused(point, f"not read: {type(error).__name__}: {error}"),)


def completed(point: Point) -> Point:
    """Return the shipped case of the same id and source, which has what a point leaves out; else the point itself."""
    return next((case for case in shipped_points() if (case.id, case.url) == (point.id, point.url)), point)


def twin_of(point: Point, what: str) -> str:
    """Return what a point shares with those that differ in the hardware alone: the work, then its number format."""
    work = {key: value for key, value in point.config.items() if key != QUANTISATION}
    asked = json.dumps(work, sort_keys=True, default=str)
    formats = point.config.get(QUANTISATION, "")
    return f"{point.title}|{point.model.get('name', '')}|{point.chips}|{what}|{asked}{FORMAT}{formats}"
