"""Print the fits of chip power that `chip_power/*.toml` quotes, each with its error on models left out.

    python benchmarks/fit_chip_power.py POINTS.jsonl

POINTS.jsonl holds serving points with `output_tokens_per_s` and `energy_per_token_j` of all chips (ML.ENERGY's
leaderboard, for one); those of workloads with long prompts of no published length are left out. Needs scipy.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from superpod.catalog.load import Catalogue
from superpod.validate.chip_power import Drawn, drawn
from superpod.validate.point import read_points

PROMPT_TOKENS = 300.0  # of questions and chats; the published file does not say
START = (0.3, 0.5, 3.0, 0.95)
BOUNDS = ((0.1, 0.0, 0.0, 0.5), (0.8, 5.0, 30.0, 1.2))

Array = npt.NDArray[np.float64]


def shares(fit: Array, items: Sequence[Drawn]) -> Array:
    """Return power over the limit by (active, memory, compute, cap)."""
    memory = np.array([float(item.activity.memory_frac) for item in items])
    flop = np.array([float(item.activity.flop_frac) for item in items])
    return np.minimum(fit[3], fit[0] + fit[1] * memory + fit[2] * flop)


def fitted(items: Sequence[Drawn]) -> Array:
    """Return the least squares of relative errors, large ones softened."""
    measured = np.array([item.measured_w / item.limit_w for item in items])
    found = least_squares(
        lambda fit: shares(fit, items) / measured - 1.0, START, bounds=BOUNDS, loss="soft_l1", f_scale=0.05
    )
    return np.asarray(found.x)


def left_out(items: Sequence[Drawn]) -> float:
    """Return the mean error over models that the fit has not seen, each in turn."""
    errors: list[float] = []
    for model in sorted({item.model for item in items}):
        mine = [item for item in items if item.model == model]
        rest = [item for item in items if item.model != model]
        measured = np.array([item.measured_w / item.limit_w for item in mine])
        errors += list(np.abs(shares(fitted(rest), mine) / measured - 1.0))
    return float(np.mean(errors))


def constant(items: Sequence[Drawn]) -> float:
    """Return the mean error of the median of all."""
    measured = np.array([item.measured_w for item in items])
    return float(np.mean(np.abs(np.median(measured) / measured - 1.0)))


def main() -> None:
    """Print one line a chip and kind of model."""
    items = drawn(Catalogue(), read_points(Path(sys.argv[1])), PROMPT_TOKENS)
    print(f"{len(items)} points")
    for chip in sorted({item.chip for item in items}):
        for routed in (False, True):
            mine = [item for item in items if item.chip == chip and item.activity.routed == routed]
            if len({item.model for item in mine}) < 3:
                continue
            active, memory, compute, cap = fitted(mine)
            own = float(np.mean([abs(item.error_frac) for item in mine]))
            print(
                f"{chip} {'routed' if routed else 'dense'}: {len(mine)} points, "
                f"active {active:.2f} memory {memory:.2f} "
                f"compute {compute:.2f} cap {cap:.2f}; left out {left_out(mine):.1%}, constant {constant(mine):.1%}, "
                f"catalogue's shares {own:.1%}"
            )


if __name__ == "__main__":
    main()
