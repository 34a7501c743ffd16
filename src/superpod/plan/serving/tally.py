"""Requests counted as they end, in memory that does not grow with them: histograms of logarithms, and sums."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from superpod.plan.serving.result import Cause, LengthClass, Spread, Times
from superpod.serve.simulation.answer import STATUS, Served
from superpod.serve.simulation.columns import CUT_OFF, FINISHED

Reals = npt.NDArray[np.float64]
LEAST_S = 1e-6
PER_DECADE = 1000
"""Bins from a time to ten times it: a percentile is right to 0.12 %."""
DECADES = 14
CLASSES_TOKENS = (2048.0, 8192.0, 32768.0, 131072.0, float("inf"))


@dataclass(slots=True)
class Histogram:
    """Times by their logarithm, each with a weight; what is below the least counts as no time."""

    weights_count: Reals = field(default_factory=lambda: np.zeros(PER_DECADE * DECADES))
    total_count: float = 0.0
    total_s: float = 0.0
    most_s: float = 0.0

    def add(self, times_s: Reals, weights: Reals | None = None) -> None:
        """Count some times in."""
        if not len(times_s):
            return
        place = np.log10(np.maximum(times_s, LEAST_S) / LEAST_S) * PER_DECADE
        bins = np.minimum(place.astype(np.int64), len(self.weights_count) - 1)
        self.weights_count += np.bincount(bins, weights=weights, minlength=len(self.weights_count))
        self.total_count += float(len(times_s) if weights is None else weights.sum())
        self.total_s += float(times_s.sum() if weights is None else np.dot(times_s, weights))
        self.most_s = max(self.most_s, float(times_s.max()))

    def at(self, fracs: Reals) -> Reals:
        """Return the least times that such shares do not pass."""
        if not self.total_count:
            return np.zeros(len(fracs))
        bins = np.searchsorted(np.cumsum(self.weights_count), fracs * self.total_count * (1.0 - 1e-12))
        found = np.minimum(LEAST_S * 10.0 ** ((bins + 0.5) / PER_DECADE), self.most_s)
        return np.where(bins == 0, 0.0, found)

    def spread(self) -> Spread:
        """Return mean and percentiles; all 0 where nothing was counted."""
        curve = self.at(np.arange(1, 100) / 100.0)
        return Spread(
            mean_s=self.total_s / self.total_count if self.total_count else 0.0,
            p50_s=float(curve[49]),
            p90_s=float(curve[89]),
            p99_s=float(curve[98]),
            most_s=self.most_s,
            curve_s=tuple(float(value) for value in curve),
        )


@dataclass(slots=True)
class ClassTally:
    """Requests of some lengths of prompt."""

    requests: int = 0
    met: int = 0
    ttft: Histogram = field(default_factory=Histogram)
    unloaded: Histogram = field(default_factory=Histogram)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Everything that is counted of the requests that ended.

    `unloaded_s` gives the time to a first token on an idle fleet, by tokens to read.
    """

    ttft_target_s: float
    tpot_target_s: float
    unloaded_s: Callable[[Reals], Reals]
    stopped: bool = False
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(STATUS), dtype=np.int64))
    times: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram() for name in Times.__dataclass_fields__}
    )
    classes: list[ClassTally] = field(default_factory=lambda: [ClassTally() for _ in CLASSES_TOKENS])
    met: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("ttft", "tpot", "both"), 0))
    missed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("alone", "waiting", "decode"), 0))
    good_tokens: int = 0
    output_tokens: int = 0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    preempted: int = 0
    first_s: float = np.inf
    last_s: float = 0.0
    end_s: float = 0.0

    @property
    def ended(self) -> int:
        """Requests counted; where the run was stopped, those that were under way are none of them."""
        return int(self.counts.sum() - self.counts[CUT_OFF] * self.stopped)

    def add(self, served: Served) -> None:
        """Count some requests in."""
        self.counts += np.bincount(served.status, minlength=len(STATUS))
        self.first_s = min(self.first_s, float(served.arrival_s.min(initial=np.inf)))
        self.last_s = max(self.last_s, float(served.arrival_s.max(initial=0.0)))
        self.end_s = max(self.end_s, float(served.finish_s.max(initial=0.0)))
        self.preempted += int(served.preempted_count.sum())
        done = served.rows(np.flatnonzero(served.status == FINISHED))
        if len(done.number):
            self.count_finished(done)

    def count_finished(self, done: Served) -> None:
        """Count requests that got all their tokens."""
        ttft, tpot = done.ttft_s, done.tpot_s
        alone = np.minimum(self.unloaded_s((done.prompt_tokens - done.hit_tokens).astype(np.float64)), ttft)
        gaps = (done.output_tokens - 1).astype(np.float64)
        spaced = gaps > 0
        for name, values in (
            ("ttft", ttft),
            ("unloaded", alone),
            ("waiting", ttft - alone),
            ("latency", done.latency_s),
            ("tpot", tpot[spaced]),
        ):
            self.times[name].add(values)
        self.times["itl"].add(tpot[spaced], gaps[spaced])
        self.output_tokens += int(done.output_tokens.sum())
        self.prompt_tokens += int(done.prompt_tokens.sum())
        self.hit_tokens += int(done.hit_tokens.sum())
        early, steady = ttft <= self.ttft_target_s, tpot <= self.tpot_target_s
        self.count_targets(done, early, steady, alone > self.ttft_target_s)
        self.count_classes(done, ttft, alone, early & steady)

    def count_targets(
        self, done: Served, early: npt.NDArray[np.bool_], steady: npt.NDArray[np.bool_], long: npt.NDArray[np.bool_]
    ) -> None:
        """Count who met which target, and why others did not: each request has one reason."""
        both = early & steady
        for name, flags in (("ttft", early), ("tpot", steady), ("both", both)):
            self.met[name] += int(flags.sum())
        self.good_tokens += int(done.output_tokens[both].sum())
        self.missed["alone"] += int((~early & long).sum())
        self.missed["waiting"] += int((~early & ~long).sum())
        self.missed["decode"] += int((early & ~steady).sum())

    def count_classes(self, done: Served, ttft: Reals, alone: Reals, good: npt.NDArray[np.bool_]) -> None:
        """Count requests by length of prompt."""
        place = np.searchsorted(CLASSES_TOKENS, done.prompt_tokens)
        for number in np.unique(place):
            mine, of = place == number, self.classes[number]
            of.requests += int(mine.sum())
            of.met += int(good[mine].sum())
            of.ttft.add(ttft[mine])
            of.unloaded.add(alone[mine])

    def all_times(self) -> Times:
        """Return the times of the requests that finished."""
        return Times(**{name: histogram.spread() for name, histogram in self.times.items()})

    def length_classes(self) -> tuple[LengthClass, ...]:
        """Return the classes that have requests."""
        return tuple(
            LengthClass(
                most_tokens=most,
                requests_count=of.requests,
                ttft_p50_s=of.ttft.spread().p50_s,
                ttft_p90_s=of.ttft.spread().p90_s,
                unloaded_p50_s=of.unloaded.spread().p50_s,
                met_frac=of.met / of.requests,
            )
            for most, of in zip(CLASSES_TOKENS, self.classes, strict=True)
            if of.requests
        )

    def causes(self) -> tuple[Cause, ...]:
        """Return why requests missed their targets, the most frequent first."""
        whole = max(self.ended, 1)
        found = [
            ("alone", "their prompt alone takes longer than the TTFT target on an idle fleet", self.missed["alone"]),
            ("waiting", "they waited for others to be read, or for memory", self.missed["waiting"]),
            ("decode", "decode steps took longer than the TPOT target", self.missed["decode"]),
        ]
        found += [
            (STATUS[place].replace(" ", "-"), f"{STATUS[place]}", int(self.counts[place]))
            for place in range(len(STATUS))
            if place != FINISHED and not (place == CUT_OFF and self.stopped)
        ]
        ranked = sorted(found, key=lambda item: -item[2])
        return tuple(Cause(code=code, what=what, share_frac=count / whole) for code, what, count in ranked if count)
