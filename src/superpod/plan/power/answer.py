"""Scenario to power and cooling: search the plan, follow its phases to chips, racks and the building."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from superpod.catalog.facility_parts import Climate
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.catalog.schema import Facility
from superpod.facility.columns import Table, table
from superpod.facility.cooling.weather import DAY_HOURS, DAYS, Weather, made_from
from superpod.facility.power.chip import Powered, highest_w, limited, mean_w, time_s
from superpod.facility.power.limits import Settled
from superpod.facility.power.machine import Use
from superpod.facility.power.trace import Swings, swings
from superpod.plan.answer import Answer
from superpod.plan.evaluate import solve
from superpod.plan.grounds import facts_hash, notes, package_version, question
from superpod.plan.machine import Machine, machine
from superpod.plan.power.caps import NO_CAPS, Caps, capped, feed_checks, hottest_c, plates_known
from superpod.plan.power.checks import Detail, checks, nameplates, pue_check
from superpod.plan.power.feed import Feed, provisioned
from superpod.plan.power.phases import Load, loads_of
from superpod.plan.power.report import Level, MonthOverhead, PhasePower, PowerReport
from superpod.plan.power.site import COOLING, Site, Subject, fill, site, subject
from superpod.plan.power.trace import step_trace
from superpod.plan.report import Metric
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.serving.search import Deployment
from superpod.plan.spread import Bar
from superpod.plan.training.search import Progress, Trained
from superpod.result import Num
from superpod.train.timeline import step_timeline

DRAWS = 200
THIN = 7  # every so many hours of a year in the table of what-ifs: 7 shares no factor with 24
SHOWN_SWINGS = 12
SAME_FRAC = 1e-4
YEAR_HOURS = (sum(DAYS) * DAY_HOURS, (sum(DAYS) + 1) * DAY_HOURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerQuestion:
    """A scenario in a building: its cooling, its weather (a climate of the catalogue, or hours read from a file).

    `feed` is a supply that many such machines may share.
    """

    scenario: Scenario
    cooling: str = COOLING
    climate: str = "frankfurt"
    weather: Weather | None = None
    caps: Caps = NO_CAPS
    feed: Feed | None = None


class Tracer(Protocol):
    """What the supply sees of a cycle: of activities on so many chips, by (W where all wait, W a watt of a chip)."""

    def __call__(self, items: tuple[Powered, ...], chips_count: float, machine_w: tuple[float, float], /) -> Swings:
        """Return ramps, spectrum and storage."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """A plan with what its chips do, how long a cycle takes and how many tokens it yields."""

    loads: tuple[Load, ...]
    tokens_per_s: float
    layout: Mapping[str, float | str]
    trace: Tracer | None


def power(catalogue: Catalogue, asked: PowerQuestion, progress: Progress | None = None) -> PowerReport:
    """Answer what a scenario draws; raise MissingFactError where the chip's power is not published."""
    made = machine(catalogue, asked.scenario)
    FactReader(kind="chips", entry=made.chip).number("power.max_w", made.chip.power.max_w)
    answer, _ = solve(made, asked.scenario, progress)
    return power_of(catalogue, asked, made, answer)


def power_of(catalogue: Catalogue, asked: PowerQuestion, made: Machine, answer: Answer) -> PowerReport:
    """Answer what a plan that was found draws on its machine; raise MissingFactError as `power` does."""
    design = catalogue.cooling(asked.cooling)
    weather, cited = asked.weather, tuple[UsedFact, ...]()
    if weather is None:
        climate = catalogue.climate(asked.climate)
        weather, cited = made_from(climate), climate_facts(climate)
    worked = work_of(made, asked.scenario, answer)
    about = subject(catalogue, made, design.id, worked.loads)
    place = catalogue.facility(asked.scenario.facility)
    bought = FactReader(kind="facilities", entry=place)
    price = bought.number("electricity_usd_per_j", place.electricity_usd_per_j)
    plain = fill(about)
    settled = capped(asked.caps, about, plain, weather)
    found = site(about, plain, weather, settled.limit_w)
    tab = table(about.ranged, DRAWS)
    varied = fill(about, tab)
    rows = site(about, varied, weather.thinned(THIN), capped(asked.caps, about, varied, weather).limit_w)
    return reported(
        asked, about, worked, (settled, found, rows, tab), (weather, (*cited, *bought.cited())), (place, price)
    )


