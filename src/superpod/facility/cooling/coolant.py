"""Liquids and air that carry heat: flow for a rise, rise for a flow, and the rules that public figures must pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from superpod.catalog.facility_parts import AirLimits, FacilityParts, Fluid, Plate
from superpod.errors import UnknownNameError
from superpod.result import Num

Verdict = Literal["ok", "warn", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coolant:
    """A fluid at one temperature."""

    density_kg_per_m3: Num
    heat_j_per_kg_k: Num
    viscosity_pa_s: Num

    def flow_m3_per_s(self, heat_w: Num, rise_k: Num) -> Num:
        """Return V = Q / (rho cp dT), m3/s."""
        return heat_w / (self.density_kg_per_m3 * self.heat_j_per_kg_k * rise_k)

    def rise_k(self, heat_w: Num, flow_m3_per_s: Num) -> Num:
        """Return dT = Q / (rho cp V), K."""
        return heat_w / (self.density_kg_per_m3 * self.heat_j_per_kg_k * flow_m3_per_s)


def fluid_named(parts: FacilityParts, name: str) -> Fluid:
    """Return a fluid of the catalogue; raise UnknownNameError."""
    found = next((fluid for fluid in parts.fluids if fluid.name == name), None)
    if found is None:
        raise UnknownNameError("fluid", name, [fluid.name for fluid in parts.fluids])
    return found


def coolant(fluid: Fluid, temperature_c: Num) -> Coolant:
    """Return a fluid's properties at a temperature, between the tabulated ones on a line, outside them the ends."""
    at = np.array([float(point.temperature_c) for point in fluid.points])

    def read(name: str) -> Num:
        values = np.array([float(np.ravel(getattr(point, name))[0]) for point in fluid.points])
        return np.asarray(np.interp(temperature_c, at, values))

    return Coolant(
        density_kg_per_m3=read("density_kg_per_m3"),
        heat_j_per_kg_k=read("heat_j_per_kg_k"),
        viscosity_pa_s=read("viscosity_pa_s"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCheck:
    """A published flow against the heat balance: the rise it implies, and whether that is within what makers allow."""

    rise_k: float
    low_k: float
    high_k: float

    @property
    def verdict(self) -> Verdict:
        """`stop` where the rise lies outside the range: flow, heat or temperature of the figure is wrong."""
        return "ok" if self.low_k <= self.rise_k <= self.high_k else "stop"


def check_flow(
    fluid: Fluid, heat_w: float, flow_m3_per_s: float, supply_c: float, rise_k: tuple[float, float]
) -> FlowCheck:
    """Return what a published flow implies; `rise_k` is the range of rises that racks are built for."""
    implied = float(coolant(fluid, supply_c).rise_k(heat_w, flow_m3_per_s))
    return FlowCheck(rise_k=implied, low_k=rise_k[0], high_k=rise_k[1])


def air_flow_m3_per_s(air: AirLimits, heat_w: Num) -> Num:
    """Return the air that a rack's heat needs at the rise of its servers, V = Q / (rho cp dT), m3/s."""
    return heat_w / (air.density_kg_per_m3 * air.heat_j_per_kg_k * air.rise_k)


def check_air(air: AirLimits, heat_w: float) -> Verdict:
    """Return whether air takes this heat out of one rack: easily, hardly, or not."""
    if heat_w > air.stop_w:
        return "stop"
    return "warn" if heat_w > air.warn_w else "ok"


def resistance_k_per_w(plates: Sequence[Plate], chip_w: float) -> Num:
    """Return the cold plate of a chip of this limit, from junction to coolant, on a line between the classes known."""
    sizes = np.array([float(np.ravel(plate.chip_w)[0]) for plate in plates])
    place = float(np.interp(chip_w, sizes, np.arange(len(sizes))))
    low, share = int(place), place - int(place)
    high = min(low + 1, len(plates) - 1)
    return plates[low].resistance_k_per_w * (1.0 - share) + plates[high].resistance_k_per_w * share


def junction_c(chip_w: Num, supply_c: Num, rise_k: Num, place_frac: Num, resistance: Num) -> Num:
    """Return T_j = T_supply + rise x place + P R, degrees Celsius."""
    return supply_c + rise_k * place_frac + chip_w * resistance


def memory_c(die_c: Num, memory_frac: Num, over_k: Num) -> Num:
    """Return T_mem = T_j + over x u_m, degrees Celsius: stacks of memory beside a die, under the same plate.

    `over_k` is how much hotter they run than the die at their full bandwidth (facts `junction.memory_over_k`, an
    estimate), `memory_frac` the share of that bandwidth in use.
    """
    return die_c + over_k * memory_frac
