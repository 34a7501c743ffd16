"""Replay one trace with our simulation and print what it took, as one line of JSON: the part of `serving_replay.py`.

    python benchmarks/serving_loop.py mooncake|uniform|azure TRACE [engine]

The loop is timed five times after a run that compiles or loads what was compiled; the median counts.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.costs import Settings, step_costs
from superpod.serve.simulation.fleet import Fleet, Pool
from superpod.serve.simulation.run import simulate
from superpod.traffic.read import read_trace
from superpod.traffic.requests import joined

# Workers and limits of one: those of Dynamo's engine by default (16,384 blocks of 64 tokens), and of the Vidur case.
DYNAMO = Settings(capacity_tokens=1_048_576.0, step_max_tokens=8192.0, sequences_max_count=256.0)
VIDUR = Settings(step_max_tokens=512.0, sequences_max_count=128.0)
CASES = {"mooncake": ("hgx-h100", 8, DYNAMO), "uniform": ("hgx-h100", 4, DYNAMO), "azure": ("hgx-a100", 1, VIDUR)}


def fleet(name: str) -> Fleet:
    """Return workers of one GPU each with Llama 3.1 8B."""
    pod, workers, settings = CASES[name]
    scenario = Scenario(model="llama-3.1-8b", pod=pod, work=Serving(), software="vllm-1", precision="bf16")
    costs = step_costs(machine(Catalogue(), scenario).engine, Layout(tensor=1), settings)
    return Fleet(pool=Pool(costs=costs, instances_count=workers, block_tokens=16))


def main(name: str, path: str, engine: str = "auto") -> None:
    """Read, warm up, time."""
    begin = time.perf_counter()
    requests = joined(read_trace(Path(path)))
    read = time.perf_counter()
    served_by = fleet(name)
    made = time.perf_counter()
    found = simulate(served_by, requests, engine=engine)
    warm = time.perf_counter()
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        found = simulate(served_by, requests, engine=engine)
        spent.append(time.perf_counter() - start)
    assert found.served is not None
    done = found.served.finished
    report = {
        "requests": len(done.number),
        "loop_s": statistics.median(spent),
        "read_s": read - begin,
        "costs_s": made - read,
        "first_s": warm - made,
        "ttft_ms": 1e3 * float(done.ttft_s.mean()),
        "tpot_ms": 1e3 * float(done.tpot_s.mean()),
        "simulated_s": found.makespan_s,
        "output_tokens": int(done.output_tokens.sum()),
        "prefix_hit_frac": float(done.hit_tokens.sum() / np.maximum(done.prompt_tokens.sum(), 1)),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:4])
