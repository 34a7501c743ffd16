"""From grids to one operator: bounds of what was measured, and the analytic model between them."""

from dataclasses import dataclass

import numpy as np

from superpod.operator_tables.grid import Grid, read
from superpod.operator_tables.read import FloatArray
from superpod.result import Num

REACH = np.log(4.0)  # a bound at a size four times beyond the last measured one does not count as measured at all
TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one engine's tables say of an operator: ln of the least and of the most that it takes; equal where measured.

    `share_frac` is how much of an answer that rests on one of these bounds counts as measured.
    """

    floor: FloatArray
    ceiling: FloatArray
    share_frac: FloatArray


def measured(
    grid: Grid, sizes: tuple[Num, ...], bigger: tuple[Num, ...] | None = None, departure: Num = 0.0
) -> Measured:
    """Return a grid's answer: exact inside, bounds that open with the distance outside.

    An operator that is not of the kind that was timed lies between two that are, of `sizes` and of `bigger`:
    `departure`, |ln| of how far it is from the smaller one, counts as distance. The share falls linearly with distance,
    to 0 at four times the last size.
    """
    found = read(grid, _floats(sizes))
    near = np.clip(1.0 - (found.outside + departure) / REACH, 0.0, 1.0)
    ceiling = found.ceiling if bigger is None else read(grid, _floats(bigger)).ceiling
    return Measured(floor=found.floor, ceiling=ceiling, share_frac=found.measured_frac * near)


def _floats(sizes: tuple[Num, ...]) -> tuple[FloatArray, ...]:
    return tuple(np.asarray(size, dtype=float) for size in sizes)


def held(answers: list[Measured], analytic_s: Num) -> tuple[FloatArray, FloatArray]:
    """Return (ln(t), share measured): the median of all engines' bounds and the analytic ln(t).

    ln t = median(floors, ceilings, ln t_analytic). Of one engine that is the analytic time held between its bounds;
    where the bounds of an odd number of engines are closed, the middle one; between the middle two of an even number
    the analytic model decides. An engine whose bounds are wide open does not count. The share is that of the engine
    whose bound the median is, and 0 where the median is the analytic time.

    Never falls with work: floors and ceilings are monotone by construction of the grid, the analytic time is, and a
    median of monotone functions is monotone, whatever each of them does. A sum with weights that fade would not be:
    where it fades from a slow answer to a quick one faster than either rises, it falls.
    """
    analytic = np.log(np.maximum(np.asarray(analytic_s, dtype=float), TINY))
    if len(answers) == 1:
        middle: FloatArray = np.clip(analytic, answers[0].floor, answers[0].ceiling)
    else:
        bounds = [bound for one in answers for bound in (one.floor, one.ceiling)]
        middle = np.sort(np.stack(np.broadcast_arrays(analytic, *bounds)), axis=0)[len(answers)]
    share_frac: FloatArray = np.zeros(np.shape(middle))
    for one in answers:
        picked = (middle == one.floor) | (middle == one.ceiling)
        share_frac = np.maximum(share_frac, np.where(picked, one.share_frac, 0.0))
    return middle, share_frac
