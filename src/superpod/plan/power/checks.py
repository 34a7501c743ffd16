"""Rules that every answer about power is held against, and published powers beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from superpod.catalog.schema import Facility
from superpod.facility.cooling.coolant import check_air, check_flow, coolant, fluid_named
from superpod.facility.cooling.weather import Weather
from superpod.facility.power.machine import Bill
from superpod.facility.power.trace import Swings
from superpod.plan.machine import Machine
from superpod.plan.power.report import Check, Nameplate, PhasePower
from superpod.plan.power.site import Site, Subject, fill, site
from superpod.result import Num
from superpod.units import human, percent

BALANCE_FRAC = 1e-3
LEVELS_FRAC = 0.02
SAME_FRAC = 1e-9
RATED_RATIO = (0.9, 1.8)  # of a machine at full load over the limits of its chips: 1.24 to 1.45 on measured nodes
L_PER_MIN_KW = 60.0e6  # litres a minute and kilowatt in m3/s and watt


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What an answer was found from: its phases, its weather, the limit of a chip, the site over thinned hours."""

    phases: tuple[PhasePower, ...]
    weather: Weather
    limit_w: Num
    thin: Site


def nameplates(made: Machine, mean_w: float, peak_w: float) -> tuple[Nameplate, ...]:
    """Return the pod's published powers, of as many cards, beside the mean and the provisioned peak of the work."""
    share = made.cards_count / made.pod.chips_count
    pairs = (("typical_w", made.pod.power.typical_w, mean_w), ("max_w", made.pod.power.max_w, peak_w))
    return tuple(
        Nameplate(where=f"pods/{made.pod.id}:power.{name}", published_w=value * share, computed_w=computed)
        for name, value, computed in pairs
        if value is not None
    )


def checks(about: Subject, found: Site, swing: Swings | None, detail: Detail) -> tuple[Check, ...]:
    """Return the balances, levels of detail against each other, and rules of overhead, air and coolant."""
    made = [energy_balance(found), heat_balance(found), phases_against_mean(about, found, detail.phases)]
    made += [hours_against_year(found, detail), twice_the_machine(about, found, detail), overhead(about, found)]
    if about.bill.racks_count:
        made.append(air_in_cabinet(about, found))
    if about.design.liquid_frac > 0.0:
        made.append(flow(about, found))
    if swing is not None:
        apart = swing.mean_w / float(found.machine.power_w) - 1.0
        made.append(
            Check(
                name="timeline against mean",
                verdict="ok" if abs(apart) <= LEVELS_FRAC else "warn",
                text=f"mean over the timeline {percent(abs(apart))} from that of the phases",
            )
        )
    return tuple(made)


def phases_against_mean(about: Subject, found: Site, phases: Sequence[PhasePower]) -> Check:
    """Return whether the energy of the phases that are shown is the mean power: sum of n share P = N mean."""
    counts = {load.name: load.chips_count for load in about.loads}
    total = sum(counts[item.load] * item.share_frac * item.power_w for item in phases)
    apart = abs(total / (sum(counts.values()) * float(np.ravel(found.chip_mean_w)[0])) - 1.0)
    return Check(
        name="phases against mean",
        verdict="ok" if apart <= SAME_FRAC else "stop",
        text=f"energy of the phases equals mean power within {apart:.1e}",
    )


def hours_against_year(found: Site, detail: Detail) -> Check:
    """Return whether the hours that what-ifs are drawn over have the mean of all hours."""
    apart = abs(float(np.ravel(detail.thin.mean_w)[0]) / float(np.ravel(found.mean_w)[0]) - 1.0)
    return Check(
        name="hours against year",
        verdict="ok" if apart <= BALANCE_FRAC else "warn",
        text=f"every seventh hour, over which ranges are drawn, has the year's mean within {apart:.1e}",
    )


def twice_the_machine(about: Subject, found: Site, detail: Detail) -> Check:
    """Return whether twice the machine at twice the work draws twice the power at the same PUE."""
    bill = about.bill
    twice = Bill(**{part.name: 2.0 * getattr(bill, part.name) for part in fields(Bill)})
    loads = tuple(replace(load, chips_count=2.0 * load.chips_count) for load in about.loads)
    modules = tuple(replace(item, modules_count=2.0 * item.modules_count) for item in about.modules)
    other = replace(about, bill=twice, loads=loads, modules=modules)
    again = site(other, fill(other), detail.weather, detail.limit_w)
    apart = abs(float(np.ravel(again.mean_w)[0]) / (2.0 * float(np.ravel(found.mean_w)[0])) - 1.0)
    ratio = abs(float(np.ravel(again.building.pue)[0]) / float(np.ravel(found.building.pue)[0]) - 1.0)
    return Check(
        name="twice the machine",
        verdict="ok" if max(apart, ratio) <= SAME_FRAC else "stop",
        text=f"draws twice the power at the same PUE within {max(apart, ratio):.1e}",
    )


