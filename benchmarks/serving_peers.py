"""Other simulators of serving as programs: Dynamo Replay of ai-dynamo 1.4.2 and Vidur, each in a Python of its own.

Neither is a dependency. Where a copy of Vidur comes without the attention times of its chip, a table of the same
columns is written from a roofline, and its forests are kept small: what its loop costs depends on neither.
"""

import csv
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FLOP_PER_S, BYTES_PER_S = 312e12, 2.039e12  # A100 80GB SXM: NVIDIA A100 datasheet, dense BF16 and HBM2e
LAUNCH_S = 4e-6  # a kernel is never shorter than a few microseconds; no result quoted depends on it
HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, BLOCK, LONGEST = 4096, 32, 8, 128, 16, 4096  # Llama 3 8B; Vidur's cache block
VIDUR_MODEL = "meta-llama/Meta-Llama-3-8B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a program: what it reports of its loop, and what the process took in all."""

    requests_count: int
    loop_s: float
    wall_s: float
    cpu_s: float
    peak_bytes: int
    report: dict[str, float]

    @property
    def requests_per_s(self) -> float:
        """Simulated requests per second of the loop."""
        return self.requests_count / self.loop_s


def measured(command: list[str], *, folder: Path, environment: dict[str, str] | None = None) -> tuple[str, list[float]]:
    """Run a program; return its output and (wall seconds, CPU seconds, peak bytes)."""
    output = folder / "output.txt"
    begin = time.perf_counter()
    with output.open("w") as stream:
        child = subprocess.Popen(
            command, cwd=folder, env=os.environ | (environment or {}), stdout=stream, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text()
    if child.returncode:
        raise SystemExit(f"{command[0]} ended with {child.returncode}:\n{text[-3000:]}")
    return text, [wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024.0]


def dynamo(python: Path, trace: Path, workers: int, folder: Path, times: Path | None) -> Run:
    """Replay a trace in Mooncake's form offline, aggregated workers, round robin; step times as given or by default."""
    report = folder / "dynamo.json"
    command = [str(python), "-m", "dynamo.replay", str(trace), "--replay-mode", "offline"]
    command += ["--trace-format", "mooncake", "--trace-block-size", "512"]
    command += ["--num-workers", str(workers), "--report-json", str(report)]
    if times is not None:
        command += ["--extra-engine-args", json.dumps({"planner_profile_data": str(times)})]
    _, (wall, cpu, peak) = measured(command, folder=folder)
    found = json.loads(report.read_text())
    return Run(
        requests_count=found["completed_requests"],
        loop_s=found["wall_time_ms"] / 1e3,
        wall_s=wall,
        cpu_s=cpu,
        peak_bytes=int(peak),
        report={
            "ttft_ms": found["mean_ttft_ms"],
            "tpot_ms": found["mean_tpot_ms"],
            "simulated_s": found["duration_ms"] / 1e3,
            "output_tokens": found["total_output_tokens"],
            "prefix_hit_frac": found["prefix_cache_reused_ratio"],
        },
    )


def vidur(python: Path, checkout: Path, trace: Path, folder: Path) -> Run:
    """Run one A100 with Llama 3 8B, Sarathi chunks of 512, 128 sequences; its execution times are kept in `folder`."""
    attention = checkout / "data/profiling/compute/a100" / VIDUR_MODEL / "attention.csv"
    if not attention.exists():
        attention = folder / "attention.csv"
        write_attention(attention)
    forest = "--random_forrest_execution_time_predictor_config_"  # their spelling
    command = [str(python), str(Path(__file__).resolve().parent / "vidur_loop.py")]
    command += ["--replica_config_device", "a100", "--replica_config_model_name", VIDUR_MODEL]
    command += ["--replica_config_network_device", "a100_pairwise_nvlink"]
    command += ["--cluster_config_num_replicas", "1", "--replica_config_tensor_parallel_size", "1"]
    command += ["--replica_config_num_pipeline_stages", "1", "--replica_scheduler_config_type", "sarathi"]
    command += ["--sarathi_scheduler_config_chunk_size", "512", "--sarathi_scheduler_config_batch_size_cap", "128"]
    command += ["--request_generator_config_type", "trace_replay"]
    command += ["--trace_request_generator_config_trace_file", str(trace)]
    command += [f"{forest}compute_input_file", str(checkout / "data/profiling/compute/{DEVICE}/{MODEL}/mlp.csv")]
    command += [f"{forest}attention_input_file", str(attention)]
    network = checkout / "data/profiling/network/{NETWORK_DEVICE}"
    command += [f"{forest}all_reduce_input_file", str(network / "all_reduce.csv")]
    command += [f"{forest}send_recv_input_file", str(network / "send_recv.csv")]
    for option, value in (("num_estimators", 50), ("max_depth", 16), ("min_samples_split", 2), ("k_fold_cv_splits", 2)):
        command += [f"{forest}{option}", str(value)]
    command += [f"{forest}num_training_job_threads", "1", "--no-metrics_config_write_metrics"]
    command += ["--no-metrics_config_store_plots", "--no-metrics_config_enable_chrome_trace"]
    command += [
        "--metrics_config_output_dir",
        str(folder / "vidur"),
        "--metrics_config_cache_dir",
        str(folder / "kept"),
    ]
    environment = {"PYTHONPATH": str(checkout), "WANDB_MODE": "disabled"}
    text, (wall, cpu, peak) = measured(command, folder=folder, environment=environment)
    found = next(json.loads(line) for line in text.splitlines() if line.startswith('{"requests"'))
    return Run(
        requests_count=found["requests"],
        loop_s=found["wall_s"],
        wall_s=wall,
        cpu_s=cpu,
        peak_bytes=int(peak),
        report={"simulated_s": found["simulated_s"]},
    )


def write_attention(path: Path) -> None:
    """Write attention times of one layer, in milliseconds, as a roofline of an A100 has them."""
    names = ["n_embd", "n_q_head", "n_kv_head", "block_size", "num_tensor_parallel_workers"]
    names += ["batch_size", "prefill_chunk_size", "kv_cache_size"]
    names += [f"time_stats.attn_{part}.median" for part in ("prefill", "decode", "kv_cache_save")]
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(names)
        rows.writerows([HIDDEN, HEADS, KV_HEADS, BLOCK, 1, *row] for row in attention_rows())


def attention_rows() -> Iterator[list[float]]:
    """Yield (sequences, chunk, context, prefill, decode, save) of decode batches and of chunks."""
    token_bytes = 2 * 2 * KV_HEADS * HEAD_SIZE
    for sequences in (1, 2, 4, 8, 16, 32, 64, 96, 128):
        for context in range(0, LONGEST + 1, 128):
            read = max(token_bytes * sequences * context / BYTES_PER_S, LAUNCH_S)
            yield [sequences, 0, context, 0.0, 1e3 * read, 1e3 * token_bytes * sequences / BYTES_PER_S]
    for chunk in (1, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096):
        for context in range(0, LONGEST - chunk + 1, 128):
            work = max(4 * HIDDEN * chunk * (context + chunk / 2) / FLOP_PER_S, LAUNCH_S)
            yield [1, chunk, context, 1e3 * work, 0.0, 1e3 * token_bytes * chunk / BYTES_PER_S]