def climate_facts(climate: Climate) -> tuple[UsedFact, ...]:
    """Return the facts of a climate."""
    return tuple(UsedFact(where=f"climates/{climate.id}:{path}", fact=fact) for path, fact in climate.facts.items())


def work_of(made: Machine, scenario: Scenario, answer: Answer) -> Worked:
    """Return what the plan that a search found does on its machine."""
    return Worked(
        loads=loads_of(made, scenario.work, answer.plan),
        tokens_per_s=answer.headline.value,
        layout=answer.layout,
        trace=_tracer(made, scenario.work, answer.plan),
    )


def _tracer(made: Machine, work: Training | Serving, plan: Trained | Deployment) -> Tracer | None:
    """Return what draws a step's power over time; None for a steady state."""
    if not isinstance(work, Training) or not isinstance(plan, Trained):
        return None
    batch = (float(work.batch_sequences), float(work.sequence_tokens))

    def traced(items: tuple[Powered, ...], chips: float, line: tuple[float, float]) -> Swings:
        return swings(step_trace(step_timeline(made.engine, plan.layout, batch), items, chips, line))

    return traced


Answered = tuple[Settled, Site, Site, Table]


def reported(
    asked: PowerQuestion,
    about: Subject,
    worked: Worked,
    answered: Answered,
    air: tuple[Weather, tuple[UsedFact, ...]],
    book: tuple[Facility, float],
) -> PowerReport:
    """Return everything as a report."""
    settled, found, rows, tab = answered
    made, weather = about.machine, air[0]
    spread = np.asarray(rows.mean_w)[tab.rows_count - tab.draws_count :]
    scale = first(found.mean_w) / first(rows.mean_w)
    mean = first(found.mean_w)
    low, middle, high = (float(np.percentile(spread, at)) * scale for at in (10.0, 50.0, 90.0))
    swing, shown = trace_of(about, worked, settled), phases(about, settled)
    detail = Detail(phases=shown, weather=weather, limit_w=settled.limit_w, thin=rows)
    facts = (*made.facts, *(used for used in about.facts if used not in made.facts), *air[1])
    return PowerReport(
        question=question(made, asked.scenario),
        model=f"{made.spec.id}@{made.spec.version}",
        pod=f"{made.pod.id}@{made.pod.version}",
        pod_name=made.pod.name,
        state=made.pod.state,
        work="train" if isinstance(asked.scenario.work, Training) else "serve",
        cards_count=made.cards_count,
        pods_count=made.pods_count,
        precision=made.precision.name,
        headline=Metric(key="site_w", label="site power while it runs", value=mean, unit="W"),
        band=(low, high),
        median_w=middle,
        metrics=(*metrics(about, worked, settled, found), bill_a_day(mean, book[1])),
        levels=levels(about, settled, found),
        phases=shown,
        parts=site_parts(found),
        nameplates=nameplates(made, first(found.machine.power_w), first(found.peak_w)),
        binding=binding(settled),
        months=months(weather, found),
        swings=swing,
        feed=None if asked.feed is None else provisioned(asked.feed, about, found, held(about, settled), swing),
        checks=(
            *checks(about, found, swing, detail),
            pue_check(book[0], first(found.building.pue)),
            *feed_checks(asked.caps, about, found),
        ),
        tornado=tornado(rows, tab, scale, facts),
        design=about.design.name,
        climate=weather.name,
        layout=worked.layout,
        facts=facts,
        notes=(*notes(made), *own_notes(about, worked, weather)),
        catalogue_hash=facts_hash(made),
        version=package_version(),
    )


def first(values: Num) -> float:
    """Return a number, or the first of a column."""
    return float(np.ravel(values)[0])


def binding(settled: Settled) -> str:
    """Return which limit holds the chips back, and what it costs."""
    slower = first(settled.slowdown_ratio) - 1.0
    if not settled.bound:
        return "no limit beyond the chip's own: kernels run at the clocks they were measured at"
    return (
        f"{settled.bound} leaves {first(settled.limit_w):,.0f} W to a chip: the work takes {100 * slower:.1f} % longer "
        f"(found in {settled.rounds_count} rounds)"
    )


