"""A fleet as it is run: how many instances are up, whom it refuses, where caches go when memory runs out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from superpod.errors import InfeasibleError, ScenarioError
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.operations import Autoscale, Operations
from superpod.plan.scenario import Serving
from superpod.plan.serving.search import Deployment, group_ranks, instance_ranks
from superpod.serve.memory import held_weights_bytes
from superpod.serve.simulation.fleet import Fleet, Link, Pool, Scaler, Store

SCALE = "--autoscale"
Measure = Literal["busy", "memory", "queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How long an instance takes to start, and what that rests on."""

    delay_s: float
    basis: str


def pool_names(found: Deployment) -> tuple[str, ...]:
    """Return the pools of a deployment, in the order of the fleet."""
    return ("all",) if found.mode == "aggregated" else ("prefill", "decode")


def rules_of(operations: Operations, found: Deployment) -> dict[str, Autoscale]:
    """Return the rule of each pool that is scaled."""
    rules: dict[str, Autoscale] = {}
    for name in pool_names(found):
        for rule in operations.autoscale:
            if not rule.pool or name in ("all", rule.pool):
                rules[name] = rule
    return rules


def check_operations(operations: Operations) -> None:
    """Raise ScenarioError for two rules of one pool, and for bounds that leave nothing between them."""
    named = [rule.pool for rule in operations.autoscale]
    if len(set(named)) < len(named) or ("" in named and len(named) > 1):
        raise ScenarioError(
            "two rules for one pool", where=SCALE, hint="name a pool in each: pool=prefill, pool=decode"
        )
    for rule in operations.autoscale:
        if rule.most_count is not None and rule.most_count < rule.fewest_count:
            raise ScenarioError(
                f"from {rule.fewest_count} to {rule.most_count} instances", where=SCALE, hint="from <= to"
            )


def scalable(operations: Operations, offered: list[Deployment]) -> list[Deployment]:
    """Return the deployments whose pools have as many instances as scaling asks for, all where none is scaled.

    Instances of one stage: those of several have batches in flight that the simulation keeps apart, and would start
    and end by halves.

    Raises:
        InfeasibleError: none has.
    """
    if not operations.autoscale or not offered:
        return offered
    kept = [
        item for item in offered if all(fits(rule, item, name) for name, rule in rules_of(operations, item).items())
    ]
    if kept:
        return kept
    wanted = max((rule.most_count or rule.fewest_count + 1) for rule in operations.autoscale)
    single = [item for item in offered if single_stage(item)]
    most = max((int(max(item.decode_instances, item.prefill_instances)) for item in single), default=0)
    raise InfeasibleError(
        f"no deployment in reach of the targets has {wanted} instances of one stage to scale; the most is {most}",
        where=SCALE,
        hint="a smaller to=, more cards (--cards), or looser targets (--slo)",
    )


def pinned(operations: Operations, fixed: Mapping[str, float | str]) -> dict[str, float | str]:
    """Return the degrees that are fixed, with one pipeline stage where instances are scaled."""
    return {**fixed, "pipeline": 1.0} if operations.autoscale else dict(fixed)


def single_stage(found: Deployment) -> bool:
    """Return whether no pool has pipeline stages."""
    return all(float(of_pool(found, name)[0].pipeline) == 1.0 for name in pool_names(found))


def fits(rule: Autoscale, found: Deployment, name: str) -> bool:
    """Return whether a pool has the instances that a rule asks for."""
    layout, count = of_pool(found, name)
    return count >= (rule.most_count or rule.fewest_count + 1) and float(layout.pipeline) == 1.0


def of_pool(found: Deployment, name: str) -> tuple[Layout, int]:
    """Return the layout and the instances of a pool."""
    if name == "prefill":
        return found.prefill.layout, round(found.prefill_instances)
    return found.decode.layout, round(found.decode_instances)


