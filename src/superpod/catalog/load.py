"""TOML files to frozen catalogue entries, every problem of a file reported at once."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from superpod.catalog.calibration import Calibration, LinkCalibration
from superpod.catalog.claim import Claim
from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.provenance import Fact, Source
from superpod.catalog.record import record
from superpod.catalog.schema import DTYPES, Chip, Facility, Pod
from superpod.errors import CatalogueError, UnknownNameError, did_you_mean

T = TypeVar("T")
Tree = dict[str, Any]

SHIPPED = Path(__file__).parent / "data"
SCHEMA = 1
# Structural counts are part of the description, not claims about the world.
BARE_NUMBERS = {"schema", "chips_count", "dims"}
KINDS: Mapping[str, type[Any]] = {
    "chips": Chip,
    "pods": Pod,
    "models": ModelSpec,
    "facilities": Facility,
    "calibration": Calibration,
    "links": LinkCalibration,
    "claims": Claim,
}
FACT_KEYS = {"value", "missing", "unsupported"}


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
        return tuple(sorted(_index(self.folders, kind)))

    def chip(self, name: str) -> Chip:
        """Return a chip by id or alias."""
        return self._entry("chips", Chip, name)

    def pod(self, name: str) -> Pod:
        """Return a pod or a cascade by id or alias."""
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

    def claim(self, name: str) -> Claim:
        """Return a published claim by id or alias."""
        return self._entry("claims", Claim, name)

    def sources(self) -> Mapping[str, Source]:
        """Return all cited publications by id."""
        return _sources(self.folders)

    def _entry(self, kind: str, cls: type[T], name: str) -> T:
        plain, _, version = name.partition("@")
        entry: Any = _load(self, kind, cls, _find(self.folders, kind, plain))
        if version and entry.version != version:
            raise UnknownNameError(kind.removesuffix("s"), name, [f"{entry.id}@{entry.version}"])
        found: T = entry
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
        try:
            overrides[match[1]] = float(match[2])
        except ValueError:
            raise CatalogueError(
                f"{match[2]!r} is not a number", where=f"--set {match[1]}", hint="SI units, e.g. 392e9"
            ) from None
    return overrides


def read_toml(path: Path) -> Tree:
    """Read a TOML file; raise CatalogueError with the place of a syntax error."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"malformed TOML: {error}", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"cannot read the file: {error}", where=str(path)) from None


@lru_cache(maxsize=64)
def _index(folders: tuple[Path, ...], kind: str) -> dict[str, Path]:
    return {path.stem: path for folder in folders for path in sorted((folder / kind).rglob("*.toml"))}