def metrics(about: Subject, worked: Worked, settled: Settled, found: Site) -> tuple[Metric, ...]:
    """Return the numbers that people quote."""
    built = found.building
    mean = first(found.mean_w)
    rate = worked.tokens_per_s / first(settled.slowdown_ratio)
    chip = first(found.chip_mean_w)
    made = [
        Metric(key="it_w", label="IT power", value=first(found.it_w), unit="W"),
        Metric(key="chip_mean_w", label="a chip", value=chip, unit="W"),
        Metric(key="chip_frac", label="of its limit", value=chip / about.max_w, unit=""),
        Metric(key="pue", label="PUE of the year", value=first(built.pue), unit="ratio"),
        Metric(key="pue_worst", label="PUE, worst hour", value=first(built.worst_pue), unit="ratio"),
        Metric(key="tue", label="TUE: server fans, supplies too", value=first(built.tue), unit="ratio"),
        Metric(key="wue", label="WUE", value=first(built.wue_m3_per_j), unit="m3/J"),
        Metric(key="energy_j_per_token", label="energy of a token", value=mean / rate, unit="J"),
    ]
    if plates_known(about):
        die, memory = hottest_c(about, fill(about), held(about, settled))
        made.append(Metric(key="junction_c", label="junction, busiest phase", value=die, unit="C"))
        made.append(Metric(key="memory_c", label="memory (estimate)", value=memory, unit="C"))
    return tuple(made)


def bill_a_day(site_w: float, electricity_usd_per_j: float) -> Metric:
    """Return what the site's electricity costs a day at the facility's price."""
    day_s = DAY_HOURS * 3600.0
    return Metric(
        key="electricity_usd_per_day",
        label="electricity a day",
        value=site_w * electricity_usd_per_j * day_s,
        unit="USD",
    )


def levels(about: Subject, settled: Settled, found: Site) -> tuple[Level, ...]:
    """Return the power of one chip, node, cabinet and pod, and of the site: means, and what a supply must bear."""
    bill, whole, peak = about.bill, first(found.machine.power_w), first(found.peak_w)
    busiest = max(first(highest_w(items)) for items in held(about, settled)) * about.shares.overshoot_ratio
    made = [Level(name="chip", units_count=bill.chips_count, mean_w=first(found.chip_mean_w), peak_w=busiest)]
    fullest = first(fill(about).machine(busiest).power_w)
    board = board_chips(about)
    if board:
        one, alone = bill.chips_count / board, boards_alone(about)
        mean_w, peak_w = alone(found.chip_mean_w) / one, alone(busiest) / one
        made.append(Level(name=f"node of {board:g}", units_count=one, mean_w=mean_w, peak_w=peak_w))
    if bill.racks_count:
        each = bill.racks_count
        most = fullest if each > 1.0 else peak
        made.append(Level(name="cabinet, mean of all", units_count=each, mean_w=whole / each, peak_w=most / each))
    pods = bill.pods_count
    outside = first(found.scale_out_w)
    worst = first(found.building.worst_pue)
    made += [
        Level(name="pod", units_count=pods, mean_w=whole / pods, peak_w=(fullest if pods > 1.0 else peak) / pods),
        Level(name="IT with scale-out", units_count=1.0, mean_w=whole + outside, peak_w=peak + outside),
        Level(
            name="site",
            units_count=1.0,
            mean_w=first(found.mean_w),
            peak_w=(peak + outside) * worst,
        ),
    ]
    return tuple(made)


def board_chips(about: Subject) -> float:
    """Return the chips of the machine's node, its largest tier of a board's size; 0 where no tier is one."""
    fabric, most = about.machine.fabric, about.parts.node.board_chips_count
    sizes = [tier.ranks_count / fabric.ranks_per_chip for tier in fabric.tiers if not tier.scale_out]
    return min(max((size for size in sizes if 1.0 < size <= most), default=0.0), about.bill.chips_count)


def boards_alone(about: Subject) -> Callable[[Num], float]:
    """Return the power of all nodes, without switches and modules beyond a board, by that of a chip."""
    bare = replace(about.bill, switches_count=0.0, modules_w=0.0)
    made = replace(fill(about), bill=bare)
    return lambda chip_w: float(made.machine(chip_w).power_w)


def phases(about: Subject, settled: Settled) -> tuple[PhasePower, ...]:
    """Return what chips do, load by load."""
    found: list[PhasePower] = []
    for load, items in zip(about.loads, held(about, settled), strict=True):
        whole = sum(float(item.activity.time_s) for item in items)
        found += [
            PhasePower(
                load=load.name,
                name=item.activity.name,
                share_frac=float(item.activity.time_s) / whole,
                flop_frac=float(item.activity.flop_frac),
                memory_frac=float(item.activity.memory_frac),
                link_frac=float(item.activity.link_frac),
                power_w=float(item.power_w),
            )
            for item in items
        ]
    return tuple(found)


