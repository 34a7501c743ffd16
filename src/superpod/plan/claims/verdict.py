"""The answer to `claims`: one published claim recomputed."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["reproduces", "only under these assumptions", "does not reproduce", "not checkable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAnswer:
    """A claim about pods answered for one of them.

    `published` is what somebody has said of it, in `source`; `computed` what its parts make; None where there is none.
    """

    pod: str
    published: float | None
    source: str
    computed: float | None
    answer: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A claim, its arithmetic with the catalogue's numbers, and what came out."""

    id: str
    claim: str
    who: str  # who said it, where
    source: str  # a source id
    arithmetic: str  # the computation, with its numbers
    claimed: float | None
    computed: float | None
    unit: str
    outcome: Outcome
    because: str  # one or two sentences
    pods: tuple[PodAnswer, ...] = ()  # pod by pod, of a claim about all of them
