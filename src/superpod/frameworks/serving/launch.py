"""A found deployment as pools, and pools as one script: an array of words a pool, a line an instance, the router."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import gcd

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.catalog.software import Software
from superpod.errors import ScenarioError
from superpod.frameworks.serving.pool import Pool
from superpod.parallel.layout import Layout
from superpod.plan.scenario import Serving
from superpod.plan.serving.search import Deployment
from superpod.workload.precision import PRECISIONS

PORT = 8000
Lines = Callable[["Launch", Pool], list[str]]
Nodes = Callable[["Launch", Pool, str], tuple[str, str]]
Routes = Callable[["Launch", dict[str, list[str]]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is written: pools of plain numbers, the model as its checkpoint is called, and its number format.

    `precision` None leaves it to the checkpoint. `experts_count` is the number of routed experts, 0 where it is not
    known. `router` is a policy of the engine's router, empty for its own choice.
    """

    engine: str
    pools: tuple[Pool, ...]
    model: str
    precision: str | None = None
    experts_count: int = 0
    cards_per_node: int = 8
    router: str = ""


def unsupported(engine: str, field: str, value: object, supports: str, hint: str = "") -> ScenarioError:
    """Say that an engine has no way to do what a field says."""
    return ScenarioError(
        f"{field} {value!r}: {engine} supports {supports}",
        where=f"export to {engine}",
        hint=hint or f"choose {field} as it supports it and search again, or export to another engine",
    )


def pools_of(
    engine: str, deployment: Deployment, work: Serving, software: Software, precision: str, spec: ModelSpec | None
) -> tuple[Pool, ...]:
    """Return the pools of a deployment, decode first.

    A prefill instance reads whole prompts, as many in a pass as the search found best; an instance that decodes holds
    the batch of each of its stages. Where ranks do not divide the experts of `spec`, as many are held twice as fill
    them up. The share of memory is left to the engine where its own is a share of something else.
    """
    if deployment.decode.apart is not None:
        raise unsupported(engine, "mode", deployment.mode, "aggregated and disaggregated")
    drafts = 1 + work.draft_tokens
    tokens = work.prompt_tokens + work.output_tokens + work.draft_tokens
    held = whole(engine, "batch", deployment.decode.sequences)
    shared = {
        "context_tokens_max": tokens,
        "draft_tokens": work.draft_tokens,
        "cache_bytes": work.cache_bytes or PRECISIONS[precision].kv_bytes,
        "memory_frac": float(software.memory_frac) if software.memory_of == MEMORY_OF[engine] else None,
        "graphs": software.graphs,
    }
    budget = int(software.step_tokens_count)
    decode = degrees(engine, deployment.decode.layout, spec, work.redundant_count)
    count = whole(engine, "decode_instances", deployment.decode_instances)
    stages = decode["pipeline"]
    if deployment.mode == "aggregated":
        pool = {"sequences_max": held * stages, "step_tokens_max": budget, "scheduling": software.scheduling}
        return (Pool(mode="aggregated", instances=count, **decode, **pool, **shared),)  # type: ignore[arg-type]
    prefill = degrees(engine, deployment.prefill.layout, spec, work.redundant_count)
    prompts = whole(engine, "prefill batch", deployment.prefill.sequences)
    reading = {"sequences_max": prompts * prefill["pipeline"], "step_tokens_max": prompts * work.prompt_tokens}
    steps = {"sequences_max": held * stages, "step_tokens_max": max(budget, held * stages * drafts)}
    others = whole(engine, "prefill_instances", deployment.prefill_instances)
    return (
        Pool(mode="decode", instances=count, **decode, **steps, **shared),  # type: ignore[arg-type]
        Pool(mode="prefill", instances=others, **prefill, **reading, **shared),  # type: ignore[arg-type]
    )


# What an engine's share of memory is a share of, as `Software.memory_of`.
MEMORY_OF = {"vllm": "all", "sglang": "all", "trtllm": "free"}


