"""What every limit of a machine leaves to one of its chips: feeds, coolant, temperatures, the nameplate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superpod.errors import InfeasibleError, ScenarioError
from superpod.facility.cooling.building import building
from superpod.facility.cooling.coolant import junction_c, memory_c, resistance_k_per_w
from superpod.facility.cooling.weather import Weather
from superpod.facility.power.chip import Powered
from superpod.facility.power.limits import Cap, Settled, settle
from superpod.plan.power.report import Check
from superpod.plan.power.site import Filled, Site, Subject
from superpod.result import Num
from superpod.units import human


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Limits that are asked for: of one chip, of a cabinet's feed, of the machine's, of the site's, of a coolant unit.

    None where there is none. The site's counts what the building draws in its worst hour.
    """

    chip_w: float | None = None
    rack_w: float | None = None
    machine_w: float | None = None
    site_w: float | None = None
    cdu_w: float | None = None


NO_CAPS = Caps()


def capped(asked: Caps, about: Subject, made: Filled, weather: Weather) -> Settled:
    """Return what all caps leave to a chip; raise InfeasibleError where that is less than a chip draws at no clock."""
    loads = made.powered(about.loads)
    settled = settle(made.shares, made.max_w, loads, caps_of(asked, about, made, weather))
    floor = float(np.ravel(made.shares.throttle.static_ratio * made.max_w)[0])
    left = float(np.ravel(settled.limit_w)[0])
    if left <= floor:
        raise InfeasibleError(
            f"{settled.bound or 'a cap'} leaves {left:.0f} W to a chip that draws {floor:.0f} W at no clock",
            where=f"pods/{about.machine.pod.id}",
            hint="a higher cap, or fewer cards",
        )
    return settled


def caps_of(asked: Caps, about: Subject, made: Filled, weather: Weather) -> list[Cap]:
    """Return the caps: those asked for, temperatures of chips and their memory, the machine's nameplate."""

    def fed(name: str, watts: Num) -> Cap:
        left = made.chips_within(watts)
        return Cap(name=name, allowed_w=lambda _: left)

    caps = temperatures(about, made)
    if asked.chip_w is not None:
        own = asked.chip_w
        caps.append(Cap(name="the cap of a chip", allowed_w=lambda _: own))
    if asked.rack_w is not None:
        caps.append(fed("the feed of a cabinet", asked.rack_w * racks(about, "--rack-cap")))
    if asked.machine_w is not None:
        caps.append(fed("the feed of the machine", asked.machine_w))
    if asked.site_w is not None:
        outside = made.bill.chips_count * made.parts.network.scale_out_w
        caps.append(fed("the feed of the site", asked.site_w / worst_ratio(made, weather) - outside))
    if asked.cdu_w is not None:
        wet = np.maximum(made.design.liquid_frac, 1e-9)
        caps.append(fed("the coolant unit", asked.cdu_w * racks(about, "--cdu-cap") / wet))
    plate = about.machine.pod.power.max_w
    if plate is not None:
        caps.append(fed("the machine's nameplate", plate * made.bill.chips_count / about.machine.pod.chips_count))
    return caps


def worst_ratio(made: Filled, weather: Weather) -> Num:
    """Return site over IT power in the worst hour: the same for a machine of any size."""
    return np.squeeze(building(made.parts, made.design, weather, 1.0, 1.0).worst_pue)


def temperatures(about: Subject, made: Filled) -> list[Cap]:
    """Return the caps of the junction's temperature and of the memory's; none where the plate is not known.

    Junction: (T_limit - T_supply - rise x place) / R. Memory: (T_limit - over x u_m - T_supply - rise x place) / R in
    the phases that it binds in. The loop's rise is the design's where every chip draws its limit, and falls with the
    draw at the same flow. Chips in air or in a tank are held by their makers' heat sinks, and those beyond the largest
    class of plates by plates of their own, of which nothing is known.
    """
    if not plates_known(about):
        return []
    resistance = resistance_k_per_w(made.parts.plates, about.max_w)
    junction, design = made.parts.junction, made.design
    phases = [item for load in made.powered(about.loads) for item in load]

    def room(limit_c: Num, drawn_w: Num) -> Num:
        rise = design.rise_k * drawn_w / made.max_w * junction.place_frac
        return (limit_c - design.supply_c - rise) / resistance

    def memory(drawn_w: Num) -> Num:
        least: Num = 1.0 * made.max_w
        for item in phases:
            left = room(junction.memory_limit_c - junction.memory_over_k * item.activity.memory_frac, drawn_w)
            least = np.minimum(least, np.where(np.asarray(item.power_w) > left, left, made.max_w))
        return least

    return [
        Cap(name="the junction temperature", allowed_w=lambda drawn_w: room(junction.limit_c, drawn_w)),
        Cap(name="the temperature of the memory", allowed_w=memory),
    ]


def hottest_c(about: Subject, made: Filled, loads: Sequence[Sequence[Powered]]) -> tuple[float, float]:
    """Return the temperatures of junction and memory in the phases that heat them most, under plates that are known."""
    resistance = resistance_k_per_w(made.parts.plates, about.max_w)
    junction, design = made.parts.junction, made.design
    phases = [item for load in loads for item in load]
    rise = design.rise_k * max(float(item.power_w) for item in phases) / about.max_w
    dies = [float(junction_c(x.power_w, design.supply_c, rise, junction.place_frac, resistance)) for x in phases]
    stacks = [
        float(memory_c(die_c, item.activity.memory_frac, junction.memory_over_k))
        for die_c, item in zip(dies, phases, strict=True)
    ]
    return max(dies), max(stacks)


def plates_known(about: Subject) -> bool:
    """Return whether chips sit under cold plates of a class whose resistance is known."""
    return about.design.plates and about.max_w <= max(plate.chip_w for plate in about.parts.plates)


def racks(about: Subject, option: str) -> float:
    """Return the machine's cabinets; raise ScenarioError where nobody says how many there are."""
    if not about.bill.racks_count:
        raise ScenarioError(
            f"nobody says how many cabinets {about.machine.pod.name} has",
            where=option,
            hint=f"--set pods/{about.machine.pod.id}:power.cabinets_count=N",
        )
    return about.bill.racks_count


def feed_checks(asked: Caps, about: Subject, found: Site) -> tuple[Check, ...]:
    """Return whether the feeds asked for bear the short overshoot of chips that are held under them on average."""
    feeds = [] if asked.machine_w is None else [asked.machine_w]
    if asked.rack_w is not None:
        feeds.append(asked.rack_w * racks(about, "--rack-cap"))
    peak = float(np.ravel(found.peak_w)[0])
    checked = [("peak against the feed", peak, min(feeds))] if feeds else []
    if asked.site_w is not None:
        outside = float(np.ravel(found.scale_out_w)[0])
        worst = float(np.ravel(found.building.worst_pue)[0])
        checked.append(("peak against the site's feed", (peak + outside) * worst, asked.site_w))
    return tuple(
        Check(
            name=name,
            verdict="ok" if watts <= feed else "stop",
            text=f"chips overshoot to {human(watts, 'W')}, the feed gives {human(feed, 'W')}",
        )
        for name, watts, feed in checked
    )
