"""One TOML file to one frozen entry: facts apart from values, every problem of the file reported at once."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from superpod.catalog.provenance import Fact
from superpod.catalog.schema import DTYPES
from superpod.errors import CatalogueError, did_you_mean
from superpod.units import ALLOWED_SUFFIXES

T = TypeVar("T")
Tree = dict[str, Any]

SCHEMA = 1
# Structural counts are part of the description, not claims about the world.
BARE_NUMBERS = {"schema", "chips_count", "dims"}
FACT_KEYS = {"value", "missing", "unsupported"}
# What formulas divide by or raise to: (end of the name, above, at most). The first that fits a fitted number counts.
FITTED = {"calibration", "links", "software"}
LIMITS = (
    ("band_frac", -1.0, math.inf),
    ("_tax_frac", -1.0, 1.0),
    ("power_loss_frac", -1.0, math.inf),
    ("_frac", 0.0, 1.0),
    ("latency_power", 0.0, 1.0),
    ("join_power", 1.0, math.inf),
    ("_count", 0.0, math.inf),
)


def read_toml(path: Path) -> Tree:
    """Read a TOML file; raise CatalogueError with the place of a syntax error.

    A file that has not changed is parsed once: what is nested in the tree is shared and must not be changed.
    """
    try:
        now = path.stat()
        return dict(_parsed(path.absolute(), (now.st_mtime_ns, now.st_size)))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"malformed TOML: {error}", where=str(path)) from None
    except RecursionError:
        raise CatalogueError("nested too deeply to be read", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"cannot read the file: {error}", where=str(path)) from None


@lru_cache(maxsize=1024)
def _parsed(path: Path, stamp: tuple[int, int]) -> Tree:
    """Return a file's tree as it was when it had this time and size."""
    return tomllib.loads(path.read_text(encoding="utf-8-sig"))


def build_entry(kind: str, cls: type[T], tree: Tree, path: Path, overrides: Mapping[str, float], estimates: bool) -> T:
    """Return the entry that a tree describes; raise CatalogueError with all its problems."""
    problems: list[str] = []
    if tree.pop("schema", None) != SCHEMA:
        problems.append(f"schema: expected {SCHEMA}")
    if tree.get("id") != path.stem:
        problems.append(f"id: found {tree.get('id')!r}, expected the file's stem {path.stem!r}")
    if tree.get("tiers") == []:
        problems.append("tiers: a pod has at least one")
    if "facts" in tree:
        problems.append("facts: is filled by the reader, not by files")
    facts: dict[str, Fact] = {}
    sourced = kind == "models"  # one source stands for a model's whole file
    stripped = _strip(tree, "", facts, problems, bare=sourced)
    problems += [f"{where}: only a dtype can be unsupported ({', '.join(DTYPES)})" for where in _odd_unsupported(facts)]
    _apply_overrides(f"{kind}/{path.stem}", overrides, stripped, facts, problems)
    if kind in FITTED:
        problems += [text for where, fact in facts.items() if (text := _beyond(where, fact))]
    if estimates:
        _apply_estimates(stripped, facts)
    if not sourced:
        stripped["facts"] = facts
    made: T = validated(cls, stripped, str(path), problems)
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
    if not bare and _wants_fact(tree, where):
        problems.append(f"{where}: found the bare {_kind_of(tree)} {tree!r}; expected a fact {{ value, kind, source }}")
    return tree


def _wants_fact(leaf: Any, where: str) -> bool:
    """Return whether a leaf is a number without an address, or text where the name says that a number belongs."""
    if isinstance(leaf, int | float) and not isinstance(leaf, bool):
        return not BARE_NUMBERS & set(where.split("."))
    return where.endswith(ALLOWED_SUFFIXES) and where.rpartition(".")[2] not in BARE_NUMBERS


def _kind_of(leaf: Any) -> str:
    return "number" if isinstance(leaf, int | float) and not isinstance(leaf, bool) else "value"


def _read_fact(tree: Tree, where: str, facts: dict[str, Fact], problems: list[str]) -> float | None:
    problems += [
        f"{where}.{name}: found {tree[name]!r}, expected a finite number from 0 up"
        for name in ("value", "low", "high")
        if name in tree and not _is_quantity(tree[name])
    ]
    fact: Fact | None = validated(Fact, tree, where, problems, collect=True)
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


def _beyond(where: str, fact: Fact) -> str:
    """Return what is wrong with a fitted number that no formula can take; empty where nothing is."""
    above, most = next(((low, high) for end, low, high in LIMITS if where.endswith(end)), (-1.0, math.inf))
    if fact.value is None or above < fact.value <= most:
        return ""
    wanted = f"{above:g} < x" if math.isinf(most) else f"{above:g} < x <= {most:g}"
    return f"{where}: found {fact.value:g}, expected {wanted}"


def _is_quantity(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _apply_overrides(
    entry: str, overrides: Mapping[str, float], tree: Tree, facts: dict[str, Fact], problems: list[str]
) -> None:
    for path, value in overrides.items():
        if not _assign(tree, path.split("."), value):
            known = did_you_mean(path, facts) or "known: " + ", ".join(facts)
            problems.append(f"--set {entry}:{path}: no such number; {known}")
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


def validated(cls: type[Any], tree: Any, where: str, problems: list[str], *, collect: bool = False) -> Any:
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
