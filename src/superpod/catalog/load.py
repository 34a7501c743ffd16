"""Names to catalogue entries: the shipped folder, the user's folders over it, and the user's own numbers."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from superpod.catalog.calibration import Calibration, LinkCalibration
from superpod.catalog.claim import Claim
from superpod.catalog.costs import CostBook, Currency
from superpod.catalog.facility_parts import ChipPower, Climate, Cooling, FacilityParts
from superpod.catalog.failures import FailureBook
from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.provenance import Source
from superpod.catalog.read import Tree, build_entry, read_toml, validated
from superpod.catalog.record import record
from superpod.catalog.schema import Cable, Chip, Facility, Pod
from superpod.catalog.software import Software
from superpod.errors import CatalogueError, UnknownNameError

T = TypeVar("T")

SHIPPED = Path(__file__).parent / "data"
KINDS: Mapping[str, type[Any]] = {
    "chips": Chip,
    "pods": Pod,
    "models": ModelSpec,
    "facilities": Facility,
    "calibration": Calibration,
    "links": LinkCalibration,
    "cables": Cable,
    "claims": Claim,
    "software": Software,
    "chip_power": ChipPower,
    "facility_parts": FacilityParts,
    "cooling": Cooling,
    "climates": Climate,
    "failures": FailureBook,
    "costs": CostBook,
    "currencies": Currency,
}
SINGULAR = {
    "chips": "chip",
    "pods": "pod",
    "models": "model",
    "facilities": "facility",
    "links": "link",
    "cables": "cable",
    "claims": "claim",
    "software": "software",
    "climates": "climate",
    "failures": "failure book",
    "costs": "cost book",
    "currencies": "currency",
}
NOT_INHERITED = {"published", "power", "price", "aliases"}  # a cascade has its own, or none


@record
class Catalogue:
    """The folders that are searched (later ones win), the user's own numbers, and whether estimates may be used.

    `overrides` maps `"pods/<id>:<path>"` to a number that replaces the fact at that path.
    """

    folders: tuple[Path, ...] = (SHIPPED,)
    overrides: Mapping[str, float] = field(default_factory=dict)
    estimates: bool = False

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the ids of all entries of a kind."""
        return tuple(sorted(path.stem for path in _index(self.folders, kind).values()))

    def chip(self, name: str) -> Chip:
        """Return a chip by id or alias."""
        return self._entry("chips", Chip, name)

    def pod(self, name: str) -> Pod:
        """Return a pod or a cascade by id or alias, or the one that a TOML file of your own describes."""
        return self._entry("pods", Pod, name)

    def model(self, name: str) -> ModelSpec:
        """Return a model by id or alias."""
        return self._entry("models", ModelSpec, name)

    def facility(self, name: str) -> Facility:
        """Return a facility by id or alias."""
        return self._entry("facilities", Facility, name)

    def calibration(self, name: str) -> Calibration:
        """Return a chip family's operator efficiencies by id."""
        return self._entry("calibration", Calibration, name)

    def link(self, name: str) -> LinkCalibration:
        """Return a link family's collective efficiencies by id."""
        return self._entry("links", LinkCalibration, name)

    def cable(self, name: str) -> Cable:
        """Return a kind of cable by the medium that names it."""
        return self._entry("cables", Cable, name)

    def claim(self, name: str) -> Claim:
        """Return a published claim by id or alias."""
        return self._entry("claims", Claim, name)

    def software(self, name: str) -> Software:
        """Return a release of a serving engine or training framework by id or alias."""
        return self._entry("software", Software, name)

    def failures(self, name: str) -> FailureBook:
        """Return a fleet's failure rates and repair times by id or alias."""
        return self._entry("failures", FailureBook, name)

    def costs(self, name: str) -> CostBook:
        """Return the prices of a region by id or alias: those of the facility of that name."""
        return self._entry("costs", CostBook, name)

    def currency(self, name: str) -> Currency:
        """Return a currency by id or alias."""
        return self._entry("currencies", Currency, name)

    def chip_power(self, name: str) -> ChipPower:
        """Return the power shares of a chip family by the id of its calibration."""
        return self._entry("chip_power", ChipPower, name)

    def facility_parts(self, name: str) -> FacilityParts:
        """Return the parts that machines and buildings are made of."""
        return self._entry("facility_parts", FacilityParts, name)

    def cooling(self, name: str) -> Cooling:
        """Return a cooling design by id or alias."""
        return self._entry("cooling", Cooling, name)

    def climate(self, name: str) -> Climate:
        """Return the weather of a place by id or alias."""
        return self._entry("climates", Climate, name)

    def tree(self, kind: str, name: str) -> Tree:
        """Return an entry's file as it was parsed, facts and all."""
        return self._tree(kind, _find(self.folders, kind, name))

    def sources(self) -> Mapping[str, Source]:
        """Return all cited publications by id."""
        return _sources(self.folders)

    def _entry(self, kind: str, cls: type[T], name: str) -> T:
        own = Path(name) if kind == "pods" and name.lower().endswith(".toml") else None
        plain, _, version = (name, "", "") if own is not None else name.partition("@")
        path = _find(self.folders, kind, plain) if own is None else own
        entry: Any = build_entry(kind, cls, self._tree(kind, path), path, self._overrides(kind, path), self.estimates)
        if version and entry.version != version:
            raise UnknownNameError(SINGULAR.get(kind, kind), name, [f"{entry.id}@{entry.version}"])
        found: T = entry
        return found

    def _tree(self, kind: str, path: Path) -> Tree:
        """Return a file's tree; a cascade is its base pod with what differs laid over it."""
        tree = read_toml(path)
        if "base" not in tree:
            return tree
        if not isinstance(tree["base"], str):
            raise CatalogueError(f"base: found {tree['base']!r}, expected the id of a pod", where=str(path))
        base = read_toml(_find(self.folders, kind, tree["base"]))
        return {**{key: value for key, value in base.items() if key not in NOT_INHERITED}, **tree}

    def _overrides(self, kind: str, path: Path) -> dict[str, float]:
        """Return the user's numbers for one entry by path; raise for a number whose kind or entry does not exist."""
        found: dict[str, float] = {}
        for key, value in self.overrides.items():
            entry, _, where = key.partition(":")
            other, _, name = entry.partition("/")
            if other not in KINDS:
                raise CatalogueError(f"unknown kind {other!r}", where=f"--set {key}", hint=f"one of {', '.join(KINDS)}")
            if other == kind and (name == path.stem or _find(self.folders, kind, name) == path):
                found[where] = value
        return found


