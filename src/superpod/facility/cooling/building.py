"""A building around a machine: what it draws in every hour, where its heat goes, and the ratios that people quote."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.facility_parts import Cooling, FacilityParts
from superpod.facility.cooling.plant import column, needed_c, reject
from superpod.facility.cooling.weather import Weather
from superpod.facility.power.conversion import Stage
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """The power of a site by use, hours along the last axis; `it_w` and `it_work_w` do not change with the hour.

    `it_work_w` is IT power without server fans and supply losses: what computes. Every watt leaves as heat: `out_w`.
    """

    it_w: Num
    it_work_w: Num
    chain_w: Num
    pumps_w: Num
    air_fans_w: Num
    rejection_fans_w: Num
    chiller_w: Num
    misc_w: Num
    water_m3_per_s: Num
    out_w: Num

    @property
    def site_w(self) -> Num:
        """All uses together, each hour."""
        beside = self.chain_w + self.pumps_w + self.air_fans_w + self.misc_w
        return self.it_w + beside + self.rejection_fans_w + self.chiller_w

    @property
    def pue(self) -> Num:
        """Site over IT energy of all hours (ISO/IEC 30134-2)."""
        return np.asarray(np.mean(self.site_w / self.it_w, axis=-1))

    @property
    def worst_pue(self) -> Num:
        """Site over IT power in the worst hour: what the plant is sized for."""
        return np.asarray(np.max(self.site_w / self.it_w, axis=-1))

    @property
    def tue(self) -> Num:
        """Site energy over the energy that computes: server fans and supply losses count as overhead too.

        Total-power usage effectiveness = ITUE x PUE (Patterson et al. 2013, ISC, "TUE, a new energy-efficiency metric
        applied at ORNL's Jaguar").
        """
        return np.asarray(np.mean(self.site_w / self.it_work_w, axis=-1))

    @property
    def wue_m3_per_j(self) -> Num:
        """Water over IT energy (ISO/IEC 30134-9), m3 a joule; times 3.6e9 it is litres a kilowatt-hour."""
        return np.asarray(np.mean(self.water_m3_per_s / self.it_w, axis=-1))

    @property
    def imbalance_frac(self) -> float:
        """How far electricity in and heat out are apart; 0 but for rounding, or the model is wrong."""
        apart = np.abs(self.out_w - self.site_w) / self.site_w
        return float(np.max(apart))


def building(parts: FacilityParts, design: Cooling, weather: Weather, it_w: Num, it_work_w: Num) -> Building:
    """Return a building's uses and heat in every hour of some weather.

    P_site = P_IT / eta + pumps + fans + chillers + misc. Liquid takes `liquid_frac` of the IT heat and the pumps' own,
    air the rest and the room fans' own; losses of the supply and lighting leave with the room's exhaust.
    """
    plant = parts.plant
    it, hours = column(it_w), np.ones((1, len(weather.dry_c)))
    efficiency = parts.chain.efficiency_frac if design.chain_frac is None else design.chain_frac
    chain = Stage(name="site", fixed_w=column(parts.chain.fixed_frac) * it, efficiency_frac=column(efficiency))
    liquid, air = column(design.liquid_frac) * it, (1.0 - column(design.liquid_frac)) * it
    pumps = (column(plant.rack_pump_frac) + column(plant.site_pump_frac)) * liquid + column(plant.site_pump_frac) * air
    blown = plant.crah_fan_frac if design.air_fan_frac is None else design.air_fan_frac
    room_fans = column(blown) * air
    wet_share = (column(plant.rack_pump_frac) + column(plant.site_pump_frac)) * liquid
    liquid_need, air_need = needed_c(design, plant)
    one = reject(design.liquid_to, plant, weather, liquid + wet_share, column(liquid_need))
    two = reject(design.air_to, plant, weather, air + room_fans + (pumps - wet_share), column(air_need))
    lost = (chain.input_w(it) - it) * hours
    misc = column(plant.misc_frac) * it * hours
    return Building(
        it_w=it * hours,
        it_work_w=column(it_work_w) * hours,
        chain_w=lost,
        pumps_w=pumps * hours,
        air_fans_w=room_fans * hours,
        rejection_fans_w=one.fans_w + two.fans_w,
        chiller_w=one.chiller_w + two.chiller_w,
        misc_w=misc,
        water_m3_per_s=one.water_m3_per_s + two.water_m3_per_s,
        out_w=one.out_w + two.out_w + lost + misc,
    )
