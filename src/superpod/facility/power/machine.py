"""A machine's power from that of its chips: node, rack, pod, and what stands beside them."""

from dataclasses import dataclass

import numpy as np

from superpod.catalog.facility_parts import FacilityParts
from superpod.facility.power.conversion import Stage
from superpod.result import Num

CHIPS, CPUS, BOARDS, FANS, SWITCHES, MODULES, LOSSES = (
    "chips",
    "CPUs and memory",
    "network cards, drives, boards",
    "fans",
    "switches",
    "optical modules",
    "power supplies",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a machine is made of, as far as it draws power.

    `switches_count` are those of scale-up tiers beyond a board; `modules_w` the power of all optical modules of the
    scale-up network. `racks_count` is 0 where nobody says.
    """

    chips_count: float
    cpus_count: Num
    switches_count: float
    modules_w: Num
    racks_count: float
    pods_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A use of power."""

    name: str
    power_w: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The power of a machine by part, at the mains; parts sum to the whole."""

    parts: tuple[Use, ...]

    @property
    def power_w(self) -> Num:
        """All parts together."""
        return sum((part.power_w for part in self.parts), 0.0)

    def part_w(self, name: str) -> Num:
        """Return one part."""
        return sum((part.power_w for part in self.parts if part.name == name), 0.0)


def draw(bill: Bill, parts: FacilityParts, chips_w: Num, rated_w: Num, air_frac: Num) -> Draw:
    """Return what a machine draws whose chips draw `chips_w` each on average, at most `rated_w`.

    load = chips + CPUs + boards + fans + switches + modules; fans take a share of the heat of the nodes at their rating
    that air carries, whatever the load: what an air-cooled node draws more than its water-cooled sibling is the same
    idle and busy (MLPerf Inference v5.1); at the mains (load + fixed x rated load) / efficiency. Switches and modules
    hardly follow the traffic and are charged by time. Server overheads are those of MLPerf's measured nodes (facts
    `facility_parts`).
    """
    beside = bill.cpus_count * parts.node.cpu_w + bill.chips_count * parts.node.io_w
    fixed = bill.switches_count * parts.network.switch_w + bill.modules_w
    blown = parts.node.fan_frac * air_frac
    chips = bill.chips_count * chips_w
    fans = blown * (bill.chips_count * rated_w + beside)
    rated = bill.chips_count * rated_w + beside + fans + fixed
    load = chips + beside + fans + fixed
    supply = Stage(name=LOSSES, fixed_w=parts.supply.fixed_frac * rated, efficiency_frac=parts.supply.efficiency_frac)
    uses = {
        CHIPS: chips,
        CPUS: bill.cpus_count * parts.node.cpu_w,
        BOARDS: bill.chips_count * parts.node.io_w,
        FANS: fans,
        SWITCHES: bill.switches_count * parts.network.switch_w,
        MODULES: bill.modules_w,
        LOSSES: supply.input_w(load) - load,
    }
    return Draw(parts=tuple(Use(name=name, power_w=watts) for name, watts in uses.items()))


def chips_within(bill: Bill, parts: FacilityParts, machine_w: Num, rated_w: Num, air_frac: Num) -> Num:
    """Return the mean power of a chip at which a machine draws `machine_w`: `draw` turned round, 0 where none is left.

    Raises nothing: a limit below what stands beside the chips leaves them nothing.
    """
    none = draw(bill, parts, 0.0, rated_w, air_frac).power_w
    all_of_it = draw(bill, parts, rated_w, rated_w, air_frac).power_w
    return np.maximum(machine_w - none, 0.0) / (all_of_it - none) * rated_w
