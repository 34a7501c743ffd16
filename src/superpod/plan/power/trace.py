"""The timeline of a training step as power over time."""

from collections.abc import Mapping

import numpy as np

from superpod.facility.power.chip import Powered
from superpod.facility.power.trace import Trace, sampled
from superpod.train.timeline import COMPUTE, HOST, OPTIMIZER, StepTimeline


def step_trace(
    timeline: StepTimeline, items: tuple[Powered, ...], chips_count: float, machine_w: tuple[float, float]
) -> Trace:
    """Return the power of a machine over one step, repeated.

    `machine_w` is (W with chips that wait, W more for each W of a chip's mean). Kernels on a stage draw the mean of all
    kernels, all else of the step what waiting draws; each stage has an equal share of the chips. Where the timeline
    leaves out its steady middle, stages draw there what keeps the step's energy. Transfers beside kernels add nothing.
    """
    powers = _kinds(items)
    base, slope = machine_w
    spans = timeline.spans
    kernels = spans.exposed & (spans.stream == COMPUTE) & (spans.kind != HOST)
    update = spans.exposed & (spans.stream == OPTIMIZER)
    chosen = kernels | update
    extra = np.where(update[chosen], powers["update"], powers["kernel"]) - powers["wait"]
    start, end = spans.start_s[chosen], spans.end_s[chosen]
    period = max(float(timeline.end_s), float(timeline.step_s))
    stages = float(timeline.stages_count)
    if timeline.gap is not None:
        shown = float(np.sum((end - start) * extra)) / stages
        mean = sum(float(item.energy_j) for item in items) / sum(float(item.activity.time_s) for item in items)
        length = max(timeline.gap.end_s - timeline.gap.start_s, 1e-12)
        left = ((mean - powers["wait"]) * period - shown) / length
        start, end = np.append(start, timeline.gap.start_s), np.append(end, timeline.gap.end_s)
        extra = np.append(extra, left * stages)
    return sampled(start, end, extra / stages * chips_count * slope, base, period)


def _kinds(items: tuple[Powered, ...]) -> Mapping[str, float]:
    """Return the mean power of one chip in kernels, in the optimizer's update, and while it waits."""
    updates = [item for item in items if item.activity.name == "optimizer update"]
    kernels = [item for item in items if item.activity.kind == "kernel" and item not in updates]
    waits = [item for item in items if item.activity.kind == "wait"]

    def mean(chosen: list[Powered]) -> float:
        time = sum(float(item.activity.time_s) for item in chosen)
        return sum(float(item.energy_j) for item in chosen) / time if time > 0.0 else 0.0

    kernel = mean(kernels)
    return {"kernel": kernel, "update": mean(updates) or kernel, "wait": mean(waits) or kernel}
