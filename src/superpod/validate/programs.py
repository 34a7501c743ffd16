"""Numbers of measuring programs and of what points leave unsaid: the facts of programs.toml."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from superpod.catalog.provenance import Fact
from superpod.catalog.read import Tree, read_toml, validated
from superpod.errors import CatalogueError

PROGRAMS = Path(__file__).parent / "programs.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a program adds to each launch; `in_sample` where that was read off the rows that it is used for."""

    launch_s: float = 0.0
    in_sample: bool = False


def program(name: str) -> Program:
    """Return a measuring program by its table of programs.toml; one that adds nothing without a name."""
    if not name:
        return Program()
    return Program(launch_s=program_number(f"{name}.launch_s"), in_sample=bool(_tables()[name].get("in_sample")))


def program_of(title: str) -> Program:
    """Return the program that a source measured with, by the words of its title; one that adds nothing if unknown."""
    return program(next((name for name, row in _tables().items() if row.get("words", "\n") in title), ""))


def program_number(path: str) -> float:
    """Return a number of programs.toml, by table and key; raise CatalogueError where it has no value."""
    value = program_fact(path).value
    if value is None:
        raise CatalogueError("no value", where=f"{PROGRAMS.name}:{path}")
    return value


def program_fact(path: str) -> Fact:
    """Return a fact of programs.toml, by table and key."""
    table, _, key = path.partition(".")
    fact: Fact = validated(Fact, _tables()[table][key], f"{PROGRAMS.name}:{path}", [])
    return fact


@lru_cache(maxsize=1)
def _tables() -> Tree:
    return read_toml(PROGRAMS)
