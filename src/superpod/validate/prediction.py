"""What the model says of one published number, or why it says nothing."""

from dataclasses import dataclass

from superpod.result import Term
from superpod.units import percent
from superpod.validate.point import Point

PARTS_COUNT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One measured number and the predicted one, both in the same unit.

    `what` names the number (`step`, `tpot`, `memory`, ...), `predicted` is None where `reason` says why; `low` and
    `high` are its P10 and P90. Points that agree in `ladder` differ in what a ranking is asked of; it ranks the number
    times `ladder_scale` (a step by its time for a token on one card). `software` names the release that the prediction
    assumes, `basis` the pod, precision and calibration it stands on and what it borrows or guesses, `parts` where most
    of the predicted time goes. `in_sample` marks a number of a source that a part of the model was read off. `floor` is
    the pure memory bound of a decode step, `work_flop` the model's own FLOP of one card, `family` the chips and format
    of equal rates. Predictions that agree in `twin` differ in the hardware alone.
    """

    point: str
    kind: str
    what: str
    source: str
    hardware: str
    chip: str
    measured: float
    predicted: float | None
    unit: str = "s"
    low: float | None = None
    high: float | None = None
    reason: str = ""
    ladder: str = ""
    software: str = ""
    basis: str = ""
    floor: float | None = None
    ladder_scale: float = 1.0
    work_flop: float | None = None
    family: str = ""
    parts: str = ""
    twin: str = ""
    more_is_better: bool = False
    in_sample: bool = False

    @property
    def error_frac(self) -> float:
        """Predicted over measured, less one; not a number where nothing is predicted."""
        return float("nan") if self.predicted is None else self.predicted / self.measured - 1.0

    @property
    def inside(self) -> bool | None:
        """Whether the measured number lies in the predicted band; None without a band."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


def refused(point: Point, reason: str, *, what: str = "", chip: str = "") -> Prediction:
    """Return that nothing is predicted of a point, and why."""
    return Prediction(
        point=point.id,
        kind=point.kind,
        what=what or point.metric,
        source=point.title,
        hardware=point.hardware,
        chip=chip,
        measured=point.value,
        predicted=None,
        unit=point.unit,
        reason=reason,
    )


def parts_of(term: Term) -> str:
    """Return the largest parts of a breakdown, as words with their shares."""
    whole = max(float(term.time_s), 1e-30)
    sizes = [(float(leaf.time_s) / whole, leaf.name) for leaf in term.leaves()]
    largest = sorted((size for size in sizes if size[0] > 0.0), reverse=True)[:PARTS_COUNT]
    return ", ".join(f"{name} {percent(share)}" for share, name in largest)
