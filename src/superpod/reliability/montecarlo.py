"""Histories drawn at random: failures that come in waves, repairs with a heavy tail, spares that run out.

All events of many histories lie in one flat array, so a history costs what its failures cost. Chunks have seeds of
their own, so an answer does not depend on how many threads there are.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import cpu_count

import numpy as np
import numpy.typing as npt

from superpod.reliability.formulas import Repair, correlation
from superpod.reliability.rates import Rates
from superpod.reliability.spares import Group, usable
from superpod.units import DAY_S

Column = npt.NDArray[np.float64]
WEEK_S = 7.0 * DAY_S
CHUNK_EVENTS = 1_000_000
BIN_S = DAY_S / 4.0
LEAST = 1e-9
GRID = 257  # shares of servers down at which a policy is looked up


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A job to play: `stopping_per_s` failures of which `repaired_frac` send a server away; `lost_s` after each.

    Waves are off where `rates.weekly_ratio` is 1.
    """

    group: Group
    policy: str
    stopping_per_s: float
    repaired_frac: float
    lost_s: float
    interval_s: float
    stall_s: float
    spares_count: float
    rates: Rates

    @property
    def nodes_count(self) -> int:
        """Servers of the machine."""
        return max(1, round(self.group.cards_count / self.group.node_cards_count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """One row a history: time that became work which stays, cards that a job had, failures, servers down at most."""

    effective_frac: Column
    used_frac: Column
    stops_count: Column
    down_max_count: Column
    down_mean_count: Column

    @property
    def goodput_frac(self) -> Column:
        """Both shares together."""
        return self.effective_frac * self.used_frac


def histories(setting: Setting, count: int, length_s: float, seed: int, threads: int = 0) -> Histories:
    """Return `count` histories of `length_s`; the same seed gives the same histories."""
    expected = max(setting.stopping_per_s * length_s, 1.0)
    size = max(1, min(count, int(CHUNK_EVENTS / expected)))
    sizes = [size] * (count // size) + ([count % size] if count % size else [])
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    lookup = _policy(setting)

    def run(job: tuple[int, np.random.SeedSequence]) -> Histories:
        return _chunk(setting, job[0], length_s, np.random.default_rng(job[1]), lookup)

    with ThreadPoolExecutor(max_workers=threads or cpu_count() or 1) as pool:
        return _joined(list(pool.map(run, zip(sizes, seeds, strict=True))))


def _joined(parts: Sequence[Histories]) -> Histories:
    names = Histories.__dataclass_fields__
    return Histories(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _policy(setting: Setting) -> tuple[Column, Column]:
    """Return (share of servers down, share of cards that the job has) at the points of a grid.

    Given how many are down, who is down is independent: the policy is asked with a variance ratio of 1.
    """
    share = np.linspace(0.0, 1.0, GRID) ** 3  # finer where shares are small
    if setting.policy == "warm":
        return share, np.full(GRID, 1.0 - setting.spares_count / setting.nodes_count)
    alone = replace(setting.rates, down_ratio=1.0)
    found = usable(setting.policy, replace(setting.group, down_frac=share), alone)
    return share, np.broadcast_to(np.asarray(found.used_frac, dtype=float), share.shape)


def _chunk(
    setting: Setting, count: int, length_s: float, rng: np.random.Generator, lookup: tuple[Column, Column]
) -> Histories:
    """Return `count` histories.

    Failures of a week are Poisson at a rate that a gamma of mean 1 multiplies; at a given number their places in the
    week are those of exponential pieces, scaled to it. Between two failures, all whole intervals after `lost_s` stay.
    """
    ends, history, last = _events(setting, count, length_s, rng)
    gaps = np.diff(ends, prepend=0.0)
    whole = np.floor(np.maximum(gaps - setting.lost_s, 0.0) / (setting.interval_s + setting.stall_s))
    work = np.bincount(history, weights=whole, minlength=count) * setting.interval_s
    stops = (np.bincount(history, minlength=count) - 1).astype(np.float64)
    down = _down(setting, (ends[~last], history[~last]), (count, length_s), rng)
    used = np.interp(down / setting.nodes_count, *lookup)
    if setting.policy == "warm":
        used = np.where(down > setting.spares_count, 0.0, used)
    elif setting.policy == "none":
        used = np.where(down > 0.0, 0.0, 1.0)
    return Histories(
        effective_frac=np.minimum(work / length_s, 1.0),
        used_frac=used.mean(axis=1),
        stops_count=stops,
        down_max_count=down.max(axis=1),
        down_mean_count=down.mean(axis=1),
    )


def _events(
    setting: Setting, count: int, length_s: float, rng: np.random.Generator
) -> tuple[Column, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the ends of all gaps on one axis of time, history after history; a history's last is no failure."""
    weeks = max(1, round(length_s / WEEK_S))
    week_s = length_s / weeks
    mean = setting.stopping_per_s * week_s
    wave = _wave(setting)
    factor = rng.gamma(1.0 / wave, wave, (count, weeks)) if wave > 0.0 else np.ones((count, weeks))
    pieces_in = rng.poisson(mean * factor).ravel() + 1
    pieces = rng.standard_exponential(int(pieces_in.sum()))
    stop = np.cumsum(pieces_in)
    sums = np.add.reduceat(pieces, stop - pieces_in)
    pieces *= np.repeat(week_s / sums, pieces_in)
    ends = np.cumsum(pieces)
    keep = np.ones(len(ends), dtype=bool)
    keep[stop - 1] = False
    keep[stop[weeks - 1 :: weeks] - 1] = True
    history = np.repeat(np.arange(count), pieces_in.reshape(count, weeks).sum(axis=1))[keep]
    last = np.zeros(len(history), dtype=bool)
    last[np.cumsum(np.bincount(history, minlength=count)) - 1] = True
    return ends[keep], history, last


def _wave(setting: Setting) -> float:
    """Return the squared variation of the rate from week to week: (ratio - 1) / failures a week, over the blocks.

    The ratio was seen on a block of servers; blocks of that size are independent of each other.
    """
    rates = setting.rates
    block = float(rates.observed_nodes_count)
    a_week = float(rates.node_failure_per_s) * block * WEEK_S
    return max(float(rates.weekly_ratio) - 1.0, 0.0) / a_week / max(setting.nodes_count / block, 1.0)


def _season(setting: Setting) -> float:
    """Return the squared variation of repair times from history to history that makes servers down cluster.

    rho (1 - q) / q of the number down, over its blocks: without it their variance would be a binomial's, where the
    trace has 5.9 times that. Parts, crews and suppliers make all repairs of a season slow or fast together.
    """
    rates = setting.rates
    load = setting.stopping_per_s * setting.repaired_frac * float(rates.repair_mean_s) / setting.nodes_count
    down = load / (1.0 + load)
    rho = float(correlation(rates.down_ratio, rates.observed_nodes_count))
    blocks = max(setting.nodes_count / float(rates.observed_nodes_count), 1.0)
    return rho * (1.0 - down) / max(down, LEAST) / blocks


def _down(
    setting: Setting,
    failures: tuple[Column, npt.NDArray[np.int64]],
    frame: tuple[int, float],
    rng: np.random.Generator,
) -> Column:
    """Return the servers down in each bin of each history; those down at its start are drawn as they would be met.

    All repairs of a history are longer or shorter by a factor of its own, see `_season`.
    """
    (when, history), (count, length_s) = failures, frame
    repair = Repair(median_s=setting.rates.repair_median_s, mean_s=setting.rates.repair_mean_s)
    bins = max(1, round(length_s / BIN_S))
    spread = _season(setting)
    season = rng.gamma(1.0 / spread, spread, count) if spread > 0.0 else np.ones(count)
    sent = rng.random(len(when)) < setting.repaired_frac
    own = history[sent]
    start = when[sent] - own * length_s
    before = rng.poisson(setting.stopping_per_s * setting.repaired_frac * float(repair.mean_s) * season)
    early = np.repeat(np.arange(count), before)
    start = np.concatenate([start, np.zeros(len(early))])
    own = np.concatenate([own, early])
    takes = [repair.drawn_s(rng, len(start) - len(early)), repair.drawn_s(rng, len(early), running=True)]
    end = start + np.concatenate(takes) * season[own]
    width = bins + 1
    first = np.ceil(start * (bins / length_s)).astype(np.int64)
    final = np.minimum(np.ceil(end * (bins / length_s)), bins).astype(np.int64)
    change = np.bincount(own * width + first, minlength=count * width).astype(np.int64)
    change -= np.bincount(own * width + final, minlength=count * width)
    down = np.cumsum(change.reshape(count, width), axis=1)[:, :bins]
    return np.minimum(down, setting.nodes_count).astype(np.float64)


def effective_drawn_frac(
    failure_per_s: float, lost_s: float, interval_s: float, stall_s: float, failures: int, seed: int
) -> float:
    """Return the share of time that becomes work which stays over that many failures: the check of `effective_frac`."""
    gaps = np.random.default_rng(seed).standard_exponential(failures) / failure_per_s
    whole = np.floor(np.maximum(gaps - lost_s, 0.0) / (interval_s + stall_s))
    return float(whole.sum() * interval_s / gaps.sum())
