"""From a grid to one operator: the utilisation at the edge carried outwards, fading into the analytic model."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from superpod.compute.device import Device
from superpod.operator_tables.grid import Grid, read
from superpod.operator_tables.read import FloatArray
from superpod.result import Num

FADE = np.log(4.0)  # a size four times beyond the last measured one is the analytic model's
TINY = 1e-300

Work = tuple[Num, Num]
"""Flop and bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the tables say of an operator: ln(t), the share of the answer that is theirs, and ln bounds on the whole.

    `floor` and `ceiling` are the times of a smaller and of a bigger operator that were measured.
    """

    log_time: FloatArray
    share_frac: FloatArray
    floor: FloatArray
    ceiling: FloatArray


def bound_s(work: Work, device: Device, dtype: str) -> FloatArray:
    """Return the roofline max(flop / P, bytes / B) in seconds (Williams et al. 2009, doi:10.1145/1498765.1498785)."""
    flop, moved_bytes = work
    return np.asarray(np.maximum(flop / device.matrix_flop_per_s[dtype], moved_bytes / device.memory_bytes_per_s))


def measured(
    grid: Grid,
    sizes: tuple[Num, ...],
    work: Callable[..., Work],
    device: Device,
    dtype: str,
    departure: Num = 0.0,
) -> Measured:
    """Return a grid's answer: inside as measured, outside at the utilisation of the nearest point inside.

    t = t_grid(x') SOL(x) / SOL(x'), x' the nearest point inside and SOL the roofline of `work(*sizes)`; the share falls
    linearly in ln(size) to 0 at four times the last size. `departure` is |ln| of how far the operator is from what was
    measured in other respects, and counts as distance.
    """
    found = read(grid, tuple(np.asarray(size, dtype=float) for size in sizes))
    ahead = bound_s(work(*sizes), device, dtype) / bound_s(work(*found.inside), device, dtype)
    near = np.clip(1.0 - (found.outside + departure) / FADE, 0.0, 1.0)
    known = np.log(np.maximum(found.measured_frac, TINY))
    return Measured(
        log_time=found.log_time + np.log(np.maximum(ahead, TINY)),
        share_frac=found.measured_frac * near,
        floor=np.where(found.below | (departure > 0.0), np.log(TINY), found.log_time + known),
        ceiling=np.where(found.above | (departure > 0.0), -np.log(TINY), found.log_time - known),
    )


def blended(said: Measured, analytic_s: Num) -> FloatArray:
    """Return ln(t) = s ln(t_measured) + (1 - s) ln(t_analytic), between the measured times of its neighbours."""
    analytic = np.log(np.maximum(np.asarray(analytic_s, dtype=float), TINY))
    mixed = said.share_frac * said.log_time + (1.0 - said.share_frac) * analytic
    held: FloatArray = np.clip(mixed, said.floor, said.ceiling)
    return held


def middle(answers: list[Measured]) -> Measured:
    """Return the median of several engines' answers, each weighing its share; the whole has the largest share."""
    if len(answers) == 1:
        return answers[0]
    columns = [
        np.stack(np.broadcast_arrays(*rows))
        for rows in zip(*((one.share_frac, one.log_time, one.floor, one.ceiling) for one in answers), strict=True)
    ]
    shares, values = columns[0], [weighted_median(column, columns[0]) for column in columns[1:]]
    return Measured(share_frac=np.max(shares, axis=0), log_time=values[0], floor=values[1], ceiling=values[2])


def weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted median over the first axis, between the middles of the weights: continuous in both.

    Equal weights: the middle value of an odd number, the mean of the two middle ones of an even number.
    """
    order = np.argsort(values, axis=0)
    ranked, heavy = (np.take_along_axis(part, order, axis=0) for part in (values, weights + TINY))
    place = (np.cumsum(heavy, axis=0) - 0.5 * heavy) / np.sum(heavy, axis=0)
    found: FloatArray = ranked[0]
    for low in range(len(ranked) - 1):
        gap = np.maximum(place[low + 1] - place[low], TINY)
        on_the_way = np.clip((0.5 - place[low]) / gap, 0.0, 1.0)
        found = found + on_the_way * (ranked[low + 1] - ranked[low])
    return found
