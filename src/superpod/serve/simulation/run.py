"""Serving, request by request: the loop fed piece by piece, and what it tells."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.route import has_compiler
from superpod.serve import step_tables
from superpod.serve.simulation import (
    admission,
    columns,
    health,
    lives,
    loop,
    order,
    prefix,
    route,
    series,
    shelf,
    steps,
    stride,
)
from superpod.serve.simulation import columns as c
from superpod.serve.simulation.answer import MEANS, SERIES, STATUS, InstanceUse, Served, Simulated, Spans, joined
from superpod.serve.simulation.build import ROWS, prices, units, wider, with_blocks, world
from superpod.serve.simulation.columns import Piece, World
from superpod.serve.simulation.fleet import Fleet
from superpod.traffic.requests import ClosedLoop, Trace, pieces_of, trace

MODULES = (step_tables, order, series, shelf, prefix, lives, admission, stride, route, steps, health, loop)
ENGINES = ("auto", "compiled", "python")
SPANS_MOST = 200_000
Sink = Callable[[Served], None]


class Run:
    """A simulation under way: its columns, and what it has put out."""

    def __init__(self, fleet: Fleet, closed: tuple[int, float] | None, engine: str, block_tokens: int) -> None:
        self.fleet = fleet
        self.compiled = engine == "compiled" or (engine == "auto" and has_compiler())
        self.world = wider(world(fleet, closed, block_tokens), ROWS)
        self.costs = tuple(prices(pool) for pool in (fleet.pool, fleet.decode or fleet.pool))
        self.counts = np.zeros(len(STATUS), dtype=np.int64)
        self.instance_of = _instance_of(fleet)

    def play(self, requests: Trace, *, final: bool) -> Iterator[Served]:
        """Run until a piece is used up, or, if it is the last one, to the end; yield what has ended."""
        piece = _piece(requests)
        self.world = with_blocks(self.world, np.asarray(requests.blocks, dtype=np.int64))
        self.world.tally[c.NEXT_ROW] = 0
        while True:
            why = self._loop(piece, final)
            if why == c.WANTS_ROOM:
                self.world = wider(self.world, 2 * len(self.world.request) // c.REQUEST)
                continue
            if self.world.tally[c.OUT]:
                yield self._taken()
            if why != c.WANTS_SPACE:
                return

    def _loop(self, piece: Piece, final: bool) -> int:
        """Run the loop compiled, or on lists, which Python reads faster than arrays, copied back after."""
        if self.compiled:
            from superpod.serve.simulation.compiled import compiled  # noqa: PLC0415  (numba takes half a second)

            return int(compiled(MODULES, "run_events")(self.world, *self.costs, piece, final))
        lists = World(*(column.tolist() for column in self.world))
        play: Callable[..., int] = loop.run_events
        reads, decodes = (step_tables.listed(tables) for tables in self.costs)
        why = play(lists, reads, decodes, Piece(*(column.tolist() for column in piece)), final)
        for column, values in zip(self.world, lists, strict=True):
            column[:] = values
        return int(why)

    def _taken(self) -> Served:
        """Return what has ended since the last call."""
        w, count = self.world, int(self.world.tally[c.OUT])
        rows = w.result[: count * c.RESULT].reshape(count, c.RESULT).T.copy()
        times = w.times[: count * c.TIMES].reshape(count, c.TIMES).T.copy()
        w.tally[c.OUT] = 0
        self.counts += np.bincount(rows[c.R_STATUS], minlength=len(STATUS))
        decoder = self.instance_of[rows[c.R_DECODER] // c.GROUP_ROW]
        return Served(
            number=rows[c.R_NUMBER],
            status=rows[c.R_STATUS],
            arrival_s=times[c.T_ARRIVED],
            admitted_s=times[c.T_ADMITTED],
            first_token_s=times[c.T_FIRST],
            finish_s=times[c.T_ENDED],
            prompt_tokens=rows[c.R_PROMPT],
            output_tokens=rows[c.R_OUTPUT],
            hit_tokens=rows[c.R_HIT],
            preempted_count=rows[c.R_EVICTED],
            reader=self.instance_of[rows[c.R_READER] // c.GROUP_ROW],
            decoder=decoder,
        )

    def stop(self) -> Iterator[Served]:
        """Write down what is under way as cut off; yield it."""
        if self.world.tally[c.OUT]:  # makes room
            yield self._taken()
        ends: Callable[[World], None] = loop.cut_off
        ends(self.world)
        if self.world.tally[c.OUT]:
            yield self._taken()

    def answer(self, served: Served | None, *, interrupted: bool) -> Simulated:
        """Return what the simulation tells."""
        w, end = self.world, float(self.world.clock[c.NOW])
        spread: Callable[..., None] = series.spread
        up = _up_s(w, end, spread)
        bin_s = float(w.clock[c.BIN_S])
        rows = w.series.reshape(c.SERIES, c.BINS)[:, : int(end / bin_s) + 1]
        return Simulated(
            served=served,
            series={name: row / bin_s if name in MEANS else row.copy() for name, row in zip(SERIES, rows, strict=True)},
            bin_s=bin_s,
            makespan_s=end,
            counts={name: int(count) for name, count in zip(STATUS, self.counts, strict=True)},
            instances=_uses(self.fleet, w, up),
            events_count=int(w.tally[c.EVENTS]),
            engine="compiled" if self.compiled else "python",
            interrupted=interrupted,
            spans=self.spans() if len(w.log) else None,
        )

    def watch(self, begin_s: float, end_s: float) -> None:
        """Let what instances do in a window be written down, the first `SPANS_MOST` spans of it."""
        self.world = self.world._replace(log=np.zeros(SPANS_MOST * c.LOG))
        self.world.clock[c.LOG_FROM], self.world.clock[c.LOG_TO] = begin_s, end_s

    def spans(self) -> Spans:
        """Return what was written down."""
        rows = self.world.log[: int(self.world.tally[c.LOGGED]) * c.LOG].reshape(-1, c.LOG).T.copy()
        number = np.array([part.instance for part in units(self.fleet)], dtype=np.int64)
        return Spans(
            instance=number[rows[c.DOER].astype(np.int64) // c.INSTANCE],
            doing=rows[c.WHAT_DONE].astype(np.int64),
            begin_s=rows[c.SPAN_BEGIN],
            end_s=rows[c.SPAN_END],
            steps_count=rows[c.SPAN_STEPS].astype(np.int64),
            amount_count=rows[c.AMOUNT],
        )


def simulate(
    fleet: Fleet,
    stream: Trace | Iterable[Trace] | ClosedLoop,
    *,
    seed: int = 0,
    sink: Sink | None = None,
    engine: str = "auto",
    one_by_one: bool = False,
    window: tuple[float, float] | None = None,
) -> Simulated:
    """Return how a fleet serves a stream of requests.

    `sink` is handed each piece of results and none is kept, so memory does not grow with the stream. `seed`
    spreads sessions over groups. `one_by_one` takes
    decode steps one at a time, which changes nothing but the time it takes. An interrupt ends the simulation with what
    it has. `window`: from when to when what instances do is written down.

    Raises:
        ScenarioError: an engine that is not one of `ENGINES`.
    """
    if engine not in ENGINES:
        raise ScenarioError(f"unknown engine {engine!r}", where="engine", hint=f"one of {', '.join(ENGINES)}")
    closed = (stream.concurrency_count, stream.think_s) if isinstance(stream, ClosedLoop) else None
    requests = stream.requests if isinstance(stream, ClosedLoop) else stream
    pieces = pieces_of(requests) if isinstance(requests, Trace) else iter(requests)
    first = next(pieces, trace([], [], []))
    run = Run(fleet, closed, engine, first.block_tokens)
    run.world.tally[c.ONE_BY_ONE], run.world.tally[c.SEED] = one_by_one, seed
    if window is not None:
        run.watch(*window)
    kept: list[Served] = []
    take = kept.append if sink is None else sink
    interrupted = False
    try:
        for piece in chain([first], pieces):
            for part in run.play(piece, final=False):
                take(part)
        for part in run.play(trace([], [], []), final=True):
            take(part)
    except KeyboardInterrupt:
        interrupted = True
    for part in run.stop():
        take(part)
    return run.answer(joined(kept) if kept else None, interrupted=interrupted)


def _piece(requests: Trace) -> Piece:
    return Piece(
        arrival_s=np.array(requests.arrival_s, dtype=np.float64),
        prompt=np.array(requests.prompt_tokens, dtype=np.int64),
        output=np.array(requests.output_tokens, dtype=np.int64),
        session=np.array(requests.session, dtype=np.int64),
        block_start=np.array(requests.block_start, dtype=np.int64),
    )


def _instance_of(fleet: Fleet) -> columns.Whole:
    """Return the instance of each group, and -1 at the end, which is where -1 points."""
    found = [part.instance for part in units(fleet) for _ in range(part.groups)]
    return np.array([*found, -1], dtype=np.int64)


def _uses(fleet: Fleet, w: World, up: columns.Reals) -> tuple[InstanceUse, ...]:
    parts = list(units(fleet))
    found = []
    for number in range(parts[-1].instance + 1):
        mine = np.array([place for place, part in enumerate(parts) if part.instance == number])
        hour, count = mine * c.HOUR, mine * c.INSTANCE
        found.append(
            InstanceUse(
                up_s=float(up[mine].mean()),
                decode_s=float(w.hour[hour + c.BUSY].mean()),
                prompt_s=float(w.hour[hour + c.BUSY_READS].mean()),
                mixed_s=float(w.hour[hour + c.BUSY_MIXED].mean()),
                finished_count=int(w.instance[count + c.DONE].sum()),
                prompt_tokens=int(w.instance[count + c.READ_TOKENS].sum()),
                output_tokens=int(w.instance[count + c.MADE_TOKENS].sum()),
            )
        )
    return tuple(found)


def _up_s(w: World, end: float, spread: Callable[..., None]) -> columns.Reals:
    """Return the seconds that each instance has been up; the series gets those since it last came up."""
    found = w.hour[c.UP_S :: c.HOUR].copy()
    for place in np.flatnonzero(np.isin(w.instance[c.HEALTH :: c.INSTANCE], (c.UP, c.DRAINING))):
        since = float(w.hour[place * c.HOUR + c.UP_SINCE])
        found[place] += max(end - since, 0.0)
        spread(w, c.UP_COUNT, since, end, end - since)
    return found
