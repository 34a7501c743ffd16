"""How evenly expert ranks are loaded while serving: from visits and copies of experts to the fullest rank."""

from functools import lru_cache

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.errors import ScenarioError
from superpod.plan.scenario import Serving
from superpod.result import Num
from superpod.serve.expert_load import Loads, drawn_loads, filled, imbalance_ratio, in_order_ratio

DRAWN_LAYERS = 8
"""Layers whose visits are drawn, and averaged: their ratios differ by a tenth, the mean of eight by a thirtieth."""
SEED = 0

Layers = tuple[tuple[float, ...], ...]


def imbalance_of(spec: ModelSpec, work: Serving, ranks: Num) -> Num:
    """Return the load of the fullest expert rank over the mean for each width of expert parallelism.

    The given ratio, or, where visits are known, what they and the redundant places make of it: without copies experts
    lie in order, with copies as EPLB places them (`serve.expert_load`).
    """
    loads = visits_of(spec, work)
    if loads is None:
        return work.imbalance_ratio
    widths = np.asarray(ranks, dtype=float)
    ratios = np.ones(widths.shape)
    for width in np.unique(widths):
        ratios[widths == width] = balanced(loads, int(width), work.redundant_count)
    return ratios


def visits_of(spec: ModelSpec, work: Serving) -> Layers | None:
    """Return the visits of each expert, layer by layer; None where nobody says.

    Raises:
        ScenarioError: a model without experts, or visits of another number of them.
    """
    if not work.expert_visits_count and work.expert_draw_ratio is None:
        return None
    count = experts_count(spec)
    if work.expert_draw_ratio is not None:
        return drawn(count, *work.expert_draw_ratio)
    if any(len(row) != count for row in work.expert_visits_count):
        found = len(work.expert_visits_count[0])
        raise ScenarioError(
            f"found visits of {found} experts, expected {count}",
            where=f"models/{spec.id}",
            hint="one number for each routed expert of a layer",
        )
    return work.expert_visits_count


def experts_count(spec: ModelSpec) -> int:
    """Return the routed experts of a layer.

    Raises:
        ScenarioError: a dense model.
    """
    found = max(
        (group.ffn.experts_count for group in spec.layers if isinstance(group.ffn, MixtureOfExperts)), default=0
    )
    if not found:
        raise ScenarioError(
            f"{spec.name} has no experts that could be loaded unevenly or copied",
            where="--visits, --redundant-experts",
            hint="leave them out for a dense model",
        )
    return int(found)


@lru_cache(maxsize=16)
def drawn(count: int, power: float, largest_ratio: float) -> Layers:
    """Return drawn visits as numbers."""
    loads = drawn_loads(count, power=power, largest_ratio=largest_ratio, layers_count=DRAWN_LAYERS, seed=SEED)
    return tuple(tuple(row) for row in loads.tolist())


@lru_cache(maxsize=1024)
def balanced(visits: Layers, ranks_count: int, redundant_count: int) -> float:
    """Return the load of the fullest of some ranks over the mean; 1 for one rank, which holds all."""
    loads: Loads = np.asarray(visits, dtype=float)
    if ranks_count <= 1:
        return 1.0
    if not redundant_count:
        return in_order_ratio(loads, ranks_count)
    copies = filled(loads.shape[1], ranks_count, redundant_count)
    return imbalance_ratio(loads, ranks_count, redundant_count=copies)