def run_so(machine: Machine, work: Serving, operations: Operations, found: Deployment, made: Fleet) -> Fleet:
    """Return the fleet with its instances scaled and with whom it refuses."""
    rules, names = rules_of(operations, found), pool_names(found)
    pools = [
        pool if name not in rules else scaled(machine, work, rules[name], pool, of_pool(found, name)[0])
        for name, pool in zip(names, (made.pool, made.decode), strict=False)
        if pool is not None
    ]
    first = replace(pools[0], queue_max_count=operations.queue_limit_count, queue_max_s=operations.queue_limit_s)
    return replace(made, pool=first, decode=pools[1] if len(pools) > 1 else None)


def scaled(machine: Machine, work: Serving, rule: Autoscale, pool: Pool, layout: Layout) -> Pool:
    """Return a pool that starts with the fewest instances."""
    return replace(
        pool,
        instances_count=rule.fewest_count,
        scaler=Scaler(
            target_ratio=rule.target_ratio,
            measure=cast(Measure, rule.measure),
            every_s=rule.every_s,
            delay_s=start_of(machine, work, rule, layout).delay_s,
            fewest_count=rule.fewest_count,
            most_count=rule.most_count or pool.instances_count,
        ),
    )


def start_of(machine: Machine, work: Serving, rule: Autoscale, layout: Layout) -> Start:
    """Return how long an instance takes to start: as given, or weights of a rank / its share of the way to them.

    The way is that from disks where it is published, as an engine reads its weights from a file, else that from host
    memory, and never faster than the latter. Processes, graphs and the first requests take time beside, which nobody
    publishes.

    Raises:
        ScenarioError: no delay is given and no way is published.
    """
    if rule.delay_s is not None:
        return Start(delay_s=rule.delay_s, basis="as given")
    ways = {"host memory": machine.host.bytes_per_s, "disks": machine.host.disk_bytes_per_s}
    known = {name: rate for name, rate in ways.items() if rate > 0.0}
    if not known:
        raise ScenarioError(
            f"nobody has published how weights come to the chips of {machine.pod.name}",
            where=SCALE,
            hint="say how long an instance takes to start: delay=60s; or supply host.link_bytes_per_s (--set)",
        )
    weights = float(held_weights_bytes(machine.engine, layout, drafts=work.draft_tokens > 0))
    slowest = min(known, key=lambda name: known[name])
    start = weights / known[slowest]
    whole = weights * float(instance_ranks(layout))
    return Start(
        delay_s=start,
        basis=f"{whole / 1e9:,.0f} GB of weights from {slowest} at {known[slowest] / 1e9:,.3g} GB/s a rank; starting "
        "the engine takes longer (delay=)",
    )


def swap_link(machine: Machine, layout: Layout, latency_s: float) -> Link:
    """Return the way of a preempted request's cache to host memory and back: that of the ranks of one group.

    Raises:
        ScenarioError: no way to host memory is published.
    """
    if not machine.host.bytes_per_s:
        raise ScenarioError(
            f"nobody has published the way to the memory of {machine.pod.name}'s hosts",
            where="--preemption swap",
            hint="--preemption recompute, or supply host.link_bytes_per_s (--set)",
        )
    return Link(bytes_per_s=machine.host.bytes_per_s * group_ranks(layout), latency_s=latency_s)


def disk_store(machine: Machine, layout: Layout, latency_s: float) -> Store:
    """Return the disks of all hosts as one store, of whose rate an instance has the share of its ranks.

    What is read passes host memory, so it is never faster than the way from there.

    Raises:
        ScenarioError: capacity or rate of the disks is not published.
    """
    host = machine.host
    if not (host.disk_bytes and host.disk_bytes_per_s):
        lacking = [f"host.{name}" for name in ("disk_bytes", "disk_bytes_per_s") if not getattr(host, name)]
        raise ScenarioError(
            f"nobody has published {' and '.join(lacking)} of {machine.pod.name}",
            where="--prefix-cache disk",
            hint=f"--prefix-cache host, or supply it: --set pods/{machine.pod.id}:{lacking[0]}=VALUE",
        )
    rate = min(host.disk_bytes_per_s * float(instance_ranks(layout)), host.bytes_per_s * group_ranks(layout))
    return Store(capacity_bytes=host.disk_bytes * machine.ranks_count, link=Link(bytes_per_s=rate, latency_s=latency_s))
