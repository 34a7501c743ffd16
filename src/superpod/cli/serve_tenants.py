"""Several models on one pod, from a file of tenants: read, checked, served, and shown."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver_report
from superpod.cli.serve_options import ASKED, targeted, traffic_of
from superpod.errors import ScenarioError, SuperpodError

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.plan.serving.tenants import Tenant

NAMES = ("name", "model", "cards", "share")
WORDS = ("rate", "mode", "kv", "precision", "slo", "ttft", "tpot", "schedule", "router", "prefix_cache")
COUNTS = ("concurrency", "requests", "seed", "prompt", "output", "mtp")
NUMBERS = ("speed", "acceptance", "imbalance")
KEYS = (*NAMES, "trace", "lengths", *WORDS, *COUNTS, *NUMBERS)
"""Keys of a tenant: what `superpod serve` has options for, of which the command line's hold where a tenant has none."""
OF_ALL = (*ASKED, "out", "trace_window", "window", "source", "export", "prefill_pod", "disaggregate", "fail", "sweep")
"""Options that are about the requests, or the files, of one model."""


def is_tenants(model: str) -> bool:
    """Return whether what stands for the model is a file of tenants."""
    return model.endswith(".toml")


def answer(path: Path, pod: str, options: dict[str, Any], catalogue: Catalogue) -> None:
    """Serve the tenants of a file and deliver the report."""
    from superpod.cli.serve_tenants_page import tenants_page
    from superpod.cli.serve_traffic import progress_bar
    from superpod.plan.serving.tenants import evaluate_tenants

    shared.refuse_given(OF_ALL, "is about one model: a tenant of the file has its own")
    tenants = read_tenants(path, pod, options, catalogue)
    with progress_bar() as told:
        report = evaluate_tenants(catalogue, tenants, told)
    deliver_report("serve", catalogue, report, tenants_page, shared.outputs(options))


