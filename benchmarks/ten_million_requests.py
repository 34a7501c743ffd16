"""Ten million requests over one CloudMatrix384, streamed: seconds, memory, and what they say.

    python benchmarks/ten_million_requests.py [REQUESTS] [RATE] [ROUTER]

DeepSeek-R1, prompts and decoding apart as Huawei's paper has it (arXiv 2506.12708): decoding on 160 cards with experts
over all 320 dies, prompts on 14 groups of 16 cards, attention data-parallel in both. Caches pass over the scale-up
fabric. Poisson arrivals at RATE a second; prompts and outputs lognormal, means 1,024 and 256 tokens. Requests are drawn
in pieces and results go to a sink that keeps sums. Needs the extra `fast`.
"""

import resource
import sys
import time
from typing import Any

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.costs import Settings, step_costs
from superpod.serve.simulation.answer import Served
from superpod.serve.simulation.fleet import Fleet, Link, Pool
from superpod.serve.simulation.run import simulate
from superpod.traffic.arrivals import poisson
from superpod.traffic.generate import generated
from superpod.traffic.lengths import Independent, lognormal_of_mean

MODEL, POD, SOFTWARE = "deepseek-r1", "cloudmatrix384", "cann-cloudmatrix"
DECODE_DIES, PROMPT_DIES, PROMPT_INSTANCES, SEED = 320, 32, 14, 20261126


def fleet(router: Any) -> Fleet:
    """Return the whole pod: one decoding instance and fourteen that read prompts."""
    made = machine(Catalogue(), Scenario(model=MODEL, pod=POD, work=Serving(), software=SOFTWARE))
    assert made.ranks_count == DECODE_DIES + PROMPT_INSTANCES * PROMPT_DIES
    reading, decoding = (
        step_costs(made.engine, Layout(data=dies, expert=dies), Settings()) for dies in (PROMPT_DIES, DECODE_DIES)
    )
    link = Link(bytes_per_s=DECODE_DIES * made.fabric.tiers[-1].bytes_per_s)
    return Fleet(
        pool=Pool(costs=reading, instances_count=PROMPT_INSTANCES, block_tokens=128, router=router),
        decode=Pool(costs=decoding, block_tokens=128, router=router),
        transfer=link,
    )


class Sums:
    """Counts and sums of what finished."""

    def __init__(self) -> None:
        self.count, self.output, self.ttft, self.tpot, self.preempted = 0, 0, 0.0, 0.0, 0

    def __call__(self, piece: Served) -> None:
        """Add a piece."""
        done = piece.finished
        self.count += len(done.number)
        self.output += int(done.output_tokens.sum())
        self.ttft += float(done.ttft_s.sum())
        self.tpot += float(done.tpot_s.sum())
        self.preempted += int(np.count_nonzero(done.preempted_count))


def main(count: str = "10000000", rate: str = "500", router: str = "round-robin") -> None:
    """Warm up on a thousand requests, then run all."""
    served_by, sums = fleet(router), Sums()
    lengths = Independent(prompt=lognormal_of_mean(1024.0, 3072.0), output=lognormal_of_mean(256.0, 768.0))
    arrivals = poisson(float(rate))
    simulate(served_by, generated(arrivals, lengths, seed=SEED, requests_count=1000))
    wall, cpu = time.perf_counter(), time.process_time()
    found = simulate(served_by, generated(arrivals, lengths, seed=SEED, requests_count=int(count)), sink=sums)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    busy = [use.busy_s / found.makespan_s for use in found.instances]
    print(f"{sum(found.counts.values()):,} requests, {sums.count:,} finished, {sums.output:,} tokens put out")
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, {int(count) / wall:,.0f} requests/s, peak {peak:.2f} GB")
    print(f"simulated {found.makespan_s:,.0f} s, busy {np.mean(busy[:-1]):.0%} reading and {busy[-1]:.0%} decoding")
    ttft, tpot = sums.ttft / sums.count, sums.tpot / sums.count
    print(f"TTFT {ttft:.3f} s, TPOT {1e3 * tpot:.1f} ms, {sums.preempted:,} preempted")


if __name__ == "__main__":
    main(*sys.argv[1:4])
