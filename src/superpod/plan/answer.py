"""What a search yields in words and numbers, before provenance: the part of a Report that depends on the work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from superpod.plan.machine import Machine
from superpod.plan.report import Candidate, Lever, Metric, Searched, Share
from superpod.plan.serving.search import Deployment
from superpod.plan.training.search import Trained
from superpod.result import Limit, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """See `Report` for the fields; `plan` is what the search found, in its own terms."""

    plan: Trained | Deployment
    headline: Metric
    metrics: tuple[Metric, ...]
    breakdowns: tuple[Term, ...]
    memory: tuple[tuple[str, tuple[Share, ...]], ...]
    limits: tuple[Limit, ...]
    binding: str
    layout: Mapping[str, float | str]
    runners_up: tuple[Candidate, ...]
    considered_count: int
    feasible_count: int
    cards_used_count: float
    notes: tuple[str, ...]
    searched: Searched | None = None
    front: tuple[Trained, ...] = ()  # the layouts of its points
    levers: Callable[[], tuple[Lever, ...]] = tuple  # priced when asked for: layouts are searched again for each


# Prices the chosen plan again on another machine: the headline's value, for sensitivities.
Repricer = Callable[[Machine], float]


def binding_term(term: Term, memory: Limit) -> str:
    """Return the sentence that names the largest part of a step, and memory where it is nearly full."""
    leaves = sorted(term.leaves(), key=lambda leaf: -float(leaf.time_s))
    share = float(leaves[0].time_s) / float(term.time_s)
    sentence = f"{100 * share:.0f} % of the {term.name} is {leaves[0].name}"
    if len(leaves) > 1:
        sentence += f", {leaves[1].name} {100 * float(leaves[1].time_s) / float(term.time_s):.0f} %"
    margin = float(memory.margin_frac)
    return f"{sentence}; memory has {100 * margin:.0f} % to spare"
