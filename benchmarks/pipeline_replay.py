"""How much folding the steady state saves: a pipeline of p stages, v chunks and m micro-batches, folded and whole.

    python benchmarks/pipeline_replay.py [P] [V] [M] [SCHEDULE]

Prints seconds of the first replay (the order is made) and of the next one (other times, same order), and the largest
relative difference. Stages are uneven and have hops.
"""

import sys
import time

import numpy as np

from superpod.train.schedules import SCHEDULES, Schedule
from superpod.train.schedules.replay import Replay, replay
from superpod.train.schedules.times import ChunkTimes


def drawn(schedule: Schedule, stages: int, chunks: int, seed: int) -> ChunkTimes:
    """Return chunks that differ by a tenth, the last stage longer by a head, and hops."""
    rng = np.random.default_rng(seed)
    shape = schedule.parts(stages, chunks).shape
    forward, backward, weight = (rng.uniform(0.9, 1.1, shape) for _ in range(3))
    forward[-1] *= 1.2
    return ChunkTimes(forward_s=forward, backward_s=backward, weight_s=weight, forward_hop_s=0.02, backward_hop_s=0.02)


def timed(schedule: Schedule, times: ChunkTimes, chunks: int, count: int, *, fold: bool) -> tuple[float, Replay]:
    """Return the seconds of a replay, and the replay."""
    start = time.perf_counter()
    found = replay(schedule, times, chunks, count, fold=fold)
    return time.perf_counter() - start, found


def main(stages: str = "64", chunks: str = "4", count: str = "10000", name: str = "1f1b") -> None:
    """Replay both ways and compare."""
    schedule, sizes = SCHEDULES[name], (int(stages), int(chunks), int(count))
    once, again = (drawn(schedule, *sizes[:2], seed) for seed in (0, 1))
    first, folded = timed(schedule, once, *sizes[1:], fold=True)
    following, _ = timed(schedule, again, *sizes[1:], fold=True)
    longer, whole = timed(schedule, once, *sizes[1:], fold=False)
    print(f"{name}: {sizes[0]} stages, {sizes[1]} chunks each, {sizes[2]:,} micro-batches")
    print(f"folded: {first:8.3f} s, then {following:.3f} s; {folded.replayed_count:,} micro-batches replayed")
    print(f"whole:  {longer:8.3f} s; {len(whole.timeline.start_s):,} events")
    print(f"ratio:  {longer / first:8.0f}; relative difference {abs(folded.time_s / whole.time_s - 1.0):.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:5])
