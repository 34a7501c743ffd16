"""Answers as JSON.

Every verb's `--json` prints one object:

    {"schema": 1, "verb": "serve", …}

and beside these two keys
    catalog          `kind`, `entries`: the catalogue's own records
    show             `entries`: {kind, entry}; a model's also carry `parameters`
    train, serve     `report`: a `superpod.plan.report.Report`, of `serve` with traffic a
                     `superpod.plan.serving.result.TrafficReport`; `sources`: the cited publications by id
    compare          `comparison`: a `superpod.plan.compare.result.Comparison`; `sources`
    fabric           `report`: a `superpod.plan.fabric.result.FabricReport`; `sources`
    power            `report`: a `superpod.plan.power.report.PowerReport`; `sources`
    reliability      `report`: a `superpod.plan.goodput.result.GoodputReport`; `sources`
    cost             `report`: a `superpod.plan.cost.result.CostReport`; `sources`
    claims           `verdicts`: a list of `superpod.plan.claims.verdict.Verdict`; `sources`

Keys are the field names of the dataclasses, and their suffixes are the units: SI, nothing rounded. A number that nobody
has published is null; so is one that is not finite, because JSON has no word for it.
"""

import json
import math
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

SCHEMA = 1
Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def to_json(value: Any) -> Json:
    """Turn dataclasses, mappings, sequences, paths and numpy values into what `json` can write.

    >>> to_json({"a": (1, float("inf"))})
    {'a': [1, None]}
    """
    form: Json
    if isinstance(value, float):
        form = float(value) if math.isfinite(value) else None
    elif value is None or isinstance(value, str | bool | int):
        form = value
    elif is_dataclass(value) and not isinstance(value, type):
        form = {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    elif isinstance(value, Mapping):
        form = {str(key): to_json(item) for key, item in value.items()}
    elif isinstance(value, PurePath):
        form = str(value)
    elif isinstance(value, list | tuple):
        form = [to_json(item) for item in value]
    elif isinstance(value, Set):
        form = [to_json(item) for item in sorted(value)]
    elif hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        form = to_json(value.tolist())
    else:
        raise TypeError(f"no JSON form for {type(value).__name__}")
    return form


def dumps(verb: str, answer: Mapping[str, Any]) -> str:
    """Return the JSON document of a verb's answer."""
    document = {"schema": SCHEMA, "verb": verb, **answer}
    return json.dumps(to_json(document), indent=2, ensure_ascii=False, allow_nan=False)
