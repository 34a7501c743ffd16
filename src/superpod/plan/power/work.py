"""What a machine draws at work that is already known: from its phases, else what is published of its pods."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader, UsedFact
from superpod.errors import MissingFactError
from superpod.facility.columns import Table
from superpod.plan.machine import Machine
from superpod.plan.power.phases import Load
from superpod.plan.power.site import COOLING, Drawing, Subject, drawing, fill, subject
from superpod.plan.spread import Moved
from superpod.result import Num

HEAT = ("cooling/", ":fluids.", ":plates.", ":plant.", ":air.", ":junction.", ":chain.")
"""Facts of the way that heat takes, and of a building's own losses: no part of what a machine draws."""
PHASES, TYPICAL, MAXIMUM = "phases", "published typical power", "published maximum power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """IT power in the mean while the work runs, and what a supply must bear; `chip_w` is None where it is not known.

    `basis` says where it is from: the phases of the work, or what is published of the pod, whatever it does.
    """

    it_w: float
    peak_w: float
    chip_w: float | None
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Powering:
    """The same with the facts it rests on, and IT power with some of them moved."""

    drawn: Drawn
    facts: tuple[UsedFact, ...]
    it_w: Callable[[Moved], Num]


def powering_of(catalogue: Catalogue, made: Machine, loads: tuple[Load, ...]) -> Powering:
    """Return what a machine draws under loads, each chip held by its own limit alone.

    Where nobody has published the chip's power: the pod's typical or else its maximum, whatever the work.

    Raises:
        MissingFactError: neither the chip's power nor the pod's is published.
    """
    try:
        about = subject(catalogue, made, COOLING, loads)
    except MissingFactError as error:
        return _published(catalogue, made, error)
    found = _drawing(about, {})
    return Powering(
        drawn=Drawn(
            it_w=float(np.ravel(found.it_w)[0]),
            peak_w=float(np.ravel(found.peak_w)[0]),
            chip_w=float(np.ravel(found.chip_mean_w)[0]),
            basis=PHASES,
        ),
        facts=tuple(used for used in about.facts if not any(mark in used.where for mark in HEAT)),
        it_w=lambda changes: _drawing(about, changes).it_w,
    )


def _drawing(about: Subject, changes: Moved) -> Drawing:
    made = fill(about, Table(rows_count=1, draws_count=0, columns=changes, ends={}))
    return drawing(about, made, made.max_w)


def _published(catalogue: Catalogue, made: Machine, error: MissingFactError) -> Powering:
    """Return what is published of the pod, or of the one that a cascade is made of; raise `error` where nothing is."""
    base = catalogue.pod(made.pod.base) if made.pod.base else made.pod
    rated = {"typical_w": base.power.typical_w, "max_w": base.power.max_w}
    name = next((name for name, watts in rated.items() if watts is not None), None)
    if name is None:
        raise error
    reader = FactReader(kind="pods", entry=base)
    share = made.cards_count / base.chips_count
    watts = reader.number(f"power.{name}", rated[name])
    top = reader.number("power.max_w", base.power.max_w) if base.power.max_w is not None else watts
    where = f"pods/{base.id}:power.{name}"
    return Powering(
        drawn=Drawn(
            it_w=watts * share,
            peak_w=top * share,
            chip_w=None,
            basis=TYPICAL if name == "typical_w" else MAXIMUM,
        ),
        facts=reader.cited(),
        it_w=lambda changes: changes.get(where, watts) * share,
    )