def held(about: Subject, settled: Settled) -> list[tuple[Powered, ...]]:
    """Return each load's activities under the limit that was found."""
    return [limited(about.shares, about.max_w, items, settled.limit_w) for items in fill(about).powered(about.loads)]


def site_parts(found: Site) -> tuple[Use, ...]:
    """Return what the site draws by use, averaged over the year; parts sum to the headline."""
    built = found.building
    uses = [(use.name, use.power_w) for use in found.machine.parts]
    uses += [("scale-out network", found.scale_out_w), ("conversion of the building", built.chain_w)]
    uses += [("pumps", built.pumps_w), ("room fans", built.air_fans_w), ("cooler fans", built.rejection_fans_w)]
    uses += [("chillers", built.chiller_w), ("all else", built.misc_w)]
    return tuple(Use(name=name, power_w=float(np.mean(watts))) for name, watts in uses)


def months(weather: Weather, found: Site) -> tuple[MonthOverhead, ...]:
    """Return the ratios of each month; nothing where the hours are not those of a year."""
    if len(weather.dry_c) != sum(DAYS) * DAY_HOURS:
        return ()
    built, start, made = found.building, 0, list[MonthOverhead]()
    ratio = np.asarray(built.site_w / built.it_w)[0]
    water = np.asarray(built.water_m3_per_s / built.it_w)[0]
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    for name, days in zip(names, DAYS, strict=True):
        rows = slice(start, start + days * DAY_HOURS)
        start += days * DAY_HOURS
        made.append(
            MonthOverhead(
                name=name,
                pue_ratio=float(np.mean(ratio[rows])),
                worst_pue_ratio=float(np.max(ratio[rows])),
                wue_m3_per_j=float(np.mean(water[rows])),
            )
        )
    return tuple(made)


def trace_of(about: Subject, worked: Worked, settled: Settled) -> Swings | None:
    """Return what the supply of the machine sees over a training step; None where there is no timeline.

    A limit that slows the work down is not drawn into the timeline: its powers are, its longer kernels are not.
    """
    if worked.trace is None:
        return None
    made, load, items = fill(about), about.loads[0], held(about, settled)[0]
    none, whole = float(made.machine(0.0).power_w), float(made.machine(about.max_w).power_w)
    slope = (whole - none) / about.max_w / about.bill.chips_count
    waits = [item for item in items if item.activity.kind == "wait"]
    spent = float(time_s(waits))
    waiting = float(mean_w(waits)) if spent > 0.0 else about.shares.waiting_ratio * about.max_w
    resting = about.shares.idle_ratio * about.max_w * (about.bill.chips_count - load.chips_count)
    base = none + slope * (load.chips_count * waiting + resting)
    return worked.trace(items, load.chips_count, (base, slope))


def tornado(rows: Site, tab: Table, scale: float, facts: tuple[UsedFact, ...]) -> tuple[Bar, ...]:
    """Return the facts whose ranges move the site's power most."""
    watts = np.asarray(rows.mean_w) * scale
    kinds = {used.where: str(used.fact.kind) for used in facts}
    found = [
        Bar(where=where, kind=kinds[where], at_low=float(watts[low]), at_high=float(watts[high]))
        for where, (low, high) in tab.ends.items()
    ]
    moved = [item for item in found if abs(item.at_high - item.at_low) > SAME_FRAC * watts[0]]
    return tuple(sorted(moved, key=lambda item: -abs(item.at_high - item.at_low))[:SHOWN_SWINGS])


def own_notes(about: Subject, worked: Worked, weather: Weather) -> tuple[str, ...]:
    """Return what a reader must know of the power model."""
    said = [
        "power of a chip is a fit to its utilisations, good to about 10 % for dense models and 20 % for mixtures of "
        "experts; no pod's measured power enters it"
    ]
    if about.design.plates and not plates_known(about):
        said.append(f"no junction temperature: cold plates of {about.max_w:,.0f} W chips are of no class known here")
    if about.shares.borrowed_from:
        said.append(
            f"power shares of {about.machine.chip.name} are borrowed from {about.shares.borrowed_from}: nobody has "
            "published its power under a known load"
        )
    if about.uncounted:
        said.append(f"not counted, as nobody says how many there are: {', '.join(about.uncounted)}")
    if worked.trace is None:
        said.append("no power over time: a steady state has no timeline")
    if len(weather.dry_c) not in YEAR_HOURS:
        said.append(f"{len(weather.dry_c):,} hours of weather are no year: PUE and WUE hold for those hours only")
    return tuple(said)
