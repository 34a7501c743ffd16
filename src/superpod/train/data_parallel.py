"""What data-parallel ranks send in one step, and how much of it nothing hides."""

from dataclasses import dataclass

import numpy as np

from superpod.parallel.axes import data
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import groups
from superpod.result import Num, chosen
from superpod.train.overlap import exposed
from superpod.train.weights import parameter_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Seconds of a micro-batch's forward and backward pass that traffic may run beside, on so many layers."""

    ahead_s: Num
    behind_s: Num
    layers_count: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTraffic:
    """Seconds of one gathering before the forward pass and of one reduction after the backward pass, and their number.

    ZeRO-3 gathers for the backward pass too, which counts as part of the reduction.
    """

    gather_s: Num
    reduce_s: Num
    gathers_count: Num
    reduces_count: Num

    @property
    def time_s(self) -> Num:
        """All of it, beside nothing."""
        return self.gathers_count * self.gather_s + self.reduces_count * self.reduce_s


def step_traffic(engine: Engine, layout: Layout, passes: Num) -> StepTraffic:
    """Return the traffic of what every token uses and of experts, whose ranks hold them together."""
    placed, share = groups(layout), parameter_share(engine.spec, layout)
    common = data.traffic(engine.fabric, placed.data, share.common, layout)
    routed = data.traffic(engine.fabric, placed.expert_data, share.experts, layout)
    several, wide = layout.data * layout.context > 1, layout.expert_data > 1
    gather = np.where(several, common.gather_s, 0.0) + np.where(wide, routed.gather_s, 0.0)
    reduce = np.where(several, common.reduce_s, 0.0) + np.where(wide, routed.reduce_s, 0.0)
    gathers, reduces = data.rounds(layout, passes)
    return StepTraffic(
        gather_s=gather,
        reduce_s=reduce + np.where(chosen(layout.zero, "3"), gather, 0.0),
        gathers_count=gathers,
        reduces_count=reduces,
    )


def exposed_s(engine: Engine, layout: Layout, passes: Num, window: Window) -> Num:
    """Return the exposed part of gradient reduction and parameter gathering in one step.

    Gradients travel beside the backward pass and parameters beside the forward pass, layer by layer: what exceeds the
    kernels is exposed, and so is one layer's at either end, which has nothing to run beside. ZeRO-1 reduces once a
    step; ZeRO-2 reduces and ZeRO-3 also gathers for every micro-batch (arXiv 1910.02054, section 7). Where a stage
    holds v chunks, all but one chunk's are complete while the last p micro-batches still pass the others: the windows
    are p (v - 1)/v micro-batches wide, and one chunk's share is exposed (Megatron-Core's overlap by model chunk).
    """
    sent = step_traffic(engine, layout, passes)
    once = (np.asarray(layout.virtual) > 1.0) & ~np.asarray(chosen(layout.zero, "2", "3"))
    beside = np.where(once, np.minimum(layout.pipeline, passes) * (layout.virtual - 1.0) / layout.virtual, 1.0)
    pieces = np.where(once, layout.virtual, np.maximum(window.layers_count, 1.0))
    tax = engine.fabric.tiers[-1].link.collective_tax_frac
    forth = exposed(sent.gather_s, window.ahead_s * beside, tax) + sent.gather_s / pieces
    back = exposed(sent.reduce_s, window.behind_s * beside, tax) + sent.reduce_s / pieces
    shown = sent.gathers_count * np.minimum(forth, sent.gather_s)
    shown = shown + sent.reduces_count * np.minimum(back, sent.reduce_s)
    return np.where(chosen(layout.overlap, "none"), sent.time_s, shown)
