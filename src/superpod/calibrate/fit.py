"""Curves fitted to samples, and their error on shapes that they were not fitted to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.calibrate.samples import FloatArray, Samples, believable
from superpod.catalog.calibration import AttentionFit, DecodeFit, GemmFit
from superpod.compute.curves import attention_time, decode_time, product_time
from superpod.errors import MeasurementError, NoBasisError
from superpod.result import Num
from superpod.workload.op import Op

SHORTEST_S = 1e-6  # nothing that a device does on request is faster: such a row was not measured
NEAR = 0.01  # a number is on its bound where its logarithm is as close to it as this
SOFT = 0.1  # log errors beyond this count by their size, not their square
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One number of a curve: where its search begins and between what it stays."""

    name: str
    start: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveFit:
    """A kernel that only moves bytes: its share of the bandwidth and what it costs before it does any work."""

    memory_frac: float
    kernel_s: float


def move_time(fit: MoveFit, op: Op, flop_per_s: Num, bytes_per_s: Num) -> Num:
    """Return bytes / (share x bandwidth) + kernel_s."""
    del flop_per_s
    return op.traffic_bytes / (fit.memory_frac * bytes_per_s) + op.kernels_count * fit.kernel_s


SHARES = (
    Parameter(name="peak_frac", start=0.7, low=0.1, high=1.0),
    Parameter(name="memory_frac", start=0.8, low=0.1, high=1.0),
    Parameter(name="kernel_s", start=5e-6, low=2e-7, high=5e-4),
)
TAIL = (
    Parameter(name="latency_power", start=0.5, low=0.05, high=1.0),
    Parameter(name="join_power", start=2.0, low=1.05, high=8.0),
)
PRODUCT = (
    *SHARES,
    Parameter(name="rows_half_count", start=30.0, low=0.1, high=1024.0),
    Parameter(name="columns_half_count", start=100.0, low=0.1, high=8192.0),
    Parameter(name="depth_half_count", start=100.0, low=0.1, high=8192.0),
    Parameter(name="latency_depth_count", start=2048.0, low=16.0, high=1e6),
    *TAIL,
)
# A library's own product; the grouped kernels of experts were not timed for long enough to tell.
LONG = Parameter(name="power_loss_frac", start=0.1, low=1e-3, high=2.0)
KEYS = Parameter(name="latency_keys_count", start=4096.0, low=16.0, high=1e7)
ROWS = Parameter(name="rows_half_count", start=100.0, low=0.1, high=8192.0)
ATTENTION = (
    *SHARES,
    ROWS,
    Parameter(name="keys_half_count", start=64.0, low=0.1, high=8192.0),
    Parameter(name="width_half_count", start=30.0, low=0.1, high=512.0),
    KEYS,
    *TAIL,
)
DECODE = (
    *SHARES,
    Parameter(name="rows_half_count", start=16.0, low=0.1, high=512.0),
    Parameter(name="keys_half_count", start=32.0, low=0.1, high=2048.0),
    KEYS,
    *TAIL,
)
MOVE = (SHARES[1], SHARES[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A formula with the class of its numbers and how each is searched."""

    made: Callable[..., Any]
    time_s: Callable[[Any, Op, Num, Num], Num]
    parameters: tuple[Parameter, ...]


CURVES: Mapping[str, Curve] = {
    "gemm": Curve(made=GemmFit, time_s=product_time, parameters=(*PRODUCT, LONG)),
    "experts": Curve(made=GemmFit, time_s=product_time, parameters=PRODUCT),
    "attention": Curve(made=AttentionFit, time_s=attention_time, parameters=ATTENTION),
    "latent_attention": Curve(made=AttentionFit, time_s=attention_time, parameters=ATTENTION),
    "decode": Curve(made=DecodeFit, time_s=decode_time, parameters=DECODE),
    "narrow_decode": Curve(made=DecodeFit, time_s=decode_time, parameters=DECODE),
    "latent_decode": Curve(made=DecodeFit, time_s=decode_time, parameters=DECODE),
    "elementwise": Curve(made=MoveFit, time_s=move_time, parameters=MOVE),
    "softmax": Curve(made=MoveFit, time_s=move_time, parameters=MOVE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted curve: its numbers, what they stand on, and the held-out errors.

    `errors_frac` are signed predicted / measured - 1 of each kept row, predicted without its shape family; `chips` name
    the rows' machines.
    """

    curve: str
    values: Mapping[str, float]
    errors_frac: FloatArray
    chips: npt.NDArray[np.str_]
    refused_count: int
    families_count: int
    folds_count: int

    @property
    def on_bounds(self) -> Mapping[str, str]:
        """The numbers that the search left on a bound, with the end: `low` or `high`."""
        found: dict[str, str] = {}
        for parameter in CURVES[self.curve.partition(".")[0]].parameters:
            value = np.log(self.values[parameter.name])
            if value <= np.log(parameter.low) + NEAR:
                found[parameter.name] = "low"
            elif value >= np.log(parameter.high) - NEAR:
                found[parameter.name] = "high"
        return found

    @property
    def rows_count(self) -> int:
        """Rows that the fit stands on."""
        return len(self.errors_frac)

    @property
    def median_frac(self) -> float:
        """Median size of the held-out errors."""
        return float(np.median(np.abs(self.errors_frac)))

    @property
    def p90_frac(self) -> float:
        """Size that nine in ten held-out errors stay below."""
        return float(np.quantile(np.abs(self.errors_frac), 0.9))


def fit_curve(name: str, samples: Samples, folds_count: int) -> Fitted:
    """Fit a curve (`gemm.bf16`, `attention`, ...) and cross-validate it, whole shape families left out at a time.

    Rows below their roofline or shorter than a microsecond are refused and counted. Raises MeasurementError where fewer
    rows or families are left than the fit, and each of those that check it, need.
    """
    curve = CURVES[name.partition(".")[0]]
    kept = believable(samples, SHORTEST_S)
    count = len(np.unique(kept.family))
    check_enough(name, kept, count, folds_count)
    start = np.log([parameter.start for parameter in curve.parameters])
    whole = _search(curve, kept, start)
    folds = min(folds_count, count)
    errors = np.zeros(len(kept))
    for test in _folds(kept.family, folds):
        rest = np.setdiff1d(np.arange(len(kept)), test)
        found = _search(curve, kept.take(rest), whole)
        held = kept.take(test)
        errors[test] = _predict(curve, found, held) / held.time_s - 1.0
    return Fitted(
        curve=name,
        values={parameter.name: float(value) for parameter, value in zip(curve.parameters, np.exp(whole), strict=True)},
        errors_frac=errors,
        chips=kept.chip,
        refused_count=kept.refused_count,
        families_count=count,
        folds_count=folds,
    )


def check_enough(name: str, kept: Samples, families_count: int, folds_count: int) -> None:
    """Raise MeasurementError where the believable rows, or those of a fold's fit, are too few for a curve's numbers."""
    need = len(CURVES[name.partition(".")[0]].parameters) + 1
    refused = f"{kept.refused_count} rows lie below their roofline or under 1 us" if kept.refused_count else ""
    if len(kept) < need or families_count < 2:
        raise MeasurementError(
            f"{name}: {len(kept)} rows of {families_count} shape families are left, "
            f"expected {need} or more of 2 or more",
            hint=refused or "measure more shapes",
        )
    folds = min(folds_count, families_count)
    least = len(kept) - max(len(test) for test in _folds(kept.family, folds))
    if least < need:
        raise MeasurementError(
            f"{name}: {len(kept)} rows of {families_count} shape families leave {least} to fit where one of {folds} "
            f"folds is held out, expected {need} or more",
            hint=refused or "measure more shapes" + (", or give more --folds" if folds < families_count else ""),
        )


def _folds(family: npt.NDArray[np.int64], count: int) -> list[npt.NDArray[np.int64]]:
    """Return rows by fold: families in an order drawn once, dealt out in turn."""
    names = np.unique(family)
    order = np.random.default_rng(SEED).permutation(len(names))
    fold_of = np.empty(len(names), dtype=np.int64)
    fold_of[order] = np.arange(len(names)) % count
    folds = fold_of[np.searchsorted(names, family)]
    return [np.flatnonzero(folds == fold) for fold in range(count)]


def predict(name: str, values: Mapping[str, float], samples: Samples) -> FloatArray:
    """Return what a curve with these numbers says of each row, seconds."""
    curve = CURVES[name.partition(".")[0]]
    return _predict(curve, np.log([values[parameter.name] for parameter in curve.parameters]), samples)


def _predict(curve: Curve, logs: FloatArray, samples: Samples) -> FloatArray:
    names = [parameter.name for parameter in curve.parameters]
    fit = curve.made(**dict(zip(names, np.exp(logs), strict=True)))
    total: Num = samples.fixed_s
    for part in samples.parts:
        total = total + curve.time_s(fit, part, samples.flop_per_s, samples.bytes_per_s)
    return np.asarray(total, dtype=float)


def _search(curve: Curve, samples: Samples, start: FloatArray) -> FloatArray:
    """Return the logarithms of the numbers that fit best: bounded least squares on log errors with a soft loss."""
    try:
        from scipy.optimize import least_squares  # type: ignore[import-untyped]
    except ImportError:
        raise NoBasisError(
            "fitting needs scipy, which is not installed", hint="pip install 'superpod[calibrate]'"
        ) from None
    logs = np.log(samples.time_s)
    low = np.log([parameter.low for parameter in curve.parameters])
    high = np.log([parameter.high for parameter in curve.parameters])

    def residual(x: FloatArray) -> FloatArray:
        return np.log(_predict(curve, x, samples)) - logs

    inside = np.clip(start, low + 1e-6, high - 1e-6)
    found = least_squares(residual, inside, bounds=(low, high), loss="soft_l1", f_scale=SOFT, max_nfev=200)
    return np.asarray(found.x, dtype=float)