def degrees(engine: str, layout: Layout, spec: ModelSpec | None, redundant: int = 0) -> dict[str, int]:
    """Return the degrees of a layout that serves; raise ScenarioError for what no serving engine here can say."""
    names = ("tensor", "context", "pipeline", "data", "expert", "expert_tensor", "staged")
    found = {name: whole(engine, name, getattr(layout, name)) for name in names}
    if found.pop("staged") != 1:
        raise unsupported(engine, "staged", layout.staged, "1")
    block, split = found["tensor"] * found["context"] * found["data"], found.pop("expert_tensor")
    if found["expert"] * split not in {1, block} or (found["expert"] * split == 1 and found["data"] > 1):
        raise unsupported(engine, "expert", found["expert"], f"experts over all {block} ranks of a stage")
    experts = experts_count(spec)
    more = redundant + -(experts + redundant) % found["expert"] if experts and found["expert"] > 1 else 0
    return {**found, "redundant_experts": more}


def experts_count(spec: ModelSpec | None) -> int:
    """Return the routed experts of a layer, 0 for a dense or unknown model."""
    layers = spec.layers if spec else ()
    return max((int(item.ffn.experts_count) for item in layers if isinstance(item.ffn, MixtureOfExperts)), default=0)


def whole(engine: str, name: str, value: object) -> int:
    """Return a whole number; raise ScenarioError for a fraction or a column."""
    number = np.asarray(value, dtype=float)
    if number.size != 1 or float(number.item()) != int(number.item()):
        raise unsupported(engine, name, value, "one whole number")
    return int(number.item())


def flag_lines(flags: Mapping[str, object]) -> list[str]:
    """Return flags with their values, a line each: bare where True, left out where None or False, tables as JSON."""
    return [
        f"--{name}" if value is True else f"--{name} {quoted(value)}"
        for name, value in flags.items()
        if value is not None and value is not False
    ]


def quoted(value: object) -> str:
    """Return a value as a word of the shell."""
    return f"'{json.dumps(value, separators=(',', ':'))}'" if isinstance(value, dict) else str(value)


def spread_nodes(launch: Launch, pool: Pool) -> tuple[int, int]:
    """Return the nodes of an instance and its cards on each."""
    if pool.ranks_count <= launch.cards_per_node:
        return 1, pool.ranks_count
    each = gcd(pool.ranks_count, launch.cards_per_node)
    return pool.ranks_count // each, each


def title(launch: Launch, pool: Pool) -> str:
    """Return what a pool is called: its mode, numbered after the first."""
    alike = [other for other in launch.pools if other.mode == pool.mode]
    index = alike.index(pool)
    return f"{pool.mode}_{index}" if index else pool.mode


def urls_of(pools: Iterable[Pool]) -> dict[str, list[str]]:
    """Return the addresses of the instances of each mode; hosts are placeholders."""
    found: dict[str, list[str]] = {}
    for pool in pools:
        held = found.setdefault(pool.mode, [])
        held += [f"{pool.mode}-{len(held) + index}:{PORT}" for index in range(pool.instances)]
    return found


def written(launch: Launch, arguments: Lines, nodes: Nodes, routes: Routes, before: Lines) -> str:
    """Return the script: what to know, the model, each pool's command and its instances, the router.

    `before` gives the lines that stand before a pool's command: its files, what to know of it.
    """
    urls = urls_of(launch.pools)
    ranks = sum(pool.ranks_count * pool.instances for pool in launch.pools)
    lines = [
        "#!/bin/bash",
        f"# {ranks} cards. Written by superpod for {launch.engine}.",
        "# Hosts are placeholders: run each line on the nodes of the one that it names, NODE_RANK counting from 0.",
        f"MODEL={shlex.quote(launch.model)}",
    ]
    left = {mode: iter(found) for mode, found in urls.items()}
    for pool in launch.pools:
        hosts = [next(left[pool.mode]).split(":")[0] for _ in range(pool.instances)]
        name = title(launch, pool).upper()
        spread, each = spread_nodes(launch, pool)
        place = f"{spread} nodes of {each} cards each" if spread > 1 else f"{each} cards"
        lines += ["", f"# {pool.mode}: {pool.instances} instances, {place}"]
        lines += before(launch, pool)
        lines += [f"{name}=(", *(f"    {line}" for line in arguments(launch, pool)), ")"]
        for host in hosts:
            start, end = nodes(launch, pool, host)
            parts = (start, f'"${{{name}[@]}}"', f"--host {host} --port {PORT}", end, "&")
            lines.append(" ".join(part for part in parts if part))
    lines += ["", *routed(routes(launch, urls))]
    return "\n".join([*lines, "wait", ""])


def routed(lines: list[str]) -> list[str]:
    """Return the router's command over several lines."""
    if not lines:
        return []
    return ["# router", " \\\n    ".join(lines) + " &"] if not lines[0].startswith("#") else lines
