"""From a deployment of the steady state to the fleet that is simulated: what steps cost, what caches travel on."""

from dataclasses import dataclass, field, replace
from typing import cast

from superpod.errors import ScenarioError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Group
from superpod.parallel.layout import Layout
from superpod.plan.band import shares
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving, Traffic
from superpod.plan.serving.failures import hits, mishaps, pricing
from superpod.plan.serving.operations import disk_store, run_so, swap_link
from superpod.plan.serving.search import Deployment, group_ranks, instance_ranks
from superpod.serve.apart import Side, disaggregated_costs
from superpod.serve.costs import Settings, StepCosts, scaled, step_costs
from superpod.serve.simulation.fleet import Fleet, Link, Order, Pool, Preemption, Prefixes, Router, Store

PREFIX_CACHES = ("off", "chips", "peers", "host", "disk")
"""Where prompts that begin alike are kept: nowhere, with the group that read them, or where each next word says too."""

LARGE_BYTES = float(2**30)
"""A message by which the rate of a link is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Makes fleets of one machine for one kind of requests; steps of a layout are priced once.

    `engine` runs them; `has_prefixes`: the requests say which prompts begin alike.
    """

    machine: Machine
    work: Serving
    traffic: Traffic
    engine: str = "auto"
    has_prefixes: bool = False
    known: dict[tuple[Layout, str], StepCosts] = field(default_factory=dict)
    known_apart: dict[tuple[Layout, Layout, int], StepCosts] = field(default_factory=dict)

    def costs(self, layout: Layout, mode: str) -> StepCosts:
        """Return what the steps of an instance of a kind (`aggregated`, `prefill`, `decode`) cost."""
        given = next((pool for pool in self.traffic.pools if pool.mode == mode), None)
        key = (layout, mode if given else "")
        if key not in self.known:
            settings = self.settings()
            if given is not None:
                settings = replace(
                    settings,
                    capacity_tokens=given.capacity_tokens,
                    step_max_tokens=given.step_max_tokens,
                    sequences_max_count=given.sequences_max_count,
                )
            self.known[key] = step_costs(self.machine.engine, layout, settings)
        return self.known[key]

    def settings(self) -> Settings:
        """Return how the engine is started."""
        return Settings(
            draft_tokens=self.work.draft_tokens,
            acceptance_frac=self.work.acceptance_frac,
            typical_tokens=self.work.prompt_tokens + self.work.output_tokens / 2.0,
        )

    def decode_costs(self, found: Deployment) -> StepCosts:
        """Return what steps cost where others read prompts; feed-forward may have ranks of its own."""
        one = found.decode
        if one.apart is None:
            return self.costs(one.layout, "decode")
        layouts, parts = (one.layout, one.apart.layout), round(float(one.apart.parts_count))
        if (*layouts, parts) not in self.known_apart:
            near, far = (Side(engine=self.machine.engine, layout=layout) for layout in layouts)
            self.known_apart[*layouts, parts] = disaggregated_costs(near, far, parts, self.settings())
        return self.known_apart[*layouts, parts]

    def fleet(self, found: Deployment, *, slower: float = 1.0, whole: bool = False) -> Fleet:
        """Return a deployment's fleet: steps take `slower` times as long as predicted.

        Where `whole`, all instances are up, nobody is refused and nothing fails.

        Raises:
            ScenarioError: a cache in host memory where no way to it is published; a card that the machine has not.
        """
        if found.mode == "aggregated":
            pool = self.pool(found.decode.layout, "aggregated", found.decode_instances, slower)
            made = Fleet(pool=pool, swap=self.swap(found), prefixes=self.prefixes(found.decode.layout))
        else:
            read = self.pool(found.prefill.layout, "prefill", found.prefill_instances, slower)
            made = Fleet(
                pool=read,
                decode=self.decoders(found, slower),
                transfer=transfer_link(self.machine, found, self.work, read.costs.token_bytes),
                swap=self.swap(found),
                prefixes=self.prefixes(found.prefill.layout),
            )
        return made if whole else self.as_run(found, made)

    def as_run(self, found: Deployment, made: Fleet) -> Fleet:
        """Return a fleet with what is scaled, refused, and fails."""
        made = run_so(self.machine, self.work, self.traffic.operations, found, made)
        if not self.traffic.failures:
            return made

        def link(machine: Machine, item: Deployment) -> Link:
            return transfer_link(machine, item, self.work, made.pool.costs.token_bytes)

        taken, worn = hits(self.machine, self.traffic.failures), pricing(self.machine, self.work, found, link)
        happens = mishaps(taken, made, self.machine.fabric.ranks_per_chip, elastic=self.traffic.elastic, worn=worn)
        return replace(made, mishaps=happens)

    def prefixes(self, layout: Layout) -> Prefixes | None:
        """Return where prompts that begin alike are kept; None where none do, or nobody keeps them."""
        words = PREFIX_CACHES.index(self.traffic.prefix_cache)
        if not self.has_prefixes or not words:
            return None
        peers = peer_link(self.machine, layout)
        return Prefixes(
            peers=peers if words > 1 else None,
            host=host_store(self.machine, layout) if words > 2 else None,
            disk=disk_store(self.machine, layout, peers.latency_s) if words > 3 else None,
        )

    def swap(self, found: Deployment) -> Link | None:
        """Return the way of a preempted request's cache, where it is swapped."""
        if self.traffic.operations.preemption != "swap":
            return None
        return swap_link(self.machine, found.decode.layout, peer_link(self.machine, found.decode.layout).latency_s)

    def decoders(self, found: Deployment, slower: float) -> Pool:
        """Return the instances that decode for others."""
        if found.decode.apart is None:
            return self.pool(found.decode.layout, "decode", found.decode_instances, slower)
        return self.equal(self.decode_costs(found), found.decode_instances, slower)

    def pool(self, layout: Layout, mode: str, instances: float, slower: float) -> Pool:
        """Return equal instances of a layout."""
        return self.equal(self.costs(layout, mode), instances, slower)

    def equal(self, costs: StepCosts, instances: float, slower: float) -> Pool:
        """Return equal instances."""
        if slower != 1.0:
            costs = replace(costs, tables=scaled(costs.tables, slower))
        return Pool(
            costs=costs,
            instances_count=round(instances),
            order=cast(Order, self.traffic.order) if self.traffic.order else None,
            reserves_output=self.machine.software.reserves_output,
            preemption=cast(Preemption, self.traffic.operations.preemption),
            router=cast(Router, self.traffic.router or self.fitting_router()),
        )

    def fitting_router(self) -> str:
        """Return the route that finds what is cached, where something is."""
        return "prefix-aware" if self.has_prefixes and self.traffic.prefix_cache != "off" else "least-load"

    def can_hold(self, found: Deployment, longest_tokens: int) -> bool:
        """Return whether every pool could hold the longest request alone."""
        if found.mode == "aggregated":
            return self.costs(found.decode.layout, "aggregated").capacity_tokens > longest_tokens
        held = (self.decode_costs(found), self.costs(found.prefill.layout, "prefill"))
        return all(costs.capacity_tokens > longest_tokens for costs in held)


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


