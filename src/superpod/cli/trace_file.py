"""A step's timeline as a trace file that Perfetto and chrome://tracing open."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from superpod.cli.deliver import write_streamed
from superpod.cli.wording import count
from superpod.train.timeline import COMPUTE, DATA, PIPELINE, STREAMS, WORDS

if TYPE_CHECKING:
    from superpod.train.timeline import Gap, Spans, StepTimeline

# Numbers of processes and threads. Perfetto hides process 0, so stages count from 1000 on; the first thread of each has
# its number. What overlaps in a stream needs a lane more.
STAGE, LANES = 1000, 100
HEAD = '{"displayTimeUnit":"ms","traceEvents":['
TOUCH = 1e-3  # microseconds that rounding may move neighbours apart or together
Event = dict[str, Any]


def write_trace(path: Path, timeline: StepTimeline) -> None:
    """Write the trace in the Chrome trace event format, whole or not at all.

    A stage is a process, a stream a thread, times are in microseconds; transfers between stages are also flow arrows.
    Written piece by piece beside its place, then renamed over it.

    Raises:
        SuperpodError: the file cannot be written.
    """
    write_streamed(path, trace_text(events(timeline)))


def trace_text(listed: Iterable[Event]) -> Iterator[str]:
    """Yield the text of a trace, an event a line."""
    lead, write_json = HEAD, json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
    for event in listed:
        yield f"{lead}\n{write_json(event)}"
        lead = ","
    yield "\n]}\n"


def events(timeline: StepTimeline) -> Iterator[Event]:
    """Yield the events of a trace, stage by stage: names first, then spans in order of time within each thread."""
    chunks = timeline.chunks_count > 1
    arrows = itertools.count(1)
    for stage in range(timeline.stages_count):
        process = _process(stage)
        yield _named("process_name", process, process, f"stage {stage}")
        yield _named("process_sort_index", process, process, stage)
        for stream, name in enumerate(STREAMS):
            rows = _laid(timeline.track(stage, stream))
            for lane in range(1 + max((row.lane for row in rows), default=-1)):
                thread = process + stream * LANES + lane
                yield _named("thread_name", process, thread, f"{name} {lane + 1}" if lane else name)
                yield _named("thread_sort_index", process, thread, thread)
            before = [row for row in rows if timeline.gap is None or row.start_s < timeline.gap.start_s]
            after = rows[len(before) :]
            yield from _drawn(before, arrows, chunks=chunks)
            if timeline.gap is not None and stream == COMPUTE:
                yield _gap(timeline.gap, stage, before, after)
            yield from _drawn(after, arrows, chunks=chunks)


def _process(stage: int) -> int:
    """Return the number of a stage's process, which is also that of its compute stream."""
    return STAGE * (stage + 1)


def _named(what: str, process: int, thread: int, value: str | int) -> Event:
    """Return a line of metadata."""
    key = "sort_index" if isinstance(value, int) else "name"
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {key: value}}


class Row(NamedTuple):
    """One span, and the lane of its stream that it lies on; times in microseconds."""

    stage: int
    stream: int
    kind: int
    micro_batch: int
    chunk: int
    to: int
    start_s: float
    start: float
    end: float
    awaited: float
    exposed: bool
    lane: int

    @property
    def thread(self) -> int:
        """The number of its thread."""
        return _process(self.stage) + self.stream * LANES + self.lane


def _laid(spans: Spans) -> list[Row]:
    """Return the spans of a track, each on the first lane that is free when it starts; none overlap on a lane."""
    free: list[float] = []
    found: list[Row] = []
    words = (spans.stage, spans.stream, spans.kind, spans.micro_batch, spans.chunk, spans.to, spans.exposed)
    numbers = zip(*(column.tolist() for column in words), strict=True)
    times = zip(*(column.tolist() for column in (spans.start_s, spans.end_s, spans.awaited_s)), strict=True)
    for (stage, stream, kind, micro_batch, chunk, to, exposed), (start_s, end_s, awaited_s) in zip(
        numbers, times, strict=True
    ):
        start, end, awaited = (_microseconds(value) for value in (start_s, end_s, awaited_s))
        lane = next((place for place, until in enumerate(free) if until <= start + TOUCH), len(free))
        start = max([start, *free[lane : lane + 1]])
        end = max(start, end)
        free[lane : lane + 1] = [end]
        found.append(Row(stage, stream, kind, micro_batch, chunk, to, start_s, start, end, awaited, exposed, lane))
    return found


def _microseconds(seconds: float) -> float:
    """Return microseconds to the nanosecond."""
    return round(seconds * 1e6, 3)


def _drawn(rows: list[Row], arrows: Iterator[int], *, chunks: bool) -> Iterator[Event]:
    """Yield spans, and arrows from transfers to the blocks that wait for them."""
    for row in rows:
        yield _span(row, chunks=chunks)
        if row.stream == PIPELINE and not math.isnan(row.awaited):
            common = {"name": "hop", "cat": "pipeline", "id": next(arrows)}
            yield {**common, "ph": "s", "ts": row.start, "pid": _process(row.stage), "tid": row.thread}
            yield {**common, "ph": "f", "bp": "e", "ts": row.awaited, "pid": _process(row.to), "tid": _process(row.to)}


def _span(row: Row, *, chunks: bool) -> Event:
    """Return one complete event."""
    args: Event = {"kind": WORDS[row.kind], "exposed": row.exposed}
    if row.micro_batch >= 0:
        args |= {"micro_batch": row.micro_batch, "chunk": row.chunk}
    if row.to >= 0:
        args |= {"from_stage": row.stage, "to_stage": row.to}
    return {
        "name": label(row, chunks=chunks),
        "cat": STREAMS[row.stream],
        "ph": "X",
        "ts": row.start,
        "dur": round(row.end - row.start, 3),
        "pid": _process(row.stage),
        "tid": row.thread,
        "args": args,
    }


def label(row: Row, *, chunks: bool) -> str:
    """Return the name of a span; Perfetto gives one colour to names that differ in their numbers alone."""
    name = WORDS[row.kind]
    if row.stream >= DATA:
        return name
    block = f"{name} {row.micro_batch}" + (f" chunk {row.chunk}" if chunks else "")
    if row.stream == COMPUTE:
        return block
    return f"{block} to stage {row.to}" if row.to >= 0 else f"{STREAMS[row.stream]} of {block}"


def _gap(gap: Gap, stage: int, before: list[Row], after: list[Row]) -> Event:
    """Return the time in which a stage repeats itself."""
    start = max([_microseconds(gap.start_s), *(row.end for row in before[-1:])])
    end = max(start, after[0].start if after else _microseconds(gap.end_s))
    return {
        "name": f"... {count(gap.micro_batches_count)} micro-batches repeat ...",
        "cat": "gap",
        "ph": "X",
        "ts": start,
        "dur": round(end - start, 3),
        "pid": _process(stage),
        "tid": _process(stage),
        "args": {"kind": "gap", "micro_batches": gap.micro_batches_count},
    }
