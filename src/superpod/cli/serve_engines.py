"""Launch commands of serving engines on the command line: a deployment read from them, and the found one written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from superpod.errors import ScenarioError
from superpod.plan.scenario import GivenPool, Scenario, Serving

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.frameworks.serving import Pool, ServingImport
    from superpod.plan.machine import Machine
    from superpod.plan.serving.search import Deployment
    from superpod.plan.serving.traffic_answer import Answered

NODE_RANKS = (4, 16)  # of a server, whose ranks one command starts


def merged(question: Scenario, options: Mapping[str, Any], catalogue: Catalogue) -> Scenario:
    """Return the question with the deployment of an engine's file; what the command line says comes first.

    With traffic the pools are served as they are; in the steady state the layout that decodes is pinned.
    """
    from superpod.frameworks.serving import imported_engine
    from superpod.plan.machine import read_model
    from superpod.plan.training.space import experts

    found = imported_engine(options["source"])
    tell(found)
    spec = read_model(catalogue, question.model)
    warn_of_another_model(found, spec.id)
    routed = experts(spec) > 1
    given = click.get_current_context().get_parameter_source
    said = {name for name in options if given(name) is click.core.ParameterSource.COMMANDLINE}
    changed: dict[str, Any] = {}
    if "software" not in said:
        changed["software"] = found.software
    if found.precision is not None and "precision" not in said:
        changed["precision"] = found.precision
    if not said & {"cards", "pods"}:
        ranks = sum(pool.instances * pool.ranks_count for pool in found.pools)
        changed["cards"] = max(1, -(-ranks // round(ranks_per_card(catalogue, question.pod))))
    return replace(
        question, work=work_of(question.work, found, said), **changed, **pins(question, found, routed=routed)
    )


def work_of(work: Any, found: ServingImport, said: set[str]) -> Serving:
    """Return the work with the drafts, the cache and the mode of the file."""
    step = work if isinstance(work, Serving) else Serving()
    first = decoding(found)
    changed: dict[str, Any] = {}
    if "mtp" not in said:
        changed["draft_tokens"] = first.draft_tokens
    if "kv" not in said:
        changed["cache_bytes"] = first.cache_bytes
    if "mode" not in said:
        changed["mode"] = found.mode
    if "redundant_experts" not in said:
        changed["redundant_count"] = first.redundant_experts
    return replace(step, **changed)


def pins(question: Scenario, found: ServingImport, *, routed: bool) -> dict[str, Any]:
    """Return the pools for a simulation, or the pinned layout for a search."""
    if question.traffic is None:
        degrees = decoding(found).fixed(experts=routed)
        degrees.pop("batch", None)  # what an engine may hold, not what it should
        return {"fixed": {**degrees, **question.fixed}}
    pools = tuple(given_pool(pool, routed=routed) for pool in found.pools)
    return {"traffic": replace(question.traffic, pools=pools)}


def decoding(found: ServingImport) -> Pool:
    """Return the pool that decodes.

    Raises:
        ScenarioError: no pool decodes.
    """
    pool = found.pool("decode") or found.pool("aggregated")
    if pool is None:
        raise ScenarioError(
            "found a pool that reads prompts and none that decodes", where=found.where, hint="give the whole script"
        )
    return pool


def given_pool(pool: Pool, *, routed: bool) -> GivenPool:
    """Return a pool in plain numbers; limits are those of an attention group."""
    layout = pool.layout(experts=routed)
    names = ("tensor", "context", "pipeline", "data", "expert", "expert_tensor")
    return GivenPool(
        mode=pool.mode,
        instances_count=pool.instances_of(experts=routed),
        layout={name: float(getattr(layout, name)) for name in names},
        sequences_max_count=pool.sequences_max,
        step_max_tokens=pool.step_tokens_max,
        capacity_tokens=pool.capacity_tokens,
    )


def ranks_per_card(catalogue: Catalogue, pod: str) -> float:
    """Return how many ranks an engine runs on a package: one, or one a die."""
    found = catalogue.pod(pod)
    return (catalogue.chip(found.chip).dies_count or 1.0) if found.rank == "die" else 1.0


def tell(found: ServingImport) -> None:
    """Say on stderr what was read, and what of it has no counterpart here."""
    pools = ", ".join(f"{pool.instances} x {pool.ranks_count} ranks ({pool.mode})" for pool in found.pools)
    click.echo(f"read {found.where} as {found.engine}: {pools}", err=True)
    for line in found.unread:
        click.echo(f"  not represented: {line}", err=True)


def warn_of_another_model(found: ServingImport, asked: str) -> None:
    """Say on stderr where a file is about another model than the one asked for."""
    if found.model and found.model_id != asked:
        click.echo(f"  not taken: its model, {found.model_id or found.model}; the question is about {asked}", err=True)


def exported(engine: str, deployment: Deployment, made: Machine, work: Serving, model: str) -> str:
    """Return a deployment as the launch script of an engine."""
    from superpod.frameworks.serving import exported_engine

    return exported_engine(
        engine,
        deployment,
        work,
        model=model,
        software=made.software,
        precision=made.precision.name,
        spec=made.spec,
        cards_per_node=node_ranks(made),
    )


def simulated(engine: str, found: Answered, model: str) -> str:
    """Return the deployment that was simulated: with the limits that it had, and room for the longest request."""
    from superpod.frameworks.serving import ENGINES, Launch
    from superpod.frameworks.serving.launch import experts_count, pools_of

    asked, chosen = found.question, found.chosen
    made, lengths = asked.made, asked.description
    longest = lengths.prompt.most_tokens + lengths.output.most_tokens + asked.work.draft_tokens
    costs = {"decode": (chosen.fleet.decode or chosen.fleet.pool).costs}
    costs |= {"prefill": chosen.fleet.pool.costs, "aggregated": chosen.fleet.pool.costs}
    pools = tuple(
        replace(
            pool,
            context_tokens_max=longest,
            step_tokens_max=int(costs[pool.mode].step_max_tokens),
            sequences_max=int(costs[pool.mode].sequences_max_count) * pool.pipeline,
        )
        for pool in pools_of(engine, chosen.found, asked.work, made.software, made.precision.name, made.spec)
    )
    launch = Launch(
        engine=engine,
        pools=pools,
        model=model,
        precision=made.precision.name,
        experts_count=experts_count(made.spec),
        cards_per_node=node_ranks(made),
    )
    return ENGINES[engine].write(launch)


def node_ranks(made: Machine) -> int:
    """Return the ranks of a server: those of the widest tier that one may have."""
    sizes = [tier.ranks_count for tier in made.fabric.tiers if NODE_RANKS[0] <= tier.ranks_count <= NODE_RANKS[1]]
    return int(sizes[-1]) if sizes else NODE_RANKS[0]
