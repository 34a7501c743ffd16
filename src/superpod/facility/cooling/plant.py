"""What it takes to bring heat out of a building, hour by hour: exchangers, pumps, fans, towers, chillers, water."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.facility_parts import Cooling, PlantParts, Rejection
from superpod.facility.cooling.weather import FREEZING_K, Weather
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One loop's heat on its way out, per hour: fans, chillers, evaporated and drained water, heat that leaves."""

    fans_w: Num
    chiller_w: Num
    water_m3_per_s: Num
    out_w: Num


def column(value: Num) -> Num:
    """Return rows of a table as a column beside the hours; a plain number as it is."""
    return value[:, None] if isinstance(value, np.ndarray) and value.ndim == 1 else value


def reject(to: Rejection, plant: PlantParts, weather: Weather, heat_w: Num, need_c: Num) -> Rejected:
    """Return what rejecting `heat_w` takes when the loop must be brought to `need_c`.

    The source is the wet bulb (tower, and a chiller's tower) or the dry bulb, plus its approach. The share
    clip((T_need + range - T_available) / range, 0, 1) needs no chiller; the rest does, with
    COP = eta T_evap / (T_cond - T_evap), clipped. Fans follow the cube of the flow, and the flow 1 / (T_need - source).
    A tower evaporates latent heat, and drains 1 / (C - 1) of it; in hours when dry air does, it runs dry.
    """
    wet = to != "dry"
    bulb = weather.wet_c if wet else weather.dry_c
    approach = column(plant.tower_approach_k if wet else plant.dry_approach_k)
    source = bulb[None, :] + approach
    fading = column(plant.free_range_k)
    free = np.clip((need_c + fading - source) / fading, 0.0, 1.0) if to != "chiller" else 0.0 * source
    chiller = (1.0 - free) * heat_w / chiller_ratio(plant, need_c, source)
    leaving = heat_w + chiller
    speed = np.clip(approach / np.maximum(need_c - bulb[None, :], 1e-9), 0.0, 1.0)
    speed = np.where(free < 1.0, 1.0, speed)
    fans = column(plant.tower_fan_frac if wet else plant.dry_fan_frac) * leaving * speed**3
    water: Num = 0.0 * leaving
    if wet:
        needed = weather.dry_c[None, :] + column(plant.dry_approach_k) > need_c
        drained = column(plant.cycles_ratio / (plant.cycles_ratio - 1.0))
        water = np.where(needed, leaving * column(plant.evaporation_m3_per_j) * drained, 0.0)
    return Rejected(fans_w=fans, chiller_w=chiller, water_m3_per_s=water, out_w=leaving + fans)


def chiller_ratio(plant: PlantParts, need_c: Num, source_c: Num) -> Num:
    """Return heat over work of a chiller between the loop that it cools and the water or air that cools it."""
    half = column(plant.chiller_lift_k) / 2.0
    evaporator = need_c - half + FREEZING_K
    condenser = source_c + half + FREEZING_K
    ratio = column(plant.chiller_frac) * evaporator / np.maximum(condenser - evaporator, 1e-9)
    return np.clip(ratio, column(plant.cop_low_ratio), column(plant.cop_high_ratio))


def needed_c(design: Cooling, plant: PlantParts) -> tuple[Num, Num]:
    """Return how cold water must be for the liquid loop behind its exchanger, and for air behind its coil."""
    return design.supply_c - plant.cdu_approach_k, design.air_supply_c - plant.crah_approach_k
