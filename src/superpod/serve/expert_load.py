"""How unevenly experts are liked, and what copies of the busiest ones and their placement make of it.

The result is `Layout.imbalance_ratio`: the load of the fullest rank over the mean, before what drawing tokens at random
adds (`workload.blocks.moe.load_imbalance`).
"""

import numpy as np
import numpy.typing as npt

from superpod.errors import ScenarioError

Loads = npt.NDArray[np.float64]


def drawn_loads(experts_count: int, *, power: float, largest_ratio: float, layers_count: int = 1, seed: int) -> Loads:
    """Return visits of experts, layer by layer, drawn from a power law that is cut off at its `largest_ratio`.

    x = [(r^(1 - a) - 1) u + 1]^(1 / (1 - a)) for u uniform, so 1 <= x <= r with density ~ x^-a; a = 1 is r^u. The
    planner AIConfigurator (github.com/ai-dynamo/aiconfigurator) draws its loads so, with a from 1.01 to 1.2.

    Raises ScenarioError for a ratio below 1.
    """
    if largest_ratio < 1.0:
        raise ScenarioError(
            f"the busiest expert has {largest_ratio:g} times the load of the idlest", where="experts", hint="at least 1"
        )
    even = np.random.default_rng(seed).random((layers_count, experts_count))
    if abs(power - 1.0) < 1e-9:
        return np.asarray(largest_ratio**even)
    rest = 1.0 - power
    return np.asarray(((largest_ratio**rest - 1.0) * even + 1.0) ** (1.0 / rest))


def imbalance_ratio(loads: Loads, ranks_count: int, *, redundant_count: int = 0, placed: bool = True) -> float:
    """Return the load of the fullest rank over the mean, averaged over the layers (rows) of measured or drawn loads.

    `redundant_count` more copies go, one by one, to the expert whose copies have the most to do, which then share it
    evenly. `placed`: each rank takes the same number of copies, the busiest first to the rank that has least; else
    experts lie in order. Both are what DeepSeek's EPLB does inside one node group (github.com/deepseek-ai/EPLB).

    Raises ScenarioError where copies cannot be shared evenly, or loads are not positive.
    """
    rows = np.atleast_2d(np.asarray(loads, dtype=float))
    copies = rows.shape[1] + redundant_count
    if copies % ranks_count:
        raise ScenarioError(
            f"{rows.shape[1]} experts and {redundant_count} redundant ones on {ranks_count} ranks",
            where="experts",
            hint=f"{-copies % ranks_count} more redundant ones make it even",
        )
    if not (rows.sum(axis=1) > 0.0).all() or (rows < 0.0).any():
        raise ScenarioError("loads of experts are not positive", where="experts", hint="visits, layer by layer")
    fullest = [_fullest(row, ranks_count, redundant_count, placed) for row in rows]
    return float(np.mean(np.asarray(fullest) * ranks_count / rows.sum(axis=1)))


def in_order_ratio(loads: Loads, ranks_count: int) -> float:
    """Return the load of the fullest rank over the mean where each expert lies once and in order, averaged over layers.

    With more ranks than experts an expert's visits are shared out evenly: (largest) / (mean of the experts).
    """
    rows = np.atleast_2d(np.asarray(loads, dtype=float))
    count = rows.shape[1]
    ranks = min(ranks_count, count)
    held = np.add.reduceat(rows, np.arange(ranks) * count // ranks, axis=1)
    return float(np.mean(held.max(axis=1) / held.mean(axis=1)))


def filled(experts_count: int, ranks_count: int, redundant_count: int) -> int:
    """Return the redundant places that fill all ranks evenly: ceil((E + r) / e) e - E; none on a single rank."""
    each = -(-(experts_count + redundant_count) // ranks_count)
    return each * ranks_count - experts_count if ranks_count > 1 else 0


def _fullest(loads: Loads, ranks_count: int, redundant_count: int, placed: bool) -> float:
    """Return the load of the fullest rank of one layer."""
    counts = np.ones(len(loads), dtype=np.int64)
    for _ in range(redundant_count):
        counts[np.argmax(loads / counts)] += 1
    each = np.repeat(loads / counts, counts)
    if not placed:
        return float(each.reshape(ranks_count, -1).sum(axis=1).max())
    room = len(each) // ranks_count
    held, taken = np.zeros(ranks_count), np.zeros(ranks_count, dtype=np.int64)
    for load in np.sort(each)[::-1]:
        rank = int(np.argmin(np.where(taken < room, held, np.inf)))
        held[rank] += load
        taken[rank] += 1
    return float(held.max())