def read_tenants(path: Path, pod: str, options: Mapping[str, Any], catalogue: Catalogue) -> list[Tenant]:
    """Return the tenants of a file.

    Raises:
        ScenarioError: no TOML, an unknown key, a value of the wrong kind, a tenant without requests, a name twice, or
            more cards than the pod has.
    """
    rows = rows_of(path)
    cards_count = pod_cards(catalogue, pod, options)
    found: list[Tenant] = []
    for number, row in enumerate(rows, start=1):
        found.append(tenant(row, f"{path}: tenants[{number}]", path.parent, pod, options, cards_count))
    names = [item.name for item in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ScenarioError(
            f"two tenants are called {twice!r}", where=str(path), hint='give each its own: name = "chat"'
        )
    wanted = sum(item.cards_count or 0 for item in found)
    if wanted > cards_count:
        raise ScenarioError(
            f"tenants take {wanted:,} cards; {pod} has {cards_count:,}",
            where=str(path),
            hint="smaller cards or share of a tenant, or more cards (--cards, --pods)",
        )
    return found


def rows_of(path: Path) -> list[Mapping[str, Any]]:
    """Return the tables of a file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuperpodError(f"cannot read the file: {error.strerror or error}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"is no TOML: {error}", where=str(path), hint="[[tenants]] and lines of key = value"
        ) from None
    rows = document.get("tenants")
    others = sorted(set(document) - {"tenants"})
    if others or not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        got = f"found {others[0]!r}" if others else "found no tenants"
        raise ScenarioError(f"{got}, expected [[tenants]] alone", where=str(path), hint="one table for each model")
    return rows


def pod_cards(catalogue: Catalogue, pod: str, options: Mapping[str, Any]) -> int:
    """Return the cards that are divided."""
    from superpod.plan.machine import size
    from superpod.plan.scenario import Scenario, Serving

    shared.refuse_two_sizes(options)
    asked = Scenario(model="", pod=pod, work=Serving(), pods=options["pods"], cards=options["cards"])
    return round(size(catalogue.pod(pod), asked)[1])


def tenant(
    row: Mapping[str, Any], where: str, folder: Path, pod: str, options: Mapping[str, Any], cards_count: int
) -> Tenant:
    """Return one tenant; what it does not say is as on the command line."""
    from dataclasses import replace

    from superpod.plan.serving.tenants import Tenant

    check_keys(row, where)
    merged = {**options, **{key: converted(key, row[key], where) for key in row if key not in NAMES}}
    if "trace" in row:
        merged["trace"] = trace_of(folder / str(row["trace"]), where)
    if not any(merged[name] for name in ASKED):
        raise ScenarioError(
            "has no requests", where=where, hint='trace = "FILE", or rate = "poisson:5" with lengths = [PROMPT, OUTPUT]'
        )
    work = targeted(shared.serving(merged), {**merged, "slo": merged["slo"] if "slo" in row else options["slo"]})
    model = str(row["model"])
    scenario = shared.scenario(local(model, folder), pod, work, merged)
    return Tenant(
        name=str(row.get("name", Path(model).stem)),
        scenario=replace(scenario, traffic=traffic_of(merged)),
        cards_count=own_cards(row, where, cards_count),
    )


def check_keys(row: Mapping[str, Any], where: str) -> None:
    """Raise ScenarioError for a key that nobody knows, a value of the wrong kind, and a tenant without a model."""
    for key, value in row.items():
        if key not in KEYS:
            raise ScenarioError(f"found {key!r}, expected one of {', '.join(KEYS)}", where=where)
        kinds = int if key in (*COUNTS, "cards") else (int, float) if key in (*NUMBERS, "share") else (str, int, float)
        fits = isinstance(value, list) if key == "lengths" else isinstance(value, kinds)
        if isinstance(value, bool) or not fits:
            raise ScenarioError(f"found {value!r}, expected {kind_of(key)}", where=f"{where}.{key}")
    if not str(row.get("model", "")).strip():
        raise ScenarioError("has no model", where=where, hint='model = "deepseek-r1"')


def kind_of(key: str) -> str:
    """Return what a key holds, in words."""
    if key == "lengths":
        return 'two words: ["lognormal:median=800,sigma=1", "fixed:200"]'
    return "a whole number" if key in (*COUNTS, "cards") else "a number" if key in (*NUMBERS, "share") else "a word"


def converted(key: str, value: Any, where: str) -> Any:
    """Return a value as the option of the same name has it.

    Raises:
        ScenarioError: what the option would refuse.
    """
    if key == "lengths":
        if len(value) == 2:
            return tuple(str(item) for item in value)
        raise ScenarioError(f"found {len(value)} words, expected {kind_of(key)}", where=f"{where}.{key}")
    context = click.get_current_context()
    option = next(item for item in context.command.params if item.name == key)
    try:
        found = value if key == "trace" else option.type.convert(str(value), option, context)
        return option.callback(context, option, found) if option.callback is not None else found
    except click.BadParameter as error:
        raise ScenarioError(error.message.rstrip("."), where=f"{where}.{key}") from None


def trace_of(path: Path, where: str) -> Path:
    """Return the file or folder of a trace, which a tenant names from its own file on."""
    if not path.exists():
        raise ScenarioError(f"no file {path}", where=f"{where}.trace", hint="paths begin where the file of tenants is")
    return path


def local(model: str, folder: Path) -> str:
    """Return a model's name, or the path of its config from the file of tenants on."""
    path = folder / model
    return str(path) if model.endswith(".json") and path.exists() else model


def own_cards(row: Mapping[str, Any], where: str, cards_count: int) -> int | None:
    """Return the cards that a tenant asks for, in number or as a share; None where the search shall say."""
    if "cards" in row and "share" in row:
        raise ScenarioError("has cards and share", where=where, hint="give one of them")
    if "share" in row:
        share = float(row["share"])
        if not 0.0 < share <= 1.0:
            raise ScenarioError(f"found {share:g}, expected more than 0 and up to 1", where=f"{where}.share")
        return max(int(share * cards_count + 1e-9), 1)
    if "cards" in row and row["cards"] < 1:
        raise ScenarioError(f"found {row['cards']}, expected 1 or more", where=f"{where}.cards")
    return row.get("cards")
