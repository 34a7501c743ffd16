"""Who said a number, how they know, and how far to trust it.

Formulas see bare floats only; facts ride beside the catalogue entry and are looked up by path
(`memory.capacity_bytes`, `tiers.pod.latency_s`), so provenance cannot be lost in arithmetic.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, Protocol

from superpod.catalog.record import record
from superpod.errors import CatalogueError, MissingFactError

Kind = Literal["vendor", "authors", "benchmark", "third-party", "computed", "assumed", "estimate", "user"]


@record
class Source:
    """A publication."""

    id: str
    title: str
    url: str = ""
    date: str = ""
    note: str = ""


@record
class Estimate:
    """What public facts suggest for a number that nobody has published."""

    value: float
    basis: str
    low: float | None = None
    high: float | None = None
    source: str = ""


@record
class Fact:
    """One number of the world with its address."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    kind: Kind | None = None
    source: str = ""
    note: str = ""
    missing: bool = False
    unsupported: bool = False
    estimate: Estimate | None = None
    conflict: str = ""
    basis: str = ""


class HasFacts(Protocol):
    """A catalogue entry."""

    @property
    def id(self) -> str:
        """The entry's id."""
        ...

    @property
    def facts(self) -> Mapping[str, Fact]:
        """Its facts by path."""
        ...


@record
class UsedFact:
    """A fact that an answer rests on."""

    where: str
    fact: Fact


@record
class FactReader:
    """Reads numbers of one entry, remembers which were read, and refuses those that nobody has published."""

    kind: str
    entry: HasFacts
    used: dict[str, Fact] = field(default_factory=dict)

    def number(self, path: str, value: float | None) -> float:
        """Return the entry's number at `path`; raise MissingFactError where it is None, CatalogueError at 0."""
        if value is None:
            raise missing_fact(f"{self.kind}/{self.entry.id}:{path}", self.entry.facts.get(path, Fact(missing=True)))
        if value <= 0:
            raise CatalogueError(
                f"found {value:g}, expected a number over 0", where=f"{self.kind}/{self.entry.id}:{path}"
            )
        if path in self.entry.facts:
            self.used[path] = self.entry.facts[path]
        return value

    def cited(self) -> tuple[UsedFact, ...]:
        """Return the facts read so far."""
        return tuple(
            UsedFact(where=f"{self.kind}/{self.entry.id}:{path}", fact=fact) for path, fact in self.used.items()
        )


def missing_fact(where: str, fact: Fact) -> MissingFactError:
    """Say that nobody has published the number at `where`, and how to supply it."""
    hint = f"supply it with --set {where}=VALUE, or in your own catalogue folder (--catalog DIR)"
    if fact.estimate is not None:
        guess = fact.estimate
        span = f" (range {guess.low:g} to {guess.high:g})" if guess.low is not None and guess.high is not None else ""
        hint += f"; or accept the flagged estimate {guess.value:g}{span} with --estimates; its basis: {guess.basis}"
    return MissingFactError(
        f"this number is needed and has not been published ({fact.note or 'no note'})", where=where, hint=hint
    )
