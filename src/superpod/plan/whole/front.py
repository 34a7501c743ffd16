"""What a step of each layout of a front draws and costs."""

from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.errors import MissingFactError
from superpod.facility.cost_parts import running
from superpod.plan.answer import Answer
from superpod.plan.cost.site import Site, estate_of, site_of
from superpod.plan.machine import Machine
from superpod.plan.power.phases import training_loads
from superpod.plan.power.work import powering_of
from superpod.plan.report import FrontPoint
from superpod.plan.scenario import Training
from superpod.plan.training.search import Trained


def front_in_a_building(
    catalogue: Catalogue, place: str, made: Machine, work: Training, answer: Answer
) -> tuple[FrontPoint, ...]:
    """Return a front with energy and cost of a step on the cards that it uses; None where they are not published.

    Power is that of each layout's own phases; all that is bought is shared out by cards.
    """
    points = answer.searched.front if answer.searched is not None else ()
    try:
        drawn = [
            drawn_w(catalogue, made, work, point.cards_count, plan)
            for point, plan in zip(points, answer.front, strict=True)
        ]
    except MissingFactError:
        return points
    facility = catalogue.facility(place)
    pue = FactReader(kind="facilities", entry=facility).number("pue", facility.pue)
    try:
        whole = site_of(catalogue, made.pod, made.cards_count, place)
    except MissingFactError:
        whole = None
    return tuple(
        replace(
            point,
            energy_j=watts * pue * point.step_s,
            cost_usd=None if whole is None else spent_usd_per_s(whole, point.cards_count, watts) * point.step_s,
        )
        for point, watts in zip(points, drawn, strict=True)
    )


def drawn_w(catalogue: Catalogue, made: Machine, work: Training, cards: float, plan: Trained) -> float:
    """Return the IT power of the cards that a layout uses; raise MissingFactError where nothing is published of it."""
    used = replace(made, cards_count=cards)
    return powering_of(catalogue, used, training_loads(used, work, plan)).drawn.it_w


def spent_usd_per_s(whole: Site, cards: float, it_w: float) -> float:
    """Return what so many cards of a site cost a second while they draw `it_w`."""
    every = estate_of(whole, {})
    share = cards / whole.cards_count
    part = replace(
        every,
        cards_count=cards,
        machines_usd=every.machines_usd * share,
        network_usd=every.network_usd * share,
        provisioned_w=every.provisioned_w * share,
        drawn_w=it_w,
    )
    return float(running(part, whole.terms).total_usd_per_s)