def parse_overrides(settings: Iterable[str]) -> dict[str, float]:
    """Parse `--set pods/<id>:<path>=<number>` arguments; raise CatalogueError on the first malformed one."""
    overrides: dict[str, float] = {}
    for text in settings:
        match = re.fullmatch(r"(\w+/[\w.\-]+:[\w.\-]+)=(.+)", text.strip())
        if match is None:
            raise CatalogueError(
                f"cannot read {text!r}",
                where="--set",
                hint="write KIND/ID:PATH=NUMBER, e.g. pods/atlas950-1024:power.max_w=1.9e6",
            )
        overrides[match[1]] = _number(match[2], f"--set {match[1]}")
    return overrides


def _number(text: str, where: str) -> float:
    """Return a finite, non-negative number."""
    try:
        value = float(text)
    except ValueError:
        raise CatalogueError(f"{text!r} is not a number", where=where, hint="SI units, e.g. 392e9") from None
    if not math.isfinite(value) or value < 0:
        raise CatalogueError(f"{text!r} is not a finite number from 0 up", where=where, hint="SI units, e.g. 392e9")
    return value


@lru_cache(maxsize=64)
def _index(folders: tuple[Path, ...], kind: str) -> dict[str, Path]:
    """Return files by lower-case stem, later folders over earlier ones."""
    return {path.stem.lower(): path for folder in folders for path in sorted((folder / kind).rglob("*.toml"))}


@lru_cache(maxsize=64)
def _aliases(folders: tuple[Path, ...], kind: str) -> dict[str, Path]:
    """Return files by lower-case alias; a malformed list is refused when its entry is read."""
    found: dict[str, Path] = {}
    for path in _index(folders, kind).values():
        names = read_toml(path).get("aliases", [])
        found.update((str(name).lower(), path) for name in (names if isinstance(names, list) else []))
    return found


@lru_cache(maxsize=8)
def _sources(folders: tuple[Path, ...]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for path in _index(folders, "sources").values():
        for name, entry in read_toml(path).items():
            if not isinstance(entry, dict):
                raise CatalogueError(f"{name}: found {entry!r}, expected a table with title and url", where=str(path))
            found[name] = validated(Source, {"id": name, **entry}, f"{path}:{name}", [])
    return found


def _find(folders: tuple[Path, ...], kind: str, name: str) -> Path:
    """Return the file of an entry by id or alias in any case; raise UnknownNameError."""
    index, key = _index(folders, kind), name.lower()
    if key in index:
        return index[key]
    aliases = _aliases(folders, kind)
    if key in aliases:
        return aliases[key]
    raise UnknownNameError(SINGULAR.get(kind, kind), name, [*index, *aliases])
