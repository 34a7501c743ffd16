"""Goodput of training: the share of a machine's time that becomes work which stays, and where the rest goes."""

from dataclasses import dataclass

import numpy as np

from superpod.reliability.checkpoint import Checkpoint, best_interval_s, time_shares
from superpod.reliability.rates import Rates
from superpod.reliability.spares import Usable
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A synchronous job as failures see it: how often it stops, its checkpoints, and what slows it down.

    `interval_s` 0 takes the best one; it is no shorter than a step, nor than a checkpoint takes to be stored.
    """

    cards_count: Num
    nodes_count: Num
    stopping_per_s: Num
    checkpoint: Checkpoint
    usable: Usable
    slowed_frac: Num = 0.0
    step_s: Num = 0.0
    interval_s: Num = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """Shares of the time of all cards; goodput and the eleven losses add up to 1.

    `effective_frac` is that of a job that holds its cards (ETTR).
    """

    goodput_frac: Num
    effective_frac: Num
    interval_s: Num
    reserved_frac: Num
    stranded_frac: Num
    stall_frac: Num
    detection_frac: Num
    restart_frac: Num
    storing_frac: Num
    rework_frac: Num
    slowed_frac: Num
    straggler_frac: Num
    corruption_frac: Num
    planned_frac: Num

    def losses(self) -> dict[str, Num]:
        """Return what is lost, by cause."""
        return {label: getattr(self, name) for name, label in LOSSES.items()}


LOSSES = {
    "rework_frac": "rework since the last checkpoint",
    "restart_frac": "restart",
    "detection_frac": "detection",
    "stall_frac": "checkpoint stall",
    "storing_frac": "checkpoint not yet stored",
    "reserved_frac": "spares held back",
    "stranded_frac": "stranded or waiting for repair",
    "slowed_frac": "slower on fewer planes",
    "straggler_frac": "waiting for slow servers",
    "corruption_frac": "silent corruption",
    "planned_frac": "planned maintenance",
}


def goodput(job: Job, rates: Rates) -> Goodput:
    """Return goodput = used x effective x (1 - slowed) x (1 - straggling) x (1 - corrupted) x (1 - planned).

    used: cards that the spare policy leaves; effective: `time_shares`; straggling: `slow_share`; corrupted:
    1 - e^(-lambda_c D) with D the time until a wrong number is noticed, whose work is done again; planned:
    `planned_share`. The job stops at the rate of the cards that it has while it runs.
    """
    used = job.usable.used_frac
    stops = np.maximum(job.stopping_per_s * job.usable.running_frac, 1e-30)
    restart = rates.elastic_restart_s if job.usable.elastic else rates.restart_s
    lost = rates.detect_s + restart + job.checkpoint.persist_s
    best = best_interval_s(job.checkpoint.stall_s, stops)
    floor = np.maximum(job.step_s, job.checkpoint.persist_s)
    interval = np.where(np.asarray(job.interval_s) > 0.0, job.interval_s, np.maximum(best, floor))
    shares = time_shares(stops, lost, interval, job.checkpoint.stall_s)
    recovery = used * shares.recovery_frac / lost
    running = used * shares.effective_frac
    left = running
    taken: dict[str, Num] = {}
    for name, share in _slower(job, rates, restart).items():
        taken[name] = left * share
        left = left * (1.0 - share)
    return Goodput(
        goodput_frac=left,
        effective_frac=shares.effective_frac,
        interval_s=interval,
        reserved_frac=job.usable.reserved_frac,
        stranded_frac=job.usable.stranded_frac,
        stall_frac=used * shares.stall_frac,
        detection_frac=recovery * rates.detect_s,
        restart_frac=recovery * restart,
        storing_frac=recovery * job.checkpoint.persist_s,
        rework_frac=used * shares.rework_frac,
        **taken,
    )


def _slower(job: Job, rates: Rates, restart_s: Num) -> dict[str, Num]:
    """Return what is taken from the work that stays, one after the other, as shares of what is left before."""
    job_cards = job.cards_count * job.usable.running_frac
    return {
        "slowed_frac": job.slowed_frac,
        "straggler_frac": slow_share(rates, job.nodes_count * job.usable.running_frac),
        "corruption_frac": -np.expm1(-rates.corruption_per_s * job_cards * rates.corruption_notice_s),
        "planned_frac": planned_share(rates, restart_s, job.checkpoint.stall_s),
    }


def slow_share(rates: Rates, nodes_count: Num) -> Num:
    """Return the share of time lost to hardware that works on but slowly: (1 - e^(-n lambda D)) x loss of speed.

    A synchronous job is as slow as its slowest server, so one of n is enough; servers turn slow independently and stay
    so for D, until found and replaced (M/G/infinity: none is slow with e^(-n lambda D)). Taking them out is among the
    failures. Chips that differ from birth, uneven stages and the wait for experts are in the step, not here.
    """
    share: Num = -np.expm1(-nodes_count * rates.slow_per_s * rates.slow_s) * rates.slow_frac
    return share


def planned_share(rates: Rates, restart_s: Num, stall_s: Num) -> Num:
    """Return the share of time that planned work takes: windows, and interruptions of a checkpoint and a restart each.

    1 - (1 - windows) / (1 + rate x (stall + restart)). Nothing has to be detected and no work is lost.
    """
    return 1.0 - (1.0 - rates.maintenance_frac) / (1.0 + rates.planned_per_s * (stall_s + restart_s))