def peer_link(machine: Machine, layout: Layout) -> Link:
    """Return the way of a cached prefix from another instance: the ranks of one group at the rate of large messages."""
    ranks = float(instance_ranks(layout))
    group = Group(size=2.0, stride=min(ranks, machine.ranks_count / 2.0))
    start, whole = (float(collective_time("p2p", machine.fabric, group, size)) for size in (1.0, LARGE_BYTES))
    return Link(bytes_per_s=LARGE_BYTES / max(whole - start, 1e-12) * group_ranks(layout), latency_s=start)


def host_store(machine: Machine, layout: Layout) -> Store:
    """Return the memory of all hosts as one, which an instance reads over the links of one group's ranks.

    Raises:
        ScenarioError: the pod's hosts have no published memory or no published way to it.
    """
    host = machine.host
    if not (host.memory_bytes and host.bytes_per_s):
        raise ScenarioError(
            f"nobody has published the memory of {machine.pod.name}'s hosts and the way to it",
            where="--prefix-cache host",
            hint="--prefix-cache peers, or supply host.memory_bytes and host.link_bytes_per_s (--set)",
        )
    rate = host.bytes_per_s * group_ranks(layout)
    start = peer_link(machine, layout).latency_s
    return Store(capacity_bytes=host.memory_bytes * machine.ranks_count, link=Link(bytes_per_s=rate, latency_s=start))
