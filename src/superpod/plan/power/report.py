"""The answer to `superpod power`: numbers by level and by part, limits, weather, and on whose word it rests."""

from collections.abc import Mapping
from dataclasses import dataclass

from superpod.catalog.provenance import UsedFact
from superpod.facility.power.machine import Use
from superpod.facility.power.trace import Swings
from superpod.plan.report import Metric
from superpod.plan.spread import Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The power of one unit of a level: while the work runs, and what its supply must bear; None where unknown."""

    name: str
    units_count: float
    mean_w: float
    peak_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePower:
    """What one chip of a load does, for how much of the time, and what it draws meanwhile."""

    load: str
    name: str
    share_frac: float
    flop_frac: float
    memory_frac: float
    link_frac: float
    power_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameplate:
    """A published power of the pod beside what is computed for the work."""

    where: str
    published_w: float
    computed_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How many machines a feed bears by one way of counting, and what they draw of it on average."""

    basis: str
    unit_w: float
    machines_count: float
    pods_count: float
    mean_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What a feed bears: counts by nameplate, by peak, and by how the loads of machines fall together in time.

    `exceed_frac` is the share of the time that loads may stand above the feed, held there by caps.
    """

    feed_w: float
    exceed_frac: float
    fits: tuple[Fit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule that the answer passes, or that a reader must know it does not: `ok`, `warn` or `stop`."""

    name: str
    verdict: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthOverhead:
    """A month of the building: its ratios, water per IT energy."""

    name: str
    pue_ratio: float
    worst_pue_ratio: float
    wue_m3_per_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReport:
    """Power and cooling of a machine at work. `band` holds the 10th and 90th percentile of the headline."""

    question: str
    model: str
    pod: str
    pod_name: str
    state: str
    work: str
    cards_count: float
    pods_count: float
    precision: str
    headline: Metric
    band: tuple[float, float]
    median_w: float
    metrics: tuple[Metric, ...]
    levels: tuple[Level, ...]
    phases: tuple[PhasePower, ...]
    parts: tuple[Use, ...]
    nameplates: tuple[Nameplate, ...]
    binding: str
    months: tuple[MonthOverhead, ...]
    swings: Swings | None
    feed: Provision | None
    checks: tuple[Check, ...]
    tornado: tuple[Bar, ...]
    design: str
    climate: str
    layout: Mapping[str, float | str]
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str
