"""How far a prediction may be off: the errors of what it is made of, weighed by their share of its time."""

import math
from dataclasses import dataclass

from superpod.plan.machine import Machine
from superpod.plan.public_record import least_spread
from superpod.result import Term

LINKS = ("collectives", "dispatch", "combine", "transfers", "exchange", "all-to-all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of a time: kernels, collectives, and the host."""

    kernels_frac: float
    links_frac: float
    host_frac: float


def shares(term: Term) -> Shares:
    """Return what a breakdown waits for, by the names of its leaves."""
    whole = max(float(term.time_s), 1e-30)
    leaves = list(term.leaves())
    links = sum(float(leaf.time_s) for leaf in leaves if leaf.name.endswith(LINKS)) / whole
    host = sum(float(leaf.time_s) for leaf in leaves if leaf.name == "host") / whole
    return Shares(kernels_frac=max(1.0 - links - host, 0.0), links_frac=links, host_frac=host)


def log_spread(made: Machine, parts: Shares) -> float:
    """Return half of the logarithm of P90 over P10 of a predicted time.

    sqrt(sum of (share x ln(1 + band))^2), with the held-out errors of operators and links, the range of the host's
    facts, and, over all of it, how far releases of one engine lie apart; of a training step also the public record of
    predictions that were fitted to nothing. Assumes that the kinds err independently and each kind alike throughout.
    """
    links = max(tier.link.band_frac for tier in made.fabric.tiers)
    bands = (
        (parts.kernels_frac, made.device.calibration.band_frac),
        (parts.links_frac, links),
        (parts.host_frac, host_range(made)),
        (1.0, made.software.band_frac),
    )
    record = least_spread("training_step") if made.software.phase == "training" else 0.0
    return math.hypot(record, *(share * math.log1p(band) for share, band in bands))


def host_range(made: Machine) -> float:
    """Return the wider half of the range of the host's facts, as a fraction of their values."""
    facts = [made.software.facts.get(name) for name in ("layer_s", "gap_s")]
    ratios = [
        max((fact.high or fact.value) / fact.value, fact.value / (fact.low or fact.value)) - 1.0
        for fact in facts
        if fact is not None and fact.value
    ]
    return max(ratios, default=0.0)
