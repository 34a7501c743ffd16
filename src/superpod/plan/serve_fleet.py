"""From a deployment of the steady state to the fleet that is simulated: what steps cost, what caches travel on."""

from dataclasses import dataclass, field, replace
from typing import cast

from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Group
from superpod.parallel.layout import Layout
from superpod.plan.band import shares
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving, Traffic
from superpod.plan.serve_search import (
    Deployment,
    instance_ranks,
)
from superpod.serve.costs import Settings, StepCosts, scaled, step_costs
from superpod.serve.simulation.fleet import Fleet, Link, Order, Pool, Router


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Makes fleets of one machine for one kind of requests; steps of a layout are priced once. `engine` runs them."""

    machine: Machine
    work: Serving
    traffic: Traffic
    engine: str = "auto"
    known: dict[tuple[Layout, str], StepCosts] = field(default_factory=dict)

    def costs(self, layout: Layout, mode: str) -> StepCosts:
        """Return what the steps of an instance of a kind (`aggregated`, `prefill`, `decode`) cost."""
        given = next((pool for pool in self.traffic.pools if pool.mode == mode), None)
        key = (layout, mode if given else "")
        if key not in self.known:
            settings = Settings(
                draft_tokens=self.work.draft_tokens,
                acceptance_frac=self.work.acceptance_frac,
                typical_tokens=self.work.prompt_tokens + self.work.output_tokens / 2.0,
            )
            if given is not None:
                settings = replace(
                    settings,
                    capacity_tokens=given.capacity_tokens,
                    step_max_tokens=given.step_max_tokens,
                    sequences_max_count=given.sequences_max_count,
                )
            self.known[key] = step_costs(self.machine.engine, layout, settings)
        return self.known[key]

    def fleet(self, found: Deployment, *, slower: float = 1.0) -> Fleet:
        """Return the fleet of a deployment; every step takes `slower` times as long as predicted."""
        if found.mode == "aggregated":
            return Fleet(pool=self.pool(found.decode.layout, "aggregated", found.decode_instances, slower))
        read = self.pool(found.prefill.layout, "prefill", found.prefill_instances, slower)
        return Fleet(
            pool=read,
            decode=self.pool(found.decode.layout, "decode", found.decode_instances, slower),
            transfer=transfer_link(self.machine, found, self.work, read.costs.token_bytes),
        )

    def pool(self, layout: Layout, mode: str, instances: float, slower: float) -> Pool:
        """Return equal instances."""
        costs = self.costs(layout, mode)
        if slower != 1.0:
            costs = replace(costs, tables=scaled(costs.tables, slower))
        return Pool(
            costs=costs,
            instances_count=round(instances),
            order=cast(Order, self.traffic.order) if self.traffic.order else None,
            reserves_output=self.machine.software.reserves_output,
            router=cast(Router, self.traffic.router),
        )

    def can_hold(self, found: Deployment, longest_tokens: int) -> bool:
        """Return whether every pool could hold the longest request alone."""
        held = [(found.decode.layout, "aggregated")]
        if found.mode == "disaggregated":
            held = [(found.decode.layout, "decode"), (found.prefill.layout, "prefill")]
        return all(self.costs(*pool).capacity_tokens > longest_tokens for pool in held)


def transfer_link(machine: Machine, found: Deployment, work: Serving, token_bytes: float) -> Link:
    """Return the way of caches into a decode instance.

    All its ranks receive at once, each at the rate of a large message between two instances, less the share of a decode
    step in which dispatch and combine hold the links. A single cache lands on the ranks of one attention group, so it
    takes its own time on their links beside; priced for the mean prompt. All layers but the last travel while the
    prompt is read.
    """
    ranks, tensor = float(instance_ranks(found.decode.layout)), float(found.decode.layout.tensor)
    group = Group(size=2.0, stride=min(ranks, machine.ranks_count / 2.0))
    mean_bytes = max(work.prompt_tokens * token_bytes / tensor, 1.0)
    start, whole = (float(collective_time("p2p", machine.fabric, group, size)) for size in (1.0, mean_bytes))
    own = max(whole - start, 1e-12) / (1.0 - shares(found.decode.term).links_frac)
    return Link(
        bytes_per_s=mean_bytes / own * ranks,
        latency_s=start + own * (1.0 - overlap(machine)),
        overlap_frac=overlap(machine),
    )


def overlap(machine: Machine) -> float:
    """Return the share of a cache that may travel while its prompt is read: all layers but the last."""
    return 1.0 - 1.0 / machine.spec.layers_count
