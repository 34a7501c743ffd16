"""Times on a grid of sizes, made monotone, and read between its knots."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from superpod.operator_tables.read import FloatArray

TINY = 1e-12  # sizes below this are taken as this: logarithms need a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Logarithms of seconds over logarithms of sizes; `measured` is 1 at knots that were measured, else 0.

    Never falling along the axes of work, so that neither is what is read between the knots.
    """

    axes: tuple[FloatArray, ...]
    log_time: FloatArray
    measured: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a grid says of points: ln(t) at the nearest points inside it, and how far outside it the points lie.

    `measured_frac` is the weight of measured knots; `outside` the sum over axes of |ln(size / nearest size inside)|;
    `below` and `above` whether any axis lies under or over the grid; `inside` the nearest points.
    """

    log_time: FloatArray
    measured_frac: FloatArray
    outside: FloatArray
    below: npt.NDArray[np.bool_]
    above: npt.NDArray[np.bool_]
    inside: tuple[FloatArray, ...]


def build(sizes: tuple[FloatArray, ...], time_s: FloatArray, work_axes: tuple[int, ...]) -> Grid | None:
    """Return the grid of scattered measurements, or None where there are none. Where knots coincide the fastest counts.

    Holes between two measured knots of an axis are filled on the line between them. Along `work_axes` (rows, sequences,
    tokens, visits) a time is the least of its own and those of bigger operators: a library can always pad the smaller
    one. Monotone measurements stay as they are, and a slow outlier harms nobody else. Along the other axes, the shapes
    of weights and heads, times stay as measured. Knots that were never measured rise in proportion to each axis, and
    do not count as measured.
    """
    if not time_s.size:
        return None
    knots, places = zip(*(np.unique(np.log(size), return_inverse=True) for size in sizes), strict=True)
    spent = np.full(tuple(len(axis) for axis in knots), np.inf)
    np.minimum.at(spent, tuple(places), np.log(time_s))
    spent[np.isinf(spent)] = np.nan
    for axis, along in enumerate(knots):
        spent = bridged(spent, axis, along)
    measured = np.isfinite(spent)
    spent = np.where(measured, least_above(spent, work_axes), np.nan)
    guess = spent
    for axis, along in enumerate(knots):
        guess = carried(guess, axis, along)
    for axis in work_axes:
        guess = np.maximum.accumulate(guess, axis=axis)
    bounded = np.minimum(guess, least_above(spent, work_axes))
    return Grid(axes=tuple(knots), log_time=np.where(measured, spent, bounded), measured=measured.astype(float))


def least_above(spent: FloatArray, work_axes: tuple[int, ...]) -> FloatArray:
    """Return the least known value at or above each knot along the axes of work; infinity where there is none."""
    least = np.where(np.isfinite(spent), spent, np.inf)
    for axis in work_axes:
        least = np.flip(np.minimum.accumulate(np.flip(least, axis), axis=axis), axis)
    return least


def bridged(spent: FloatArray, axis: int, along: FloatArray) -> FloatArray:
    """Return values with the holes between two known knots of an axis filled on the line between them."""
    turned = np.moveaxis(spent, axis, -1)
    lines = turned.reshape(-1, len(along)).copy()
    known = np.isfinite(lines)
    for row in np.flatnonzero(~known.all(axis=1) & (known.sum(axis=1) > 1)):
        there = known[row]
        lines[row] = np.interp(along, along[there], lines[row, there], left=np.nan, right=np.nan)
    return np.moveaxis(lines.reshape(turned.shape), -1, axis)


def carried(spent: FloatArray, axis: int, along: FloatArray) -> FloatArray:
    """Return values with unknown knots past the last known one in proportion to size, those before the first equal."""
    filled = np.moveaxis(spent, axis, 0).copy()
    for place in range(1, len(along)):
        ahead = filled[place - 1] + (along[place] - along[place - 1])
        filled[place] = np.where(np.isnan(filled[place]), ahead, filled[place])
    for place in range(len(along) - 2, -1, -1):
        filled[place] = np.where(np.isnan(filled[place]), filled[place + 1], filled[place])
    return np.moveaxis(filled, 0, axis)


def read(grid: Grid, sizes: tuple[FloatArray, ...]) -> Reading:
    """Return ln(t) linear between knots in every ln(size): continuous, monotone, exact at the knots."""
    points = [np.log(np.maximum(size, TINY)) for size in np.broadcast_arrays(*sizes)]
    inside = [np.clip(point, axis[0], axis[-1]) for point, axis in zip(points, grid.axes, strict=True)]
    lows, shares = zip(*(_cell(point, axis) for point, axis in zip(inside, grid.axes, strict=True)), strict=True)
    log_time = np.zeros(points[0].shape)
    measured = np.zeros(points[0].shape)
    for corner in product((0, 1), repeat=len(points)):
        weight = np.ones(points[0].shape)
        place = []
        for side, low, share, axis in zip(corner, lows, shares, grid.axes, strict=True):
            weight = weight * (share if side else 1.0 - share)
            place.append(np.minimum(low + side, len(axis) - 1))
        log_time = log_time + weight * grid.log_time[tuple(place)]
        measured = measured + weight * grid.measured[tuple(place)]
    gaps = [point - near for point, near in zip(points, inside, strict=True)]
    return Reading(
        log_time=log_time,
        measured_frac=np.minimum(measured, 1.0),
        outside=np.sum([np.abs(gap) for gap in gaps], axis=0),
        below=np.any([gap < 0.0 for gap in gaps], axis=0),
        above=np.any([gap > 0.0 for gap in gaps], axis=0),
        inside=tuple(np.exp(near) for near in inside),
    )


def _cell(point: FloatArray, axis: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the knot below each point and how far it is on the way to the next."""
    if len(axis) == 1:
        return np.zeros(point.shape, dtype=np.intp), np.zeros(point.shape)
    low = np.clip(np.searchsorted(axis, point, side="right") - 1, 0, len(axis) - 2)
    return low, (point - axis[low]) / (axis[low + 1] - axis[low])
