"""Times on a grid of sizes, made monotone, and read between its knots."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from superpod.operator_tables.read import FloatArray

Cell = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]
TINY = 1e-12  # sizes below this are taken as this: logarithms need a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Two values over logarithms of sizes: the logarithm of seconds, and 1 at knots that were measured, else 0.

    Seconds never fall along the axes of work, so that neither does what is read between the knots.
    """

    axes: tuple[FloatArray, ...]
    values: FloatArray


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
    return Grid(axes=tuple(knots), values=np.stack((np.where(measured, spent, bounded), measured.astype(float))))


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
    """Return ln(t) linear between knots in every ln(size): continuous, monotone along axes of work, exact at knots."""
    both, columns = grid.values, list[Cell]()
    inside: list[FloatArray] = []
    outside: FloatArray = np.zeros(())
    below = above = np.zeros((), dtype=np.bool_)
    for size, axis in zip(sizes, grid.axes, strict=True):
        point = np.log(np.maximum(size, TINY))
        near = np.minimum(np.maximum(point, axis[0]), axis[-1])
        inside.append(np.exp(near))
        gap = point - near
        outside, below, above = outside + np.abs(gap), below | (gap < 0.0), above | (gap > 0.0)
        cell = _cell(near, axis)
        if near.size > 1:
            columns.append(cell)
        else:  # single numbers leave fewer corners to the columns
            low, high, share = cell[0].item(), cell[1].item(), cell[2].item()
            along = 1 + len(columns)
            both = np.asarray(both.take(low, along) * (1.0 - share) + both.take(high, along) * share)
    log_time, measured = _between(both, columns)
    return Reading(
        log_time=log_time,
        measured_frac=np.minimum(measured, 1.0),
        outside=outside,
        below=below,
        above=above,
        inside=tuple(inside),
    )


def _cell(point: FloatArray, axis: FloatArray) -> Cell:
    """Return the knots below and above each point, and how far it is on the way from one to the other."""
    if len(axis) == 1:
        none = np.zeros(point.shape, dtype=np.intp)
        return none, none, np.zeros(point.shape)
    low = np.clip(np.searchsorted(axis, point, side="right") - 1, 0, len(axis) - 2)
    return low, low + 1, (point - axis[low]) / (axis[low + 1] - axis[low])


def _between(both: FloatArray, cells: list[Cell]) -> FloatArray:
    """Return the values between the corners of each point's cell, for each leading entry of `both`."""
    found: FloatArray = np.zeros(())
    for corner in product((0, 1), repeat=len(cells)):
        weight = np.ones(())
        for side, (_, _, share) in zip(corner, cells, strict=True):
            weight = weight * (share if side else 1.0 - share)
        chosen = tuple(cell[side] for side, cell in zip(corner, cells, strict=True))
        found = found + weight * both[(slice(None), *chosen)]
    return found
