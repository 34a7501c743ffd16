"""DualPipeV: DualPipe cut in half, one copy of the parameters, two chunks a stage (github.com/deepseek-ai/DualPipe)."""

from dataclasses import dataclass, field

import numpy as np

from superpod.result import Num
from superpod.train.schedules.one_forward_one_backward import hops_count as plain_hops_count
from superpod.train.schedules.schedule import BACKWARD, FORWARD, FULL, WEIGHT, Events, Flag, Schedule, every, folded


@dataclass(slots=True)
class _Stage:
    """What a stage has done so far; the micro-batches of each kind and chunk come in turn."""

    done: dict[tuple[bool, int], int] = field(default_factory=dict)
    waiting: list[tuple[int, int]] = field(default_factory=list)  # weight gradients put off, first come first served
    rows: list[tuple[int, int, int, bool]] = field(default_factory=list)

    def forward(self, chunk: int) -> None:
        self._add(FORWARD, chunk)

    def backward(self, chunk: int, *, whole: bool = True) -> None:
        if not whole:
            self.waiting.append((chunk, self.done.get((False, chunk), 0)))
        self._add(FULL if whole else BACKWARD, chunk)

    def pair(self, forward: int, backward: int) -> None:
        self._add(FORWARD, forward)
        self._add(FULL, backward, joined=True)

    def weight(self) -> None:
        self.rows.append((WEIGHT, *self.waiting.pop(0), False))

    def _add(self, kind: int, chunk: int, *, joined: bool = False) -> None:
        key = (kind == FORWARD, chunk)
        number = self.done.get(key, 0)
        self.done[key] = number + 1
        self.rows.append((kind, chunk, number, joined))


def eight_steps(stages_count: int, each_count: int, stage: int) -> Events:
    """Return what stage i of h does with `each_count` micro-batches a chunk.

    2(h - i - 1) times F0; i + 1 times F0 F1; h - i - 1 times B1 W F1; then rounds of F0 with B1 and F1 with B0 (the
    first of them apart on the last stage); h - i - 1 times B1, then F1 with B0; i + 1 times B1 B0, weight gradients of
    the second half put off; h - i - 1 times W B0; and the weight gradients left.
    """
    made, after = _Stage(), stages_count - stage - 1
    for _ in range(2 * after):
        made.forward(0)
    for _ in range(stage + 1):
        made.forward(0)
        made.forward(1)
    for _ in range(after):
        made.backward(1, whole=False)
        made.weight()
        made.forward(1)
    for turn in range(each_count - 2 * stages_count + stage + 1):
        if turn == 0 and after == 0:
            made.forward(0)
            made.backward(1)
        else:
            made.pair(0, 1)
        made.pair(1, 0)
    for _ in range(after):
        made.backward(1)
        made.pair(1, 0)
    _drain(made, stage, after)
    kind, chunk, micro_batch, joined = (np.array(column) for column in zip(*made.rows, strict=True))
    return Events(kind=kind, chunk=chunk, micro_batch=micro_batch, joined=joined)


def _drain(made: _Stage, stage: int, after: int) -> None:
    """Add the last three steps."""
    for turn in range(2 * (stage + 1)):
        put_off = turn >= 2 * ((stage + 1) // 2) + (1 - stage % 2)
        made.backward(1 - turn % 2, whole=not put_off)
    for _ in range(after):
        made.weight()
        made.backward(0, whole=False)
    for _ in range(stage + 1):
        made.weight()


def chunk_bubble_s(forward_s: Num, backward_s: Num, weight_s: Num) -> Num:
    """Return F&B + B - 2W with F&B = F + B + W, at least 2F, F + B and 2F + B - W: seconds of ramps per stage.

    The public code states F&B + B - 3W, its B being both gradients. Exact for equal stages without hops where F >= B,
    with W <= F and W <= B the code's form; where B > F the replay is below by at most 0.16 (p - 1)(F + B + W).
    """
    longest = np.maximum(2.0 * backward_s - weight_s, forward_s + backward_s - weight_s)
    return forward_s + np.maximum(longest, np.maximum(forward_s, backward_s))


def legal(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where the schedule is defined: two chunks a stage and m >= 2p."""
    return every(stages_count >= 1, chunks_count == 2, micro_batches_count >= 2 * stages_count)


def order(stages_count: int, chunks_count: int, micro_batches_count: int, stage: int) -> Events:
    """Return the eight steps of the public code."""
    return eight_steps(stages_count, micro_batches_count, stage)


def bubble_s(
    forward_s: Num,
    backward_s: Num,
    weight_s: Num,
    stages_count: Num,
    chunks_count: Num,
    micro_batches_count: Num,
) -> Num:
    """Return (p - 1)/2 of `chunk_bubble_s`: chunks of half a stage."""
    return 0.5 * (stages_count - 1.0) * chunk_bubble_s(forward_s, backward_s, weight_s)


def in_flight_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num, stage: Num) -> Num:
    """Return p + 1/2: one chunk more than 2p chunks."""
    return stages_count + 0.5 + 0.0 * (stage + micro_batches_count)


def hops_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return 2(p - 1) + 2(m - 1 - ceil((m - 1)/p)), as 1F1B; up to 2(p - 1) more where B > F."""
    return plain_hops_count(stages_count, 1.0, micro_batches_count)


def paired_count(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return m - p/2 - 1, what the ramps leave: exact for equal stages."""
    return micro_batches_count - 0.5 * stages_count - 1.0


DUAL_PIPE_V = Schedule(
    name="dualpipev",
    legal=legal,
    chains=folded,
    order=order,
    bubble_s=bubble_s,
    in_flight_count=in_flight_count,
    hops_count=hops_count,
    paired_count=paired_count,
    period_count=lambda stages_count, chunks_count: 1,
)
