"""Fleets on two machines: prompts are read on one, caches travel, the other decodes."""

from dataclasses import dataclass

from superpod.parallel.layout import Layout
from superpod.plan.scenario import Serving
from superpod.plan.serving.fleet import Workshop, overlap
from superpod.plan.serving.operations import run_so
from superpod.plan.serving.pair import Pair, passage
from superpod.plan.serving.search import Deployment, requests_of
from superpod.serve.costs import StepCosts
from superpod.serve.simulation.fleet import Fleet, Link, Pool, Prefixes


@dataclass(frozen=True, slots=True, kw_only=True)
class PairShop(Workshop):
    """Makes fleets of two machines: a workshop each; what is said of `machine` is said of the one that decodes."""

    pair: Pair
    reads: Workshop
    decodes: Workshop

    def of(self, mode: str) -> Workshop:
        """Return the workshop of a kind of pool."""
        return self.reads if mode == "prefill" else self.decodes

    def costs(self, layout: Layout, mode: str) -> StepCosts:
        """Return what the steps of an instance cost on its machine."""
        return self.of(mode).costs(layout, mode)

    def pool(self, layout: Layout, mode: str, instances: float, slower: float) -> Pool:
        """Return equal instances on their machine."""
        return self.of(mode).pool(layout, mode, instances, slower)

    def prefixes(self, layout: Layout) -> Prefixes | None:
        """Return where prompts that begin alike are kept: on the machine that reads them."""
        return self.reads.prefixes(layout)

    def fleet(self, found: Deployment, *, slower: float = 1.0, whole: bool = False) -> Fleet:
        """Return a deployment's fleet; where `whole` nobody is refused. Nothing on it is scaled, and nothing fails."""
        read = self.pool(found.prefill.layout, "prefill", found.prefill_instances, slower)
        made = Fleet(
            pool=read,
            decode=self.pool(found.decode.layout, "decode", found.decode_instances, slower),
            transfer=pair_link(self.pair, found, self.work, read.costs),
            prefixes=self.prefixes(found.prefill.layout),
        )
        return made if whole else run_so(self.machine, self.work, self.traffic.operations, found, made)


def pair_shop(pair: Pair, whole: Workshop) -> PairShop:
    """Return the workshop of two machines, for the requests of a workshop of one."""
    common = {"work": whole.work, "traffic": whole.traffic, "engine": whole.engine, "has_prefixes": whole.has_prefixes}
    machines = pair.decode.machine, pair.prefill.machine
    decodes, reads = (Workshop(machine=machine, **common) for machine in machines)  # type: ignore[arg-type]  # by name
    return PairShop(machine=machines[0], pair=pair, reads=reads, decodes=decodes, **common)  # type: ignore[arg-type]


def pair_link(pair: Pair, found: Deployment, work: Serving, costs: StepCosts) -> Link:
    """Return the way of caches from instances on one machine, whose costs are given, into an instance on the other.

    It takes what its own network takes, or its share of what all prefill instances send, whichever is less. A single
    cache takes the time of the slower end; all layers but the last travel while the prompt is read.
    """
    way = passage(pair, requests_of(work), found.decode, found.prefill)
    mean_bytes = work.prompt_tokens * costs.token_bytes + costs.state_bytes
    per_s = min(way.taken_per_s, way.sent_per_s * found.prefill_instances / found.decode_instances)
    own = max(way.send_s / float(found.prefill.sequences), way.receive_s)
    share = overlap(pair.prefill.machine)
    return Link(bytes_per_s=mean_bytes * per_s, latency_s=way.start_s + own * (1.0 - share), overlap_frac=share)
