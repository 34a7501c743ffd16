"""What failures leave of a plan that a search found: of a training step, of serving instances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.plan.band import shares
from superpod.plan.goodput.subject import GoodputQuestion, Subject, best_policy, moved, priced, subject_of
from superpod.plan.machine import Machine
from superpod.plan.serving.search import Deployment, decode_ranks, instance_ranks
from superpod.plan.spread import Moved
from superpod.plan.training.search import Trained
from superpod.plan.whole.result import Left
from superpod.reliability import domains as failing
from superpod.reliability.rates import Rates
from superpod.reliability.serving import ServingAvailability, serving_availability
from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """What failures leave, with the facts it rests on, and goodput with some of them moved."""

    left: Left
    facts: tuple[UsedFact, ...]
    moved_frac: Callable[[Moved], Num]


def failing_of(
    catalogue: Catalogue, made: Machine, plan: Trained | Deployment, question: GoodputQuestion | None = None
) -> Failing:
    """Return what failures leave of a plan.

    Training: goodput of the found step, with the share of it that waits for links. Serving: instances restart on a
    spare server; the rate is that of the pool which is down most, as pools are balanced.
    """
    asked = replace(question or GoodputQuestion(), model=made.spec.id)
    if isinstance(plan, Trained):
        term = plan.step.term
        exposed = asked.exposed_frac if asked.exposed_frac is not None else shares(term).links_frac
        asked = replace(asked, step_s=float(term.time_s), exposed_frac=exposed)
    subject = subject_of(catalogue, (made.pod, made.fabric), made.spec, made.cards_count, asked, made.facts)
    if isinstance(plan, Trained):
        return _training(subject, asked)
    return _serving(subject, asked, instances(made, plan))


def failing_together(parts: Sequence[Failing]) -> Failing:
    """Return what failures leave of parts that need each other: that of the worst."""
    worst = min(parts, key=lambda part: part.left.goodput_frac)

    def goodput(changes: Moved) -> Num:
        least: Num = reduce(np.minimum, [part.moved_frac(changes) for part in parts])
        return least

    return Failing(left=worst.left, facts=tuple(used for part in parts for used in part.facts), moved_frac=goodput)


def instances(made: Machine, plan: Deployment) -> tuple[float, ...]:
    """Return the cards of an instance of each pool."""
    sizes = [decode_ranks(plan.decode)] + ([] if plan.mode == "aggregated" else [instance_ranks(plan.prefill.layout)])
    return tuple(float(size) / made.fabric.ranks_per_chip for size in sizes)


def _training(subject: Subject, asked: GoodputQuestion) -> Failing:
    cards = float(subject.site.cards_count)
    policy = best_policy(subject, asked, cards)
    base = priced(subject, asked, subject.rates, cards, policy)

    def goodput(changes: Moved) -> Num:
        rates = moved(subject.rates, changes, asked.book)
        return priced(subject, asked, rates, cards, policy).goodput.goodput_frac

    left = Left(
        goodput_frac=float(base.goodput.goodput_frac),
        losses={cause: float(share) for cause, share in base.goodput.losses().items()},
        policy=policy,
        stop_s=1.0 / float(base.stopping_per_s),
    )
    return Failing(left=left, facts=subject.facts, moved_frac=goodput)


def _serving(subject: Subject, asked: GoodputQuestion, cards_each: tuple[float, ...]) -> Failing:
    def found(changes: Moved) -> tuple[Num, Num, Num]:
        """Return (share of time that instances serve, share of cards that wait for repair, failures of an instance)."""
        rates = moved(subject.rates, changes, asked.book)
        each = [_availability(subject, rates, cards) for cards in cards_each]
        missing = failing.down_frac(failing.domains(subject.site, rates), subject.site)
        served: Num = reduce(np.minimum, [item.restarted_frac for item in each])
        return served, missing, reduce(np.maximum, [item.failure_per_s for item in each])

    def goodput(changes: Moved) -> Num:
        served, missing, _ = found(changes)
        return served * (1.0 - missing)

    served, missing, failures = (float(value) for value in found({}))
    left = Left(
        goodput_frac=served * (1.0 - missing),
        losses={"instances that restart": 1.0 - served, "servers that wait for repair": served * missing},
        policy="restart on a spare server",
        stop_s=1.0 / failures,
    )
    return Failing(left=left, facts=subject.facts, moved_frac=goodput)


def _availability(subject: Subject, rates: Rates, cards: float) -> ServingAvailability:
    one = failing.domains(failing.sized(subject.site, cards), rates)
    return serving_availability(max(cards / subject.site.node_cards_count, 1.0), rates, failing.stopping_per_s(one))
