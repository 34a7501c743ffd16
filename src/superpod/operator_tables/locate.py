"""Which installed package has tables, and where those of a chip lie."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from superpod.errors import NoBasisError, UnknownNameError

LAYOUT = Path(__file__).with_name("aiconfigurator.toml")
INSTALL = "pip install 'superpod[tables]'"
EVERY = "all"  # the median of all engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An engine whose kernels were timed: its id and name, and the releases to look for, best first.

    `unread` names families and number formats whose rows do not hold what they should.
    """

    id: str
    name: str
    releases: tuple[str, ...]
    unread: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantising:
    """How the input of a narrow product is quantised in its rows: the bytes an element of it and the kernels.

    `timed` names the files in which an engine's own kernels were timed by themselves.
    """

    element_bytes: float
    kernels_count: float
    timed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the tables of one release of the package lie, and what its words mean."""

    package: str
    version: str
    root: Path
    chips: Mapping[str, str]
    relatives: Mapping[str, str]
    backends: Mapping[str, Backend]
    dtypes: Mapping[str, str]
    quantising: Mapping[str, Quantising] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The tables of one chip as some engines ran on it; `borrowed` where they were timed on a relative."""

    chip: str
    folder: Path
    backends: tuple[Backend, ...]
    dtypes: Mapping[str, str]
    package: str
    quantising: Mapping[str, Quantising] = field(default_factory=dict)
    borrowed: bool = False

    def file(self, backend: Backend, family: str, name: str, releases: tuple[str, ...] = ()) -> Path | None:
        """Return the Parquet file of a family of operators from the best release that has it, or None."""
        return _found(self.folder / family / backend.id, name, releases or backend.releases)

    def word(self, dtype: str, scaling: str) -> str | None:
        """Return what the tables call a number format, or None where they have no such format."""
        return self.dtypes.get(f"{dtype} {scaling}".strip())


@lru_cache(maxsize=1024)
def _found(folder: Path, name: str, releases: tuple[str, ...]) -> Path | None:
    paths = (folder / release / name for release in releases)
    return next((path for path in paths if path.is_file()), None)


@lru_cache(maxsize=1)
def _words() -> Mapping[str, Any]:
    return tomllib.loads(LAYOUT.read_text(encoding="utf-8"))


def choice(name: str) -> float:
    """Return a number that the reader of the tables chose: a fact of `choices`."""
    return float(_words()["choices"][name]["value"])


@lru_cache(maxsize=1)
def layout() -> Layout:
    """Return the layout of the installed package; raise NoBasisError where it is absent or of another release."""
    words = _words()
    package, wanted = words["package"], words["version"]
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise NoBasisError(
            f"measured operator tables need {package} {wanted}, which is not installed",
            where="--tables",
            hint=f"{INSTALL}, or --tables none",
        ) from None
    if found.version != wanted:
        raise NoBasisError(
            f"{package} {found.version} is installed, but its tables are read as {wanted} lays them out",
            where="--tables",
            hint=f"pip install {package}=={wanted}, or --tables none",
        )
    return Layout(
        package=f"{package} {wanted}",
        version=wanted,
        root=Path(str(found.locate_file(words["module"]))) / words["folder"],
        chips=words["chips"],
        relatives=words["relatives"],
        backends={
            key: Backend(
                id=key, name=row["name"], releases=tuple(row["releases"]), unread=frozenset(row.get("unread", ()))
            )
            for key, row in words["backends"].items()
        },
        dtypes=words["dtypes"],
        quantising={
            word: Quantising(
                element_bytes=row["element_bytes"],
                kernels_count=row["kernels_count"],
                timed={engine: tuple(files) for engine, files in row.get("timed", {}).items()},
            )
            for word, row in words["quantising"].items()
        },
    )


def has_tables(chip: str) -> bool:
    """Return whether the package, installed or not, is known to have tables of the chip."""
    words = _words()
    return chip in words["chips"] or chip in words["relatives"]


def system(chip: str, backend: str = EVERY, known: Layout | None = None) -> System:
    """Return a chip's tables; raise UnknownNameError for an engine that is not known.

    Raises NoBasisError for a chip without tables, and where the package lacks the files that it should have.
    """
    place = known or layout()
    borrowed = chip in place.relatives
    folder = place.relatives.get(chip) or place.chips.get(chip)
    if folder is None:
        raise NoBasisError(
            f"{place.package} has no operator tables of {chip}",
            where="--tables",
            hint=f"--tables none; tables exist for {', '.join((*place.chips, *place.relatives))}",
        )
    if backend != EVERY and backend not in place.backends:
        raise UnknownNameError("engine of operator tables", backend, (EVERY, *place.backends))
    chosen = tuple(place.backends.values()) if backend == EVERY else (place.backends[backend],)
    _require(place, folder, chosen)
    return System(
        chip=chip,
        folder=place.root / folder,
        backends=chosen,
        dtypes=place.dtypes,
        package=place.package,
        quantising=place.quantising,
        borrowed=borrowed,
    )


def _require(place: Layout, folder: str, chosen: tuple[Backend, ...]) -> None:
    """Raise NoBasisError where a chip's folder holds no table of a chosen engine in a release that is read."""
    for engine in chosen:
        found = (place.root / folder).glob(f"*/{engine.id}/*/*.parquet")
        if not any(path.parent.name in engine.releases for path in found):
            raise NoBasisError(
                f"{place.package} holds no table of {engine.name} {' or '.join(engine.releases)}",
                where=str(place.root / folder),
                hint="install the package of tables again, or --tables none",
            )
