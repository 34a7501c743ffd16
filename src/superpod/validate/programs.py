"""Numbers of measuring programs and of what points leave unsaid: the facts of programs.toml."""

from pathlib import Path

from superpod.catalog.provenance import Fact
from superpod.catalog.read import read_toml, validated
from superpod.errors import CatalogueError

PROGRAMS = Path(__file__).parent / "programs.toml"


def program_fact(path: str) -> float:
    """Return a number of programs.toml, by table and key."""
    table, _, key = path.partition(".")
    problems: list[str] = []
    fact: Fact = validated(Fact, read_toml(PROGRAMS)[table][key], f"{PROGRAMS.name}:{path}", problems)
    if fact.value is None:
        raise CatalogueError("no value", where=f"{PROGRAMS.name}:{path}")
    return fact.value
