"""Replay one trace with our simulation and print what it took, as one line of JSON: the part of `serving_replay.py`.

    python benchmarks/serving_loop.py mooncake|uniform|azure TRACE [engine]
    python benchmarks/serving_loop.py times OUT.npz

The loop is timed five times after a run that compiles or loads what was compiled; the median counts. The second form
writes our step times in the form that Dynamo's engine model reads: a prompt by its length, a decode step by cached
tokens of the batch and mean context. `alike` are means with steps priced as Dynamo prices them from that table.
"""

import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.costs import Settings, step_costs
from superpod.serve.simulation.fleet import Fleet, Pool, Prefixes
from superpod.serve.simulation.run import simulate
from superpod.serve.step_tables import decode_step, prompt_pass, read_chunk
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
    pool = Pool(costs=costs, instances_count=workers, block_tokens=16)
    return Fleet(pool=pool, prefixes=Prefixes() if settings is DYNAMO else None)


def write_times(path: str) -> None:
    """Write the step times of a Dynamo worker, between the steps its engine can take."""
    tables = fleet("uniform").pool.costs.tables
    prompts = np.unique(np.geomspace(1.0, 2.0**17, 100).round())
    cached, context = np.geomspace(64.0, 2.0**20, 100), np.geomspace(16.0, 2.0**17, 100)
    reads = [
        prompt_pass(tables, tokens, tokens, 1.0, *read_chunk(tables, tokens, 0.0)[:2]) for tokens in prompts.tolist()
    ]
    steps = [[decode_step(tables, held / mean, mean) for mean in context.tolist()] for held in cached.tolist()]
    np.savez(
        path,
        prefill_isl=prompts,
        prefill_ttft_ms=1e3 * np.array(reads),
        decode_active_kv_tokens=cached,
        decode_context_length=context,
        decode_itl=1e3 * np.array(steps),
    )


def alike(served_by: Fleet) -> Fleet:
    """Return a fleet that prices steps as Dynamo does: a chunk by its own tokens, decoding beside it added."""
    costs = served_by.pool.costs
    width = len(costs.tables.behind_tokens)
    read, first = (
        np.repeat(column.reshape(-1, width)[:, 0], width) for column in (costs.tables.read_s, costs.tables.first_s)
    )
    tables = costs.tables._replace(read_s=read, first_s=first, mixed=False)
    return replace(served_by, pool=replace(served_by.pool, order="mixed", costs=replace(costs, tables=tables)))


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
    if CASES[name][2] is DYNAMO:
        like = simulate(alike(served_by), requests, engine=engine).served
        assert like is not None
        report |= {"alike_ttft_ms": 1e3 * float(like.ttft_s.mean()), "alike_tpot_ms": 1e3 * float(like.tpot_s.mean())}
    print(json.dumps(report))


if __name__ == "__main__":
    if sys.argv[1] == "times":
        write_times(sys.argv[2])
    else:
        main(*sys.argv[1:4])
