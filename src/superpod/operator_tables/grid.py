"""Times on a grid of sizes, made monotone, and read between its knots."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from superpod.operator_tables.read import FloatArray

Cell = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]
TINY = 1e-12  # sizes below this are taken as this: logarithms need a number
STEEPEST = 2.0
"""Beyond what was measured a time grows between not at all (a launch, a wave) and with the square of a size (a prompt
over its tokens); nothing grows faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Three values over logarithms of sizes: ln of the least and of the most seconds, and 1 at measured knots, else 0.

    Both bounds never fall along any axis, so that neither does what is read between the knots; they are one where a
    knot was measured.
    """

    axes: tuple[FloatArray, ...]
    values: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a grid says of points: ln of the least and of the most seconds, and how far outside the grid they lie.

    `measured_frac` is the weight of measured knots at the nearest points inside, `outside` the sum over axes of
    |ln(size / nearest size inside)|.
    """

    floor: FloatArray
    ceiling: FloatArray
    measured_frac: FloatArray
    outside: FloatArray

    @property
    def log_time(self) -> FloatArray:
        """The middle of the bounds: ln(t) where it was measured."""
        return (self.floor + self.ceiling) / 2.0


def build(sizes: tuple[FloatArray, ...], time_s: FloatArray) -> Grid | None:
    """Return the grid of scattered measurements, or None where there are none. Where knots coincide the fastest counts.

    Holes between two measured knots of an axis are filled on the line between them. Work grows along every axis, and a
    time is the least of its own and those of bigger operators: a library can always pad the smaller one. Monotone
    measurements stay as they are, and a slow outlier harms nobody else. Knots that were never measured hold bounds:
    from their neighbours a time grows with a size to a power between 0 and 2, and is between those of smaller and
    bigger operators.
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
    spent = np.where(measured, least_above(spent), np.nan)
    floor = ceiling = spent
    for axis, along in enumerate(knots):
        floor = carried(floor, axis, along, ahead=0.0, behind=STEEPEST)
        ceiling = carried(ceiling, axis, along, ahead=STEEPEST, behind=0.0)
    floor = np.minimum(most_below(floor), least_above(spent))
    ceiling = np.maximum(least_above(ceiling), most_below(spent))
    return Grid(axes=tuple(knots), values=np.stack((floor, np.maximum(floor, ceiling), measured.astype(float))))


def least_above(spent: FloatArray) -> FloatArray:
    """Return the least known value at or above each knot along all axes; infinity where there is none."""
    least = np.where(np.isfinite(spent), spent, np.inf)
    for axis in range(spent.ndim):
        least = np.flip(np.minimum.accumulate(np.flip(least, axis), axis=axis), axis)
    return least


def most_below(spent: FloatArray) -> FloatArray:
    """Return the most known value at or below each knot along all axes; minus infinity where there is none."""
    most = np.where(np.isfinite(spent), spent, -np.inf)
    for axis in range(spent.ndim):
        most = np.maximum.accumulate(most, axis=axis)
    return most


def bridged(spent: FloatArray, axis: int, along: FloatArray) -> FloatArray:
    """Return values with the holes between two known knots of an axis filled on the line between them."""
    turned = np.moveaxis(spent, axis, -1)
    lines = turned.reshape(-1, len(along)).copy()
    known = np.isfinite(lines)
    for row in np.flatnonzero(~known.all(axis=1) & (known.sum(axis=1) > 1)):
        there = known[row]
        lines[row] = np.interp(along, along[there], lines[row, there], left=np.nan, right=np.nan)
    return np.moveaxis(lines.reshape(turned.shape), -1, axis)


def carried(spent: FloatArray, axis: int, along: FloatArray, *, ahead: float, behind: float) -> FloatArray:
    """Return values with unknown knots past the last known one as size^ahead, those before the first as size^behind."""
    filled = np.moveaxis(spent, axis, 0).copy()
    for place in range(1, len(along)):
        guess = filled[place - 1] + ahead * (along[place] - along[place - 1])
        filled[place] = np.where(np.isnan(filled[place]), guess, filled[place])
    for place in range(len(along) - 2, -1, -1):
        guess = filled[place + 1] - behind * (along[place + 1] - along[place])
        filled[place] = np.where(np.isnan(filled[place]), guess, filled[place])
    return np.moveaxis(filled, 0, axis)


def read(grid: Grid, sizes: tuple[FloatArray, ...]) -> Reading:
    """Return bounds linear between knots in every ln(size): continuous, monotone along every axis, exact at knots.

    Outside, from the nearest point inside, they open: a time grows with a size to a power between 0 and 2.
    """
    both, columns = grid.values, list[Cell]()
    below: FloatArray = np.zeros(())
    above: FloatArray = np.zeros(())
    for size, axis in zip(sizes, grid.axes, strict=True):
        point = np.log(np.maximum(size, TINY))
        near = np.minimum(np.maximum(point, axis[0]), axis[-1])
        gap = point - near
        below, above = below + np.maximum(-gap, 0.0), above + np.maximum(gap, 0.0)
        cell = _cell(near, axis)
        if near.size > 1:
            columns.append(cell)
        else:  # single numbers leave fewer corners to the columns
            low, high, share = cell[0].item(), cell[1].item(), cell[2].item()
            along = 1 + len(columns)
            both = np.asarray(both.take(low, along) * (1.0 - share) + both.take(high, along) * share)
    floor, ceiling, measured = _between(both, columns)
    return Reading(
        floor=floor - STEEPEST * below,
        ceiling=ceiling + STEEPEST * above,
        measured_frac=np.minimum(measured, 1.0),
        outside=below + above,
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
