"""The nouns of the catalogue: Chip, Pod, Facility and Calibration, as bare SI numbers.

A number that nobody has published is None; `facts` says who said each number, and `provenance.FactReader` turns a None
into an error that names the fact. Rates and bandwidths are per chip package, bandwidths one direction.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record

State = Literal["roadmap", "announced", "listed", "shipping", "cancelled"]
Structure = Literal["switch", "clos", "full_mesh", "mesh", "torus", "dragonfly"]
Medium = Literal["package", "electrical", "copper", "optical", "mixed"]
Attach = Literal["ranks", "inside"]
Dtype = Literal["bf16", "fp8", "fp4", "int8"]
DTYPES: tuple[Dtype, ...] = ("bf16", "fp8", "fp4", "int8")
DTYPE_BYTES: Mapping[str, float] = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "fp32": 4.0}


@record
class Memory:
    """Device memory of one package; `visible_bytes` is what the driver offers, where that is known and differs."""

    capacity_bytes: float | None
    bandwidth_bytes_per_s: float | None
    visible_bytes: float | None = None


@record
class Power:
    """Electrical power of one package or one pod."""

    typical_w: float | None = None
    max_w: float | None = None
    cabinets_count: float | None = None


@record
class Chip:
    """One accelerator package."""

    id: str
    version: str
    name: str
    vendor: str
    state: State
    calibration: str
    matrix_flop_per_s: Mapping[Dtype, float | None]
    memory: Memory
    power: Power
    dies_count: float | None = 1.0
    headline_flop_per_s: Mapping[Dtype, float | None] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Wiring:
    """How a tier is cabled, as far as it is published.

    `planes_count` disjoint copies of the network; `switches_count` switch chips of one plane under one instance of the
    tier; `attach`: whether its cables end at the ranks' own ports or at the switches of the tier inside. A cable of
    `cable_bytes_per_s`, one direction, holds `lanes_per_cable_count` links. `spares_count` ranks of one instance stand
    by. A network of `levels_count` switch levels serves `rails_count` rails, each of the rank at the same place.
    """

    planes_count: float | None = 1.0
    switches_count: float | None = None
    attach: Attach | None = None
    cable_bytes_per_s: float | None = None
    lanes_per_cable_count: float | None = 1.0
    spares_count: float | None = None
    levels_count: float | None = None
    rails_count: float | None = None
    switch_ports_count: float | None = None


@record
class Module:
    """What ends a cable of up to this rate: a pluggable or a near-package optical engine."""

    name: str
    bytes_per_s: float
    power_w: float | None


@record
class Cable:
    """A kind of link by what carries it; its id is a tier's `medium`.

    `failure_per_s` is the rate at which one link fails, `modules` what sits at each end, by rate.
    """

    id: str
    version: str
    name: str
    reach_m: float | None = None
    failure_per_s: float | None = None
    modules: tuple[Module, ...] = ()
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Tier:
    """One level of the fabric: the chips under one instance of it and how they reach each other.

    `shares_inner_ports`: its bandwidth is that of the same ports as the tier inside; False where it has ports of its
    own.
    """

    name: str
    structure: Structure
    chips_count: int
    bandwidth_bytes_per_s: float | None
    latency_s: float | None
    medium: Medium
    calibration: str
    protocol: str = ""
    in_network_reduction: bool = False
    dims: tuple[int, ...] = ()
    bisection_frac: float | None = 1.0
    shares_inner_ports: bool = True
    wiring: Wiring = field(default_factory=Wiring)
    note: str = ""


@record
class ScaleOut:
    """The network that joins several pods."""

    name: str
    structure: Structure
    bandwidth_bytes_per_s: float | None
    latency_s: float | None
    medium: Medium
    calibration: str
    protocol: str = ""
    in_network_reduction: bool = False
    dims: tuple[int, ...] = ()
    bisection_frac: float | None = 1.0
    shares_scale_up_ports: bool = False
    pods_max_count: float | None = None
    wiring: Wiring = field(default_factory=Wiring)
    note: str = ""


@record
class SideNetwork:
    """A further network beside scale-up and scale-out, for storage or control: one port an instance of `tier`."""

    name: str
    tier: str
    bandwidth_bytes_per_s: float | None
    medium: Medium
    protocol: str = ""
    note: str = ""


@record
class Host:
    """The pod's CPUs and their memory; where they are endpoints of the scale-up fabric, of which tier and how fast.

    `link_bytes_per_s` is what one package moves to or from host memory over a link of its own, one direction.
    `disk_bytes` are the data disks of all hosts, or the storage that serves the pod alone; `disk_bytes_per_s` is what
    all chips together read from it.

    `thread_op_per_s` is PassMark's rating of one thread, which prints millions of operations a second.
    """

    cpu: str = ""
    thread_op_per_s: float | None = None
    cpus_count: float | None = None
    memory_bytes: float | None = None
    link_bytes_per_s: float | None = None
    disk_bytes: float | None = None
    disk_bytes_per_s: float | None = None
    tier: str = ""
    bandwidth_bytes_per_s: float | None = None


@record
class Price:
    """What one pod costs to buy."""

    usd: float | None = None


@record
class PublishedTotals:
    """Totals that the vendor printed; only the consistency check and `claims` read them."""

    bf16_flop_per_s: float | None = None
    fp8_flop_per_s: float | None = None
    fp4_flop_per_s: float | None = None
    int8_flop_per_s: float | None = None
    memory_bytes: float | None = None
    memory_bandwidth_bytes_per_s: float | None = None
    fabric_bytes_per_s: float | None = None


@record
class Pod:
    """One scale-up system, or `pods_count` of them joined by the scale-out network (a cascade).

    `unit_chips_count` chips are taken out at once for repair, where no tier is that server or tray;
    `cabinet_chips_count` are those of a cabinet that holds chips, where no tier is one.
    """

    id: str
    version: str
    name: str
    vendor: str
    state: State
    chip: str
    chips_count: float
    tiers: tuple[Tier, ...]
    scale_out: ScaleOut | None = None
    side_networks: tuple[SideNetwork, ...] = ()
    rank: Literal["chip", "die"] = "chip"
    pods_count: float = 1.0
    unit_chips_count: float | None = None
    cabinet_chips_count: float | None = None
    base: str = ""
    host: Host = field(default_factory=Host)
    power: Power = field(default_factory=Power)
    price: Price = field(default_factory=Price)
    published: PublishedTotals = field(default_factory=PublishedTotals)
    structure_note: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)


@record
class Facility:
    """The building and the book: what power costs and how long hardware lives."""

    id: str
    version: str
    name: str
    pue: float | None
    electricity_usd_per_j: float | None
    life_s: float | None
    discount_rate_per_s: float | None
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