def pue_check(place: Facility, pue_ratio: float) -> Check:
    """Return how the PUE of the design in its weather compares with the facility's own, which costs rest on."""
    fact = place.facts.get("pue")
    low, high = (None, None) if fact is None else (fact.low, fact.high)
    inside = (low is None or pue_ratio >= low) and (high is None or pue_ratio <= high)
    return Check(
        name="PUE of the facility",
        verdict="ok" if inside else "warn",
        text=f"{pue_ratio:.3f} here; {place.id} has {place.pue:g}"
        + (f" ({low:g} to {high:g})" if low is not None and high is not None else ""),
    )


def energy_balance(found: Site) -> Check:
    """Return whether uses sum to the whole: machine, scale-out and building against the site."""
    built = found.building
    it = float(found.machine.power_w) + float(found.scale_out_w)
    beside = built.chain_w + built.pumps_w + built.air_fans_w + built.rejection_fans_w + built.chiller_w + built.misc_w
    total = float(np.mean(beside)) + it
    apart = abs(total / float(np.ravel(found.mean_w)[0]) - 1.0)
    return Check(
        name="energy balance",
        verdict="ok" if apart <= BALANCE_FRAC else "stop",
        text=f"uses sum to the site's power within {apart:.1e}",
    )


def heat_balance(found: Site) -> Check:
    """Return whether every watt that comes in leaves as heat, in every hour."""
    apart = found.building.imbalance_frac
    verdict = "ok" if apart <= BALANCE_FRAC and float(np.min(found.building.pue)) >= 1.0 else "stop"
    return Check(
        name="heat balance", verdict=verdict, text=f"heat out equals power in within {apart:.1e} in every hour"
    )


def overhead(about: Subject, found: Site) -> Check:
    """Return whether the machine at the limits of its chips would draw a believable multiple of them."""
    chips = about.bill.chips_count * about.max_w
    beside = float(found.machine.power_w) - float(found.machine.part_w("chips"))
    ratio = (chips + beside) / chips
    believable = RATED_RATIO[0] <= ratio <= RATED_RATIO[1]
    return Check(
        name="machine over chips",
        verdict="ok" if believable else "warn",
        text=f"{ratio:.2f} times the limits of the chips; measured nodes 1.24 to 1.45",
    )


def air_in_cabinet(about: Subject, found: Site) -> Check:
    """Return whether air can take its share of the heat out of the mean cabinet."""
    share = 1.0 - about.design.liquid_frac
    heat = float(found.machine.power_w) / about.bill.racks_count * share
    limits = about.parts.air
    return Check(
        name="air in a cabinet",
        verdict=check_air(limits, heat),
        text=f"{human(heat, 'W')} of heat in air; hard from {human(limits.warn_w, 'W')}, none above "
        f"{human(limits.stop_w, 'W')}",
    )


def flow(about: Subject, found: Site) -> Check:
    """Return the coolant that the machine needs, and whether its rise is one that racks are built for."""
    design = about.design
    fluid = fluid_named(about.parts, design.fluid)
    heat = float(found.machine.power_w) * design.liquid_frac
    needed = float(coolant(fluid, design.supply_c).flow_m3_per_s(heat, design.rise_k))
    fact = about.ranged.get(f"cooling/{design.id}:rise_k")
    low = fact.low if fact is not None and fact.low is not None else design.rise_k
    high = fact.high if fact is not None and fact.high is not None else design.rise_k
    tested = check_flow(fluid, heat, needed, design.supply_c, (low * (1.0 - 1e-9), high * (1.0 + 1e-9)))
    each = needed / heat * L_PER_MIN_KW
    return Check(
        name="coolant flow",
        verdict=tested.verdict,
        text=f"{needed * 6e4:,.0f} L/min for {tested.rise_k:.1f} K ({each:.2f} L/min a kW); racks are built for "
        f"{low:g} to {high:g} K",
    )
