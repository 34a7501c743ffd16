"""Published collective points in the form of every other kind: one prediction a measured number, with its band."""

from superpod.catalog.load import Catalogue
from superpod.errors import SuperpodError
from superpod.fabric.tiers import Fabric
from superpod.validate import collectives
from superpod.validate.hardware import place_of
from superpod.validate.point import Point, tree_of
from superpod.validate.prediction import Prediction, refused


def predict(catalogue: Catalogue, point: Point) -> tuple[Prediction, ...]:
    """Return the predictions of one collective point, or why there are none."""
    if point.chips is None:
        return (refused(point, "the number of ranks is not stated"),)
    try:
        place = place_of(catalogue, point.hardware, point.chips)
        rows = collectives.predict(catalogue, tree_of(point))
    except (SuperpodError, KeyError) as error:
        reason = error.message if isinstance(error, SuperpodError) else f"no {error} in its configuration"
        return (refused(point, reason),)
    if rows[0].predicted_s is None:
        return (refused(point, rows[0].reason, chip=place.chip),)
    band = 1.0 + max(tier.link.band_frac for tier in _fabric(catalogue, place.pod, point.chips).tiers)
    made: list[Prediction] = []
    for row in rows:
        predicted = row.predicted_s
        if predicted is None:
            continue
        made.append(
            Prediction(
                point=point.id,
                kind=point.kind,
                what=row.what,
                source=point.title,
                hardware=point.hardware,
                chip=place.chip,
                measured=row.measured_s,
                predicted=predicted,
                low=predicted / band,
                high=predicted * band,
                ladder=f"{row.source}|{point.chips:g}|{row.what}",
                basis=row.reason,
                in_sample=row.in_sample,
            )
        )
    return tuple(made)


def _fabric(catalogue: Catalogue, pod: str, ranks: float) -> Fabric:
    return collectives.fabric_of(catalogue, pod, ranks)
