"""A window of a run as a trace file that Perfetto and chrome://tracing open: what instances and requests do.

An instance is a process; its steps are a thread, the caches that come to it are others, and its requests lie on as many
more as it has at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from superpod.cli.deliver import write_streamed
from superpod.cli.trace_file import Event, trace_text

if TYPE_CHECKING:
    from superpod.plan.serving.traffic_answer import Answered
    from superpod.serve.simulation.answer import Served, Spans

WINDOW_S = 10.0
QUEUE, COUNTERS, FIRST = 1, 2, 10
"""Processes: who waits, what is counted, then the instances. Perfetto hides process 0."""
STEPS, CACHES, REQUESTS = 1, 2, 1000
"""Threads of an instance: its steps, then caches that come, then requests; what overlaps takes the next number."""
Piece = tuple[float, float, str, Event]


def write_window_trace(path: Path, found: Answered, window: tuple[float, float] | None) -> None:
    """Write the requests that are under way in a window, in the Chrome trace event format, whole or not at all.

    The run is simulated again; without a window it is the ten seconds in which most requests are under way.

    Raises:
        SuperpodError: the file cannot be written.
    """
    span = window or fullest(found)
    rows, spans = rerun(found, span)
    write_streamed(path, trace_text(events(found, rows, spans, span)))


def fullest(found: Answered) -> tuple[float, float]:
    """Return the window around the bin in which most requests are under way."""
    outcome = found.report.outcome
    middle = (int(np.argmax(outcome.series["in_flight"])) + 0.5) * outcome.bin_s
    begin = max(middle - WINDOW_S / 2.0, 0.0)
    return begin, begin + WINDOW_S


def rerun(found: Answered, span: tuple[float, float]) -> tuple[list[Served], Spans | None]:
    """Return the requests that are under way in a window, and what instances do in it."""
    from superpod.plan.serving.traffic import requests_of
    from superpod.serve.simulation.run import simulate

    kept: list[Served] = []

    def take(served: Served) -> None:
        inside = np.flatnonzero((served.finish_s > span[0]) & (served.arrival_s < span[1]))
        if len(inside):
            kept.append(served.rows(inside))

    chosen = found.chosen
    stream = requests_of(found.question.traffic)
    made = simulate(chosen.fleet, stream, sink=take, engine=chosen.targets.engine, window=span)
    return kept, made.spans


def events(found: Answered, rows: list[Served], spans: Spans | None, span: tuple[float, float]) -> Iterator[Event]:
    """Yield names, then counters, then by process its steps, the caches that come to it, and its requests."""
    threads: dict[tuple[int, int], list[Piece]] = {}
    for served in rows:
        for process, piece in pieces(served):
            threads.setdefault((process, REQUESTS), []).append(piece)
    for thread, piece in done(spans):
        threads.setdefault(thread, []).append(piece)
    yield named("process_name", COUNTERS, 0, "counters")
    yield from counters(found, span)
    for process in sorted({process for process, _ in threads}):
        yield named("process_name", process, 0, process_name(found, process))
        yield named("process_sort_index", process, 0, process)
        if (process, STEPS) in threads:
            yield named("thread_name", process, STEPS, "steps")
    for process, first in sorted(threads):
        yield from laid(process, first, threads[process, first], span)


def done(spans: Spans | None) -> Iterator[tuple[tuple[int, int], Piece]]:
    """Yield what instances do, with process and thread."""
    from superpod.serve.simulation.answer import DOINGS

    if spans is None:
        return
    names = ("instance", "doing", "begin_s", "end_s", "steps_count", "amount_count")
    columns = (getattr(spans, name).tolist() for name in names)
    for instance, doing, begin, end, steps, amount in zip(*columns, strict=True):
        what = DOINGS[doing]
        if what == "receives":
            yield (FIRST + instance, CACHES), (begin, end, "cache", {"bytes": amount})
            continue
        name = f"{steps} x {what}" if steps > 1 else what
        yield (FIRST + instance, STEPS), (begin, end, name, {"steps": steps, "sequences": amount})


def process_name(found: Answered, process: int) -> str:
    """Return what a process stands for."""
    if process == QUEUE:
        return "waiting for memory"
    number = process - FIRST
    for use in found.report.outcome.pools:
        if number < use.instances_count:
            return f"{use.name} {number}" if use.name != "all" else f"instance {number}"
        number -= use.instances_count
    return f"instance {number}"


def pieces(served: Served) -> Iterator[tuple[int, Piece]]:
    """Yield the spans of requests with their processes: waiting, being read (and sent), decoding."""
    names = ("number", "arrival_s", "admitted_s", "first_token_s", "finish_s", "prompt_tokens", "output_tokens")
    columns = [getattr(served, name).tolist() for name in (*names, "reader", "decoder")]
    for number, come, admitted, first, end, prompt, output, reader, decoder in zip(*columns, strict=True):
        about = {"request": number, "prompt_tokens": prompt, "output_tokens": output}
        last = admitted if admitted >= 0.0 else end
        if last > come:
            yield QUEUE, (come, last, f"request {number} waits", about)
        if admitted < 0.0:
            continue
        if reader >= 0 and first > admitted:
            doing = "is read" if reader == decoder else "is read and sent"
            yield FIRST + reader, (admitted, first, f"request {number} {doing}", about)
        if decoder >= 0 and end > first >= 0.0:
            yield FIRST + decoder, (first, end, f"request {number} decodes", about)


def laid(process: int, first: int, found: list[Piece], span: tuple[float, float]) -> Iterator[Event]:
    """Yield the spans of a process, each on the first thread that is free when it begins; cut to the window."""
    free: list[float] = []
    for begin, end, name, about in sorted(found, key=lambda item: item[:2]):
        start, stop = max(begin, span[0]), min(end, span[1])
        if stop <= start:
            continue
        lane = next((place for place, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [stop]
        yield {
            "name": name,
            "cat": "request" if first == REQUESTS else "instance",
            "ph": "X",
            "ts": round(start * 1e6, 3),
            "dur": round((stop - start) * 1e6, 3),
            "pid": process,
            "tid": first + lane,
            "args": about,
        }


def counters(found: Answered, span: tuple[float, float]) -> Iterator[Event]:
    """Yield what is counted over time, a bin at a time."""
    outcome = found.report.outcome
    for name in ("in_flight", "queued", "memory_tokens"):
        for place, value in enumerate(outcome.series[name]):
            time_s = place * outcome.bin_s
            if span[0] - outcome.bin_s <= time_s <= span[1]:
                yield {
                    "name": name.replace("_", " "),
                    "ph": "C",
                    "ts": round(max(time_s, span[0]) * 1e6, 3),
                    "pid": COUNTERS,
                    "args": {"value": value},
                }


def named(what: str, process: int, thread: int, value: str | int) -> Event:
    """Return a line of metadata."""
    key = "sort_index" if isinstance(value, int) else "name"
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {key: value}}
