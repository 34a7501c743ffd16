"""Traces read from files: recognised by their header or keys, streamed in bounded memory."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.arrivals import Arrivals
from superpod.traffic.columns import Columns, Rows, csv_rows, json_object, json_rows
from superpod.traffic.forms import RESULT, Form, recognised, unknown
from superpod.traffic.lines import LONGEST_LINE, lines_of
from superpod.traffic.requests import PIECE, Reals, Trace, pieces_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFile:
    """A file whose form is known."""

    path: Path
    form: Form
    timed: bool
    """Whether it has arrival times."""
    json: bool

    @property
    def note(self) -> str:
        """What a reader leaves out, in words; empty where nothing."""
        return f"requests without an answer are left out: {self.form.failed}" if self.form.failed else ""


class Clock:
    """Arrival times handed out in any number."""

    def __init__(self, arrivals: Arrivals, seed: int) -> None:
        self.times = arrivals.times(np.random.default_rng(seed))
        self.left: Reals = np.zeros(0)

    def take(self, count: int) -> Reals:
        """Return the next `count` times."""
        while len(self.left) < count:
            self.left = np.concatenate([self.left, next(self.times)])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def open_trace(path: Path) -> TraceFile:
    """Return a file's form from its first lines.

    Raises:
        TrafficError: a file that cannot be read, is empty, or is of no known form.
    """
    if path.is_dir():
        raise unknown("a folder; expected a file", str(path))
    lines = lines_of(path)
    first = next((line for line in lines if not line.isspace()), "")
    if not first:
        raise unknown("empty", str(path))
    if first.lstrip().startswith("{"):
        names = list(first_object(path, first, lines))
        form = recognised(names, str(path))
        return TraceFile(path=path, form=form, timed=form.arrival in names, json=True)
    if first.lstrip().startswith("["):
        raise unknown(f"a JSON list; found {first[:60].strip()!r}", str(path))
    try:
        names = [name.strip() for name in next(csv.reader([first], strict=True))]
    except csv.Error as error:
        raise unknown(f"no CSV header: {error}", f"{path}:1") from None
    form = recognised(names, f"{path}:1")
    if form is RESULT:
        raise unknown(f"no known form of trace; found {', '.join(names)}", f"{path}:1")
    return TraceFile(path=path, form=form, timed=form.arrival in names, json=False)


def first_object(path: Path, first: str, rest: Iterator[str]) -> dict[str, Any]:
    """Return the object of the first line, or of the whole file where it goes over several lines."""
    try:
        return json_object(first, f"{path}:1")
    except TrafficError:
        if first.rstrip() != "{":
            raise
    text, length = [first], len(first)
    for line in rest:
        text.append(line)
        length += len(line)
        if length > LONGEST_LINE:
            raise TrafficError(f"a JSON document of {LONGEST_LINE:,} characters or more", where=str(path))
    return json_object("".join(text), str(path))


def read_trace(path: Path, *, arrivals: Arrivals | None = None, seed: int = 0) -> Iterator[Trace]:
    """Yield the requests of a file; `arrivals` take the place of the file's own times, or stand in for them.

    Raises:
        TrafficError: at once for a file of no known form or without times where no `arrivals` are given; while
            reading for a line that is no request.
    """
    file = open_trace(path)
    if arrivals is None and not file.timed:
        raise TrafficError(
            f"only lengths, no {file.form.arrival!r}", where=str(path), hint="give the rate of arrivals (--rate)"
        )
    return result_pieces(file, arrivals, seed) if file.form is RESULT else row_pieces(file, arrivals, seed)


def row_pieces(file: TraceFile, arrivals: Arrivals | None, seed: int) -> Iterator[Trace]:
    """Yield the requests of a file with a row for each."""
    wanted = (*file.form.needed, *file.form.optional)
    clock = None if arrivals is None else Clock(arrivals, seed)
    columns = Columns(form=file.form)
    empty = True
    for rows in (json_rows if file.json else csv_rows)(file.path, wanted):
        empty = False
        yield columns.trace(rows, None if clock is None else clock.take(len(rows.lines)))
    if empty:
        raise TrafficError("no requests", where=str(file.path))


def result_pieces(file: TraceFile, arrivals: Arrivals | None, seed: int) -> Iterator[Trace]:
    """Yield the requests of a benchmark's result in order of their start; the file is held whole."""
    lines = lines_of(file.path)
    first = next(line for line in lines if not line.isspace())
    item = first_object(file.path, first, lines)
    form = file.form
    if any(not line.isspace() for line in lines):
        raise TrafficError("several results", where=f"{file.path}:2", hint="keep the line of one run")
    names = [form.prompt, form.output, *([form.arrival] if file.timed else [])]
    sizes = {name: len(item[name]) if isinstance(item[name], list) else -1 for name in names}
    count = sizes[form.prompt]
    if len(set(sizes.values())) != 1 or count < 1:
        raise TrafficError(f"{sizes}; expected lists of one length, 1 or more", where=str(file.path))
    table = {name: item[name] for name in names}
    if file.timed and arrivals is None and all(isinstance(time, int | float) for time in table[form.arrival]):
        order = sorted(range(count), key=table[form.arrival].__getitem__)
        table = {name: [column[row] for row in order] for name, column in table.items()}
    rows = Rows(path=file.path, lines=[1] * count, columns=table)
    clock = None if arrivals is None else Clock(arrivals, seed).take(count)
    yield from pieces_of(Columns(form=form).trace(rows, clock), PIECE)
