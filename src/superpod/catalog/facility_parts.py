"""What turns the activity of chips into the power of a building: chip shares, parts of a machine, coolers, weather.

Every number is a fact with its range: `superpod power` draws from the ranges, and any of them can be given anew.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record

Rejection = Literal["dry", "tower", "chiller"]
REJECTIONS: tuple[Rejection, ...] = ("dry", "tower", "chiller")


@record
class PowerFit:
    """Power of a busy chip over its limit: min(cap, active + memory u_m + compute u_c), u shares of peak rates."""

    active_ratio: float
    memory_ratio: float
    compute_ratio: float
    cap_ratio: float


@record
class ThrottleFit:
    """What of a chip's power does not follow its clock, over its limit, and the power of the clock that the rest is."""

    static_ratio: float
    clock_power: float


@record
class ChipPower:
    """A chip family's power as shares of the limit of the chip (`power.max_w`); its id is that of a calibration.

    `idle_ratio`: no work; `waiting_ratio`: a job that waits; `link_ratio` is added where all links are busy;
    `steady_ratio` is the cap of kernels that follow each other for seconds; `overshoot_ratio` the highest power that
    supplies must bear. `dense` and `routed` (mixtures of experts) are fits to serving.
    """

    id: str
    version: str
    name: str
    idle_ratio: float
    waiting_ratio: float
    link_ratio: float
    steady_ratio: float
    overshoot_ratio: float
    dense: PowerFit
    routed: PowerFit
    throttle: ThrottleFit
    borrowed_from: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class NodeParts:
    """What stands beside the chips of a node.

    `io_w` a chip: network cards, drives and switch chips of a board of up to `board_chips_count`. `cpus_per_chip_ratio`
    stands in where the pod does not say how many CPUs it has. Fans take `fan_frac` of the heat that air carries away
    at the chips' limits, busy or idle.
    """

    cpu_w: float
    cpus_per_chip_ratio: float
    io_w: float
    board_chips_count: float
    fan_frac: float


@record
class SupplyParts:
    """A conversion: input = (output + fixed x rating) / efficiency."""

    efficiency_frac: float
    fixed_frac: float


@record
class NetworkParts:
    """Power of a switch chip of a scale-up tier, and of the scale-out network a chip, switches and modules together."""

    switch_w: float
    scale_out_w: float


@record
class Plate:
    """A cold plate: from junction to coolant, for a chip of this power."""

    name: str
    chip_w: float
    resistance_k_per_w: float


@record
class Junction:
    """Where a chip throttles, and how far along the loop it sits: 0 at the inlet, 1 at the outlet.

    The same of its stacked memory, and how much hotter than the die that runs at its full bandwidth.
    """

    limit_c: float
    place_frac: float
    memory_limit_c: float
    memory_over_k: float


@record
class FluidPoint:
    """A coolant at one temperature."""

    name: str
    temperature_c: float
    density_kg_per_m3: float
    heat_j_per_kg_k: float
    viscosity_pa_s: float


@record
class Fluid:
    """A coolant by temperature, rising."""

    name: str
    points: tuple[FluidPoint, ...]


@record
class PlantParts:
    """Exchangers, pumps, fans and chillers of the building: approaches in kelvin, powers as shares of the heat moved.

    Fan powers are those at full load; they follow the cube of the flow. `free_range_k`: over how many kelvin cooling
    without a chiller fades out.
    """

    cdu_approach_k: float
    crah_approach_k: float
    tower_approach_k: float
    dry_approach_k: float
    rack_pump_frac: float
    site_pump_frac: float
    crah_fan_frac: float
    tower_fan_frac: float
    dry_fan_frac: float
    free_range_k: float
    chiller_frac: float
    chiller_lift_k: float
    cop_low_ratio: float
    cop_high_ratio: float
    evaporation_m3_per_j: float
    cycles_ratio: float
    misc_frac: float


@record
class AirLimits:
    """Heat that air takes out of one rack: from where on it is hard, and where it ends; its temperature rise."""

    warn_w: float
    stop_w: float
    rise_k: float
    density_kg_per_m3: float
    heat_j_per_kg_k: float


@record
class FacilityParts:
    """The parts that all machines and buildings are made of here."""

    id: str
    version: str
    name: str
    node: NodeParts
    supply: SupplyParts
    network: NetworkParts
    chain: SupplyParts
    junction: Junction
    plates: tuple[Plate, ...]
    fluids: tuple[Fluid, ...]
    plant: PlantParts
    air: AirLimits
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Cooling:
    """How a building cools: the share of the heat that liquid takes, both supplies, and where the heat goes.

    `liquid_to` and `air_to` reject: `dry` (a dry cooler), `tower` (evaporation), each with a chiller behind it where
    the weather does not do, or `chiller` always. `fans`: whether servers have fans; `plates`: whether
    liquid reaches chips through cold plates. `chain_frac` replaces the
    efficiency of the building's supply and `air_fan_frac` the share of room fans where the design has its own.
    """

    id: str
    version: str
    name: str
    liquid_frac: float
    fluid: str
    supply_c: float
    rise_k: float
    air_supply_c: float
    liquid_to: Rejection
    air_to: Rejection
    fans: bool = True
    plates: bool = True
    chain_frac: float | None = None
    air_fan_frac: float | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Month:
    """A month of weather: mean, half of the daily swing, spread of the daily means, mean relative humidity."""

    name: str
    mean_k: float
    swing_k: float
    spread_k: float
    humidity_frac: float


@record
class Climate:
    """A place by its months, in the order of the year."""

    id: str
    version: str
    name: str
    months: tuple[Month, ...]
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
