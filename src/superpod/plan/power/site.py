"""A machine at work in a building, evaluated for one row of facts or for a table of what-ifs at once."""

from dataclasses import dataclass, fields

import numpy as np

from superpod.catalog.facility_parts import ChipPower, Cooling, FacilityParts
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import Fact, FactReader, UsedFact
from superpod.errors import UnknownNameError
from superpod.fabric.inventory import TierParts, inventory, smallest_module
from superpod.facility.columns import Table, filled
from superpod.facility.cooling.building import Building, building
from superpod.facility.cooling.weather import Weather
from superpod.facility.power.chip import Powered, highest_w, limited, mean_w, powered
from superpod.facility.power.machine import FANS, LOSSES, Bill, Draw, chips_within, draw
from superpod.plan.machine import Machine
from superpod.plan.power.phases import Load
from superpod.result import Num

PARTS = "standard"
COOLING = "cold-plate-warm"
"""How a building cools where nobody says."""
GENERIC = "generic"
NO_TABLE = Table(rows_count=1, draws_count=0, columns={}, ends={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """Optical modules of one kind: the address of their power, the power of one, how many."""

    where: str
    power_w: float
    modules_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is asked about: the machine with its parts, the facts that its power follows from, the building, the work.

    `modules` are the optical modules of the scale-up network.
    """

    machine: Machine
    shares: ChipPower
    parts: FacilityParts
    design: Cooling
    max_w: float
    bill: Bill
    modules: tuple[Modules, ...]
    loads: tuple[Load, ...]
    facts: tuple[UsedFact, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def ranged(self) -> dict[str, Fact]:
        """The facts of power and cooling by address."""
        return {used.where: used.fact for used in self.facts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Power of the machine while the work runs; numbers or columns of a table.

    `it_w` counts the machine and its share of the scale-out network; `peak_w` is what the machine's supply must bear.
    """

    chip_mean_w: Num
    chip_peak_w: Num
    machine: Draw
    peak_w: Num
    scale_out_w: Num
    it_w: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Drawing):
    """Power of the machine and of its building while the work runs; numbers or columns of a table."""

    building: Building

    @property
    def mean_w(self) -> Num:
        """The site's power, averaged over the hours of the weather."""
        return np.asarray(np.mean(self.building.site_w, axis=-1))


def subject(catalogue: Catalogue, made: Machine, design: str, loads: tuple[Load, ...]) -> Subject:
    """Return the subject of a machine; raise MissingFactError where the chip's power limit is not published."""
    reader = FactReader(kind="chips", entry=made.chip)
    max_w = reader.number("power.max_w", made.chip.power.max_w)
    shares, parts, cooler = (
        family(catalogue, made.chip.calibration),
        catalogue.facility_parts(PARTS),
        catalogue.cooling(design),
    )
    bill, modules, cited, uncounted = bill_of(catalogue, made, parts)
    entries = (("chip_power", shares), ("facility_parts", parts), ("cooling", cooler))
    every = tuple(
        UsedFact(where=f"{kind}/{entry.id}:{path}", fact=fact)
        for kind, entry in entries
        for path, fact in entry.facts.items()
    )
    kept = tuple(used for used in every if ":fluids." not in used.where or f":fluids.{cooler.fluid}." in used.where)
    return Subject(
        machine=made,
        shares=shares,
        parts=parts,
        design=cooler,
        max_w=max_w,
        bill=bill,
        modules=modules,
        loads=loads,
        facts=(*reader.cited(), *kept, *cited),
        uncounted=uncounted,
    )


def family(catalogue: Catalogue, calibration: str) -> ChipPower:
    """Return the power shares of a chip's family, or the generic ones where it was never measured."""
    try:
        return catalogue.chip_power(calibration)
    except UnknownNameError:
        return catalogue.chip_power(GENERIC)


def bill_of(
    catalogue: Catalogue, made: Machine, parts: FacilityParts
) -> tuple[Bill, tuple[Modules, ...], tuple[UsedFact, ...], tuple[str, ...]]:
    """Return the machine's parts that draw power, its optical modules, their facts, and what could not be counted."""
    cables = {name: catalogue.cable(name) for name in catalogue.names("cables")}
    fabric, pod = made.fabric, made.pod
    share = made.cards_count / (fabric.ranks_count / fabric.ranks_per_chip)
    switches, modules, facts, unknown = 0.0, list[Modules](), list[UsedFact](), list[str]()
    for tier, found in zip(fabric.tiers, inventory(fabric, cables).tiers, strict=True):
        chips = tier.ranks_count / fabric.ranks_per_chip
        if tier.scale_out or chips <= float(parts.node.board_chips_count):
            continue
        switches += share * (found.switches_count or 0.0)
        unknown += _unknown(found)
        module = smallest_module(cables.get(tier.medium), found.cable_bytes_per_s)
        if module is not None and module.power_w is not None and found.modules_count:
            where = f"cables/{tier.medium}:modules.{module.name}.power_w"
            modules.append(Modules(where=where, power_w=module.power_w, modules_count=share * found.modules_count))
            facts.append(UsedFact(where=where, fact=cables[tier.medium].facts[f"modules.{module.name}.power_w"]))
    reader = FactReader(kind="pods", entry=pod)
    cpus = parts.node.cpus_per_chip_ratio * made.cards_count
    if pod.host.cpus_count is not None:
        cpus = reader.number("host.cpus_count", pod.host.cpus_count) * made.cards_count / pod.chips_count
    racks = 0.0
    if pod.power.cabinets_count is not None:
        racks = reader.number("power.cabinets_count", pod.power.cabinets_count) * made.pods_count
    bill = Bill(
        chips_count=made.cards_count,
        cpus_count=cpus,
        switches_count=switches,
        modules_w=sum(item.power_w * item.modules_count for item in modules),
        racks_count=racks,
        pods_count=made.pods_count,
    )
    return bill, tuple(modules), (*facts, *reader.cited()), tuple(unknown)


def _unknown(found: TierParts) -> list[str]:
    """Return what of a tier nobody has published a number of."""
    said = [f"switches of tier {found.tier}"] if found.switches_count is None else []
    return said + ([f"optical modules of tier {found.tier}"] if found.modules_count is None else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A subject with columns of a table in place of its numbers."""

    shares: ChipPower
    parts: FacilityParts
    design: Cooling
    max_w: Num
    bill: Bill

    @property
    def air_frac(self) -> Num:
        """The share of the heat that server fans move."""
        return (1.0 - self.design.liquid_frac) * float(self.design.fans)

    def machine(self, chip_w: Num) -> Draw:
        """Return what the machine draws whose chips draw this on average."""
        return draw(self.bill, self.parts, chip_w, self.max_w, self.air_frac)

    def chips_within(self, machine_w: Num) -> Num:
        """Return what a feed of the machine leaves to the mean chip."""
        return chips_within(self.bill, self.parts, machine_w, self.max_w, self.air_frac)

    def powered(self, loads: tuple[Load, ...]) -> list[tuple[Powered, ...]]:
        """Return each load's activities with their power under the chip's own limit."""
        return [powered(self.shares, self.max_w, load.activities) for load in loads]


def fill(asked: Subject, tab: Table = NO_TABLE) -> Filled:
    """Return a subject with the columns of a table; as catalogued without one."""
    parts = filled(asked.parts, tab.of(f"facility_parts/{asked.parts.id}"))
    return Filled(
        shares=filled(asked.shares, tab.of(f"chip_power/{asked.shares.id}")),
        parts=parts,
        design=filled(asked.design, tab.of(f"cooling/{asked.design.id}")),
        max_w=tab.columns.get(f"chips/{asked.machine.chip.id}:power.max_w", asked.max_w),
        bill=with_columns(asked, parts, tab),
    )


def drawing(asked: Subject, made: Filled, limit_w: Num) -> Drawing:
    """Return the power of a subject's machine, each chip held under a limit."""
    loads = [limited(made.shares, made.max_w, items, limit_w) for items in made.powered(asked.loads)]
    counts = [load.chips_count for load in asked.loads]
    mean: Num = sum((mean_w(items) * count for items, count in zip(loads, counts, strict=True)), 0.0) / sum(counts)
    high: Num = sum((highest_w(items) * count for items, count in zip(loads, counts, strict=True)), 0.0) / sum(counts)
    machine = made.machine(mean)
    outside = made.bill.chips_count * made.parts.network.scale_out_w
    return Drawing(
        chip_mean_w=mean,
        chip_peak_w=made.shares.overshoot_ratio * high,
        machine=machine,
        peak_w=made.machine(made.shares.overshoot_ratio * high).power_w,
        scale_out_w=outside,
        it_w=machine.power_w + outside,
    )


def site(asked: Subject, made: Filled, weather: Weather, limit_w: Num) -> Site:
    """Return the power of a subject in some weather, each chip held under a limit."""
    found = drawing(asked, made, limit_w)
    work = found.it_w - found.machine.part_w(FANS) - found.machine.part_w(LOSSES)
    return Site(
        **{item.name: getattr(found, item.name) for item in fields(Drawing)},
        building=building(made.parts, made.design, weather, found.it_w, work),
    )


def with_columns(asked: Subject, parts: FacilityParts, tab: Table) -> Bill:
    """Return the bill with the columns of modules and of CPUs that the pod does not count."""
    modules: Num = sum((tab.columns.get(item.where, item.power_w) * item.modules_count for item in asked.modules), 0.0)
    cpus = asked.bill.cpus_count
    if asked.machine.pod.host.cpus_count is None:
        cpus = parts.node.cpus_per_chip_ratio * asked.bill.chips_count
    return Bill(
        chips_count=asked.bill.chips_count,
        cpus_count=cpus,
        switches_count=asked.bill.switches_count,
        modules_w=modules,
        racks_count=asked.bill.racks_count,
        pods_count=asked.bill.pods_count,
    )
