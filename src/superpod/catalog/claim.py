"""A published claim: what was said, by whom, the number, and the numbers that only the claim itself carries."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record

Relation = Literal["equal", "at_least", "at_most"]


@record
class Claim:
    """One quantitative claim.

    `given` holds numbers that exist only in the claim (a baseline, an operating point). `assumptions` names what a
    favourable reading rests on, and `even_basis` the comparison that does without it. `lacks` says which public numbers
    a check would need. `remark` is what a reader should know beside the arithmetic.
    """

    id: str
    version: str
    claim: str
    who: str
    source: str
    claimed: float | None
    unit: str
    tolerance_frac: float
    relation: Relation = "equal"
    given: Mapping[str, float | None] = field(default_factory=dict)
    assumptions: str = ""
    even_basis: str = ""
    lacks: str = ""
    remark: str = ""
    aliases: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)
