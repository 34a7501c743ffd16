"""From grids to one operator: bounds of what was measured, and the analytic model between them."""

from dataclasses import dataclass

import numpy as np

from superpod.operator_tables.grid import Grid, read
from superpod.operator_tables.read import FloatArray
from superpod.result import Num

FADE = np.log(4.0)  # nothing of a size four times beyond the last measured one counts as measured
TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one engine's tables say of an operator: ln of the least and of the most that it takes; equal where measured.

    `share_frac` is the share of the answer that is theirs.
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
    near = np.clip(1.0 - (found.outside + departure) / FADE, 0.0, 1.0)
    ceiling = found.ceiling if bigger is None else read(grid, _floats(bigger)).ceiling
    return Measured(floor=found.floor, ceiling=ceiling, share_frac=found.measured_frac * near)


def _floats(sizes: tuple[Num, ...]) -> tuple[FloatArray, ...]:
    return tuple(np.asarray(size, dtype=float) for size in sizes)


def blended(answers: list[Measured], analytic_s: Num) -> tuple[FloatArray, FloatArray]:
    """Return (ln(t), share measured): the median of all engines' bounds and the analytic ln(t), and the largest share.

    ln t = median(floors, ceilings, ln t_analytic). Of one engine that is the analytic time held between its bounds;
    where the bounds of an odd number of engines are closed, the middle one; between the middle two of an even number
    the analytic model decides. An engine whose bounds are wide open does not count.

    Never falls with work: floors and ceilings are monotone by construction of the grid, the analytic time is, and a
    median of monotone functions is monotone, whatever each of them does. A sum with weights that fade would not be:
    where it fades from a slow answer to a quick one faster than either rises, it falls.
    """
    analytic = np.log(np.maximum(np.asarray(analytic_s, dtype=float), TINY))
    if len(answers) == 1:
        held: FloatArray = np.clip(analytic, answers[0].floor, answers[0].ceiling)
        return held, answers[0].share_frac
    bounds = [bound for one in answers for bound in (one.floor, one.ceiling)]
    ranked = np.sort(np.stack(np.broadcast_arrays(analytic, *bounds)), axis=0)
    return ranked[len(answers)], np.max(np.stack(np.broadcast_arrays(*(one.share_frac for one in answers))), axis=0)
