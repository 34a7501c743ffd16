"""How many machines at work fit under one feed of a site."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superpod.errors import InfeasibleError
from superpod.facility.power.chip import Powered
from superpod.facility.power.provisioning import Levels, apart, together
from superpod.facility.power.trace import Swings
from superpod.plan.power.report import Fit, Provision
from superpod.plan.power.site import Site, Subject, fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The supply of a site, and the share of the time that loads may stand above it, held there by caps."""

    power_w: float
    exceed_frac: float


def provisioned(
    asked: Feed, about: Subject, found: Site, loads: Sequence[Sequence[Powered]], swing: Swings | None
) -> Provision:
    """Return how many machines such as this fit, way of counting by way; raise InfeasibleError where none does.

    A machine counts with its share of the scale-out network and what its building takes in the worst hour. Its power
    over time is that of a training step, or of the phases of serving.
    """
    worst = float(np.ravel(found.building.worst_pue)[0])
    outside = float(np.ravel(found.scale_out_w)[0])

    def at_site(machine_w: float) -> float:
        return (machine_w + outside) * worst

    levels = power_levels(about, loads, swing)
    sited = Levels(power_w=(levels.power_w + outside) * worst, share_frac=levels.share_frac)
    plate = about.machine.pod.power.max_w
    counted: list[tuple[str, float, int]] = []
    for basis, machine_w in (
        ("nameplate", None if plate is None else plate * about.bill.chips_count / about.machine.pod.chips_count),
        ("provisioned peak", float(np.ravel(found.peak_w)[0])),
    ):
        if machine_w is not None:
            counted.append((basis, at_site(machine_w), math.floor(asked.power_w / at_site(machine_w))))
    steady = sited.quantile_w(asked.exceed_frac)
    counted.append(("in step", steady, together(sited, asked.power_w, asked.exceed_frac)))
    independent = apart(sited, asked.power_w, asked.exceed_frac)
    counted.append(("each in its own time", asked.power_w / max(independent, 1), independent))
    if counted[-1][2] < 1:
        raise InfeasibleError(
            f"a feed of {asked.power_w / 1e3:,.0f} kW bears no such machine, which draws {steady / 1e3:,.0f} kW",
            where="--feed",
            hint="a larger feed, or fewer cards",
        )
    fits = tuple(
        Fit(
            basis=basis,
            unit_w=unit_w,
            machines_count=float(count),
            pods_count=count * about.bill.pods_count,
            mean_frac=count * sited.mean_w / asked.power_w,
        )
        for basis, unit_w, count in counted
    )
    return Provision(feed_w=asked.power_w, exceed_frac=asked.exceed_frac, fits=fits)


def power_levels(about: Subject, loads: Sequence[Sequence[Powered]], swing: Swings | None) -> Levels:
    """Return the power of the machine at a time drawn at random.

    By the timeline where there is one. Else by the phases: chips of a load are in the same phase, loads each in their
    own, which draws the machine's swings wider than instances that serve apart would.
    """
    if swing is not None:
        power = np.array(swing.shape_w)
        return Levels(power_w=power, share_frac=np.full(len(power), 1.0 / len(power)))
    made, chips = fill(about), sum(load.chips_count for load in about.loads)
    each = [
        [(float(x.power_w) * load.chips_count / chips, float(x.activity.time_s)) for x in items]
        for load, items in zip(about.loads, loads, strict=True)
    ]
    whole = [sum(time for _, time in items) for items in each]
    states = list(itertools.product(*each))
    chip_w = np.array([sum(watts for watts, _ in state) for state in states])
    shares = [math.prod(t / w for (_, t), w in zip(state, whole, strict=True)) for state in states]
    return Levels(power_w=np.asarray(made.machine(chip_w).power_w), share_frac=np.array(shares))
