"""Serving replayed side by side: ours, Dynamo Replay (ai-dynamo 1.4.2) and Vidur, on the same traces in one run.

    python benchmarks/serving_replay.py --mooncake conversation_trace.jsonl[.gz] --dynamo PYTHON
        --vidur CHECKOUT --vidur-python PYTHON [--default-times] [--repeat 3] [--json FILE]

    mooncake   the conversation trace of Mooncake (FAST 2025): 8 workers, prefix caches, 8,192 tokens a step
    uniform    10,000 requests of 1,024 tokens in, 256 out, Poisson 20/s: 4 workers, the same
    azure      lengths of Azure's conversation trace as Vidur carries them, to 4,096, Poisson 6.45/s: one A100, chunks
               of 512, 128 sequences

Every simulator runs in a process of its own, in turn, `--repeat` times; medians count. Compared are simulated requests
per second of the event loop: as Dynamo reports it, as timed around Vidur's run, and around our `simulate` after one run
that compiles (or loads what was compiled). Process: what the whole process takes, start, import, compiling and reading
with it. Steps are priced as Llama 3.1 8B on an H100 by our formulas, which Dynamo gets as a table (`--default-times`:
its own polynomials instead), and as Llama 3 8B on an A100 by Vidur's forests and by our formulas. Peers are tools of
this benchmark only, each in an environment of its own: `pip install ai-dynamo==1.4.2`; github.com/microsoft/vidur with
its requirements.
"""

import argparse
import csv
import gzip
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from serving_peers import Run, dynamo, measured, vidur

LOOP = Path(__file__).resolve().parent / "serving_loop.py"
SEED = 20261126
TARGETS = {"mooncake": 5.0, "uniform": 10.0, "azure": 200.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A trace, and who else runs it."""

    name: str
    trace: Path
    peer: str
    run: Callable[[], Run]


def mooncake_case(given: Path, python: Path, folder: Path, times: Path | None) -> Case:
    """Return the conversation trace, unpacked."""
    trace = folder / "mooncake.jsonl"
    trace.write_bytes(gzip.decompress(given.read_bytes()) if given.suffix == ".gz" else given.read_bytes())
    return Case(name="mooncake", trace=trace, peer="dynamo", run=lambda: dynamo(python, trace, 8, folder, times))


def uniform_case(python: Path, folder: Path, times: Path | None) -> Case:
    """Return equal requests in Mooncake's form, no two blocks alike."""
    trace = folder / "uniform.jsonl"
    arrivals = np.cumsum(np.random.default_rng(SEED).exponential(1e3 / 20.0, 10_000))
    rows = (
        {"timestamp": time, "input_length": 1024, "output_length": 256, "hash_ids": [2 * row, 2 * row + 1]}
        for row, time in enumerate(arrivals.tolist())
    )
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Case(name="uniform", trace=trace, peer="dynamo", run=lambda: dynamo(python, trace, 4, folder, times))


def azure_case(checkout: Path, python: Path, folder: Path, count: int) -> Case:
    """Return the first requests of the conversation lengths, cut to 4,096 tokens as Vidur cuts them, Poisson 6.45/s."""
    trace = folder / "azure.csv"
    with (checkout / "data/processed_traces/splitwise_conv.csv").open(newline="") as stream:
        lengths = [(int(row["num_prefill_tokens"]), int(row["num_decode_tokens"])) for row in csv.DictReader(stream)]
    arrivals = np.cumsum(np.random.default_rng(SEED).exponential(1.0 / 6.45, count))
    with trace.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["arrived_at", "num_prefill_tokens", "num_decode_tokens"])
        for time, (prompt, output) in zip(arrivals.tolist(), lengths, strict=False):
            rows.writerow([time, max(min(prompt, 4096 - output), 1), output])
    return Case(name="azure", trace=trace, peer="vidur", run=lambda: vidur(python, checkout, trace, folder))


def ours(case: Case, folder: Path) -> Run:
    """Run our loop in a process of its own."""
    text, (wall, cpu, peak) = measured([sys.executable, str(LOOP), case.name, str(case.trace)], folder=folder)
    found = json.loads(text.splitlines()[-1])
    return Run(
        requests_count=found.pop("requests"),
        loop_s=found.pop("loop_s"),
        wall_s=wall,
        cpu_s=cpu,
        peak_bytes=int(peak),
        report=found,
    )


def compared(case: Case, folder: Path, repeat: int) -> dict[str, object]:
    """Run both in turn; print their medians and return all runs."""
    runs: dict[str, list[Run]] = {case.peer: [], "superpod": []}
    for _ in range(repeat):
        runs[case.peer].append(case.run())
        runs["superpod"].append(ours(case, folder))
    rates = {name: statistics.median(run.requests_per_s for run in found) for name, found in runs.items()}
    for name, found in runs.items():
        print(row(case.name, name, rates[name], found), flush=True)
    ratio = rates["superpod"] / rates[case.peer]
    print(f"{case.name:10s} ratio {ratio:.1f}, target {TARGETS[case.name]:g}", flush=True)
    return {
        "case": case.name,
        "ratio": ratio,
        "target": TARGETS[case.name],
        "requests_per_s": rates,
        "runs": {name: [asdict(run) for run in found] for name, found in runs.items()},
    }


def row(case: str, name: str, rate: float, runs: list[Run]) -> str:
    """Return one line of medians, with what the last run says of itself."""
    wall, cpu = (statistics.median(getattr(run, part) for run in runs) for part in ("wall_s", "cpu_s"))
    loop = statistics.median(run.loop_s for run in runs)
    peak = max(run.peak_bytes for run in runs) / 1e6
    said = ", ".join(f"{key} {value:,.4g}" for key, value in runs[-1].report.items())
    return (
        f"{case:10s} {name:9s} {runs[0].requests_count:7,d} {loop:9.3f} {rate:11,.0f} {wall:9.2f} {cpu:8.2f}"
        f" {peak:8.0f}   {said}"
    )


def cases(chosen: argparse.Namespace, folder: Path) -> list[Case]:
    """Return those cases whose peer and trace were given."""
    found = []
    if chosen.dynamo:
        python, times = chosen.dynamo.absolute(), None
        if not chosen.default_times:
            times = folder / "times.npz"
            measured([sys.executable, str(LOOP), "times", str(times)], folder=folder)
        found.append(uniform_case(python, folder, times))
        if chosen.mooncake:
            found.append(mooncake_case(chosen.mooncake.resolve(), python, folder, times))
    if chosen.vidur:
        checkout = chosen.vidur.resolve()
        python = (chosen.vidur_python or checkout / ".venv/bin/python").absolute()
        found.append(azure_case(checkout, python, folder, chosen.requests))
    return [case for case in found if not chosen.case or case.name in chosen.case]


def main() -> None:
    """Print a table; write all runs where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dynamo", type=Path, help="a python with ai-dynamo")
    parser.add_argument("--vidur", type=Path, help="a checkout of Vidur")
    parser.add_argument("--vidur-python", type=Path, help="a python with Vidur's requirements")
    parser.add_argument("--mooncake", type=Path, help="the conversation trace")
    parser.add_argument("--default-times", action="store_true", help="Dynamo's own step times")
    parser.add_argument("--requests", type=int, default=4000, help="requests of azure")
    parser.add_argument("--case", action="append", help="only this one")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    print("case       simulator requests    loop s  requests/s process s    CPU s  peak MB   says")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [compared(case, folder, chosen.repeat) for case in cases(chosen, folder)]
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
