"""Cases one after another on a backend, within a time budget; what happened to each comes as an event."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from superpod.calibrate.measurements import Measurement
from superpod.errors import MeasurementError
from superpod.measure.backend import Backend
from superpod.measure.case import Case
from superpod.measure.timing import Rule, repeat

MEASURED, SKIPPED, DROPPED = "measured", "skipped", "dropped"
LEAST_CALLS = 7  # what `timing.repeat` makes of short calls, and a first one
CASE_SHARE = 0.1  # of the budget, which a case may take
SPENT = "the budget is spent"
TOO_LONG = "it alone would take more than a tenth of the budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to a case: measured (with its row), skipped (with the reason), or dropped for lack of time."""

    case: Case
    state: str
    row: Measurement | None = None
    reason: str = ""


@dataclass(slots=True)
class Rates:
    """The best rates seen so far in each stratum, which say about how long a case will take."""

    flop_per_s: dict[tuple[str, str, str, int], float] = field(default_factory=dict)
    bytes_per_s: dict[tuple[str, str, str, int], float] = field(default_factory=dict)

    def learn(self, case: Case, time_s: float) -> None:
        """Take a measured case into account."""
        for rates, work in ((self.flop_per_s, case.work_flop), (self.bytes_per_s, case.moved_bytes)):
            rates[case.stratum] = max(rates.get(case.stratum, 0.0), work / time_s)

    def expected_s(self, case: Case) -> float:
        """Return the time of a call at the best rates seen so far, which later ones may better; 0 without any."""
        pairs = ((self.flop_per_s, case.work_flop), (self.bytes_per_s, case.moved_bytes))
        known = ((rates.get(case.stratum, 0.0), work) for rates, work in pairs)
        return max((work / rate for rate, work in known if rate > 0.0), default=0.0)


def run_cases(backend: Backend, chosen: Sequence[Case], rule: Rule, budget_s: float) -> Iterator[Event]:
    """Yield an event for each case.

    A case that the device refuses (memory, number format, shape) is skipped with the reason. After `budget_s` the rest
    is dropped. A case that would take more than a tenth of the budget at the best rates seen waits for the others,
    which may show better ones; if not, it is dropped.
    """
    begun_s = backend.now_s()
    rates = Rates()
    waiting: list[Case] = []
    long_s = CASE_SHARE * budget_s / LEAST_CALLS
    rule = replace(rule, long_s=min(rule.long_s, long_s))
    for case in chosen:
        if rates.expected_s(case) > long_s:
            waiting.append(case)
        else:
            yield tried(backend, case, rule, rates, budget_s - (backend.now_s() - begun_s))
    for case in sorted(waiting, key=lambda item: (item.work_flop, item.moved_bytes)):
        if rates.expected_s(case) > long_s:
            yield Event(case=case, state=DROPPED, reason=TOO_LONG)
        else:
            yield tried(backend, case, rule, rates, budget_s - (backend.now_s() - begun_s))


def tried(backend: Backend, case: Case, rule: Rule, rates: Rates, left_s: float) -> Event:
    """Return the event of one case: dropped where no time is left."""
    return measured(backend, case, rule, rates) if left_s > 0.0 else Event(case=case, state=DROPPED, reason=SPENT)


def measured(backend: Backend, case: Case, rule: Rule, rates: Rates) -> Event:
    """Return the event of one case that was tried."""
    try:
        prepared = backend.prepare(case)
        timing = repeat(prepared.burst_s, prepared.whole_count, rule)
    except MeasurementError as error:
        return Event(case=case, state=SKIPPED, reason=error.message)
    rates.learn(case, timing.median_s)
    row = case.row(timing, backend.chip, backend.software, prepared.how)
    return Event(case=case, state=MEASURED, row=row)
