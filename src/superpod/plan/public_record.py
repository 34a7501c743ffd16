"""How wide a band must be at the least: the errors that simulators fitted to nothing of their target have in public."""

import math
from functools import lru_cache
from pathlib import Path

from superpod.catalog.provenance import Fact
from superpod.catalog.read import read_toml, validated
from superpod.errors import CatalogueError

RECORD = Path(__file__).parent / "public_record.toml"
NINETIETH = 1.2816  # standard deviations from the middle of a normal distribution to its ninetieth hundredth


@lru_cache(maxsize=8)
def least_spread(name: str) -> float:
    """Return the logarithm of P90 over the middle of a normal error of that mean size: 1.2816 sqrt(pi / 2) mean."""
    problems: list[str] = []
    where = f"{RECORD.name}:{name}.mean_frac"
    fact: Fact = validated(Fact, read_toml(RECORD)[name]["mean_frac"], where, problems)
    if fact.value is None:
        raise CatalogueError("no value", where=where)
    return NINETIETH * math.sqrt(math.pi / 2.0) * fact.value