@lru_cache(maxsize=64)
def _aliases(folders: tuple[Path, ...], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path in _index(folders, kind).items():
        found.update((alias, name) for alias in read_toml(path).get("aliases", []))
    return found


@lru_cache(maxsize=8)
def _sources(folders: tuple[Path, ...]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for path in _index(folders, "sources").values():
        for name, entry in read_toml(path).items():
            found[name] = _validated(Source, {"id": name, **entry}, f"{path}:{name}", [])
    return found


def _find(folders: tuple[Path, ...], kind: str, name: str) -> Path:
    index = _index(folders, kind)
    key = name.lower()
    if key in index:
        return index[key]
    aliases = _aliases(folders, kind)
    if key in aliases:
        return index[aliases[key]]
    raise UnknownNameError(kind.removesuffix("s"), name, [*index, *aliases])


def _load(catalogue: Catalogue, kind: str, cls: type[T], path: Path) -> T:
    tree = read_toml(path)
    if "base" in tree:  # a cascade: its base pod, with what differs laid over it
        base = read_toml(_find(catalogue.folders, kind, tree["base"]))
        tree = {
            **{key: value for key, value in base.items() if key not in {"published", "power", "price", "aliases"}},
            **tree,
        }
    return _build(catalogue, kind, cls, tree, path)


def _build(catalogue: Catalogue, kind: str, cls: type[T], tree: Tree, path: Path) -> T:
    problems: list[str] = []
    if tree.pop("schema", None) != SCHEMA:
        problems.append(f"schema: expected {SCHEMA}")
    if tree.get("id") != path.stem:
        problems.append(f"id: found {tree.get('id')!r}, expected the file's stem {path.stem!r}")
    facts: dict[str, Fact] = {}
    sourced = kind == "models"  # one source stands for a model's whole file
    stripped = _strip(tree, "", facts, problems, bare=sourced)
    problems += [f"{where}: only a dtype can be unsupported ({', '.join(DTYPES)})" for where in _odd_unsupported(facts)]
    _apply_overrides(catalogue, f"{kind}/{path.stem}", stripped, facts, problems)
    if catalogue.estimates:
        _apply_estimates(stripped, facts)
    if not sourced:
        stripped["facts"] = facts
    made: T = _validated(cls, stripped, str(path), problems)
    return made


def _strip(tree: Any, where: str, facts: dict[str, Fact], problems: list[str], *, bare: bool) -> Any:
    """Replace each fact table by its bare value, and file the fact under its path."""
    if isinstance(tree, dict):
        if FACT_KEYS & tree.keys():
            return _read_fact(tree, where, facts, problems)
        kept = {key: _strip(value, _join(where, key), facts, problems, bare=bare) for key, value in tree.items()}
        return {key: value for key, value in kept.items() if not _unsupported(facts, _join(where, key))}
    if isinstance(tree, list):
        return [
            _strip(item, _join(where, _item_name(item, number)), facts, problems, bare=bare)
            for number, item in enumerate(tree)
        ]
    is_number = isinstance(tree, int | float) and not isinstance(tree, bool)
    if is_number and not bare and not BARE_NUMBERS & set(where.split(".")):
        problems.append(f"{where}: found the bare number {tree!r}; expected a fact {{ value, kind, source }}")
    return tree


def _read_fact(tree: Tree, where: str, facts: dict[str, Fact], problems: list[str]) -> float | None:
    fact: Fact | None = _validated(Fact, tree, where, problems, collect=True)
    if fact is None:
        return None
    if fact.value is not None and fact.kind is None:
        problems.append(
            f"{where}: a fact needs its kind (vendor, authors, benchmark, third-party, computed or assumed)"
        )
    if fact.value is not None and not fact.source and fact.kind not in {"assumed", "computed"}:
        problems.append(f"{where}: a {fact.kind} fact needs its source")
    facts[where] = fact
    return fact.value


def _apply_overrides(catalogue: Catalogue, entry: str, tree: Tree, facts: dict[str, Fact], problems: list[str]) -> None:
    for key, value in catalogue.overrides.items():
        where, _, path = key.partition(":")
        if where != entry:
            continue
        if not _assign(tree, path.split("."), value):
            problems.append(f"--set {key}: no such number; {did_you_mean(path, facts) or 'known: ' + ', '.join(facts)}")
        facts[path] = Fact(value=value, kind="user", note="given by the user")


def _apply_estimates(tree: Tree, facts: dict[str, Fact]) -> None:
    for path, fact in facts.items():
        guess = fact.estimate
        if fact.missing and guess is not None and _assign(tree, path.split("."), guess.value):
            facts[path] = replace(
                fact,
                value=guess.value,
                low=guess.low,
                high=guess.high,
                kind="estimate",
                source=guess.source,
                note=guess.basis,
            )


def _assign(tree: Any, path: list[str], value: float) -> bool:
    *parents, leaf = path
    for name in parents:
        if isinstance(tree, list):
            tree = next((item for number, item in enumerate(tree) if _item_name(item, number) == name), None)
        elif isinstance(tree, dict):
            tree = tree.setdefault(name, {})
        else:
            return False
    if not isinstance(tree, dict):
        return False
    tree[leaf] = value
    return True


def _validated(cls: type[Any], tree: Any, where: str, problems: list[str], *, collect: bool = False) -> Any:
    """Build `cls` from `tree`; raise CatalogueError listing all problems, or with `collect` add them to `problems`."""
    made: Any = None
    found: list[str] = []
    try:
        made = _adapter(cls).validate_python(tree)  # type: ignore[arg-type]  # a class is hashable
    except ValidationError as error:
        found = [_sentence(cls, item) for item in error.errors()]
    if collect:
        problems.extend(f"{where}: {text}" for text in found)
        return made
    if problems or found:
        lines = [*problems, *found]
        raise CatalogueError(
            "\n  ".join([f"{len(lines)} problem(s)", *lines]), where=where, hint="docs/reference/catalogue-format.md"
        )
    return made


def _sentence(cls: type[Any], error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return f"{place}: unknown key; {did_you_mean(str(error['loc'][-1]), known_keys(cls)) or 'see the format'}"
    if error["type"] in {"missing", "missing_argument"}:
        return f"{place}: this key is required"
    return f"{place}: {error['msg'].lower()}, found {error['input']!r}"


def known_keys(cls: type[Any]) -> frozenset[str]:
    """Return the names of all fields of a record and of the records inside it, and the dtypes."""
    found: set[str] = set(DTYPES)
    todo: list[Any] = [cls]
    while todo:
        kind = todo.pop()
        if is_dataclass(kind) and isinstance(kind, type):
            found.update(item.name for item in fields(kind))
            todo.extend(get_type_hints(kind).values())
        todo.extend(get_args(kind))
    return frozenset(found)


@lru_cache(maxsize=32)
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _item_name(item: Any, number: int) -> str:
    return str(item["name"]) if isinstance(item, dict) and "name" in item else str(number)


def _odd_unsupported(facts: Mapping[str, Fact]) -> list[str]:
    """Return unsupported facts that no validation would see, as they leave no value behind."""
    return [where for where, fact in facts.items() if fact.unsupported and where.rpartition(".")[2] not in DTYPES]


def _unsupported(facts: Mapping[str, Fact], path: str) -> bool:
    return path in facts and facts[path].unsupported
