"""Rows of a file turned into columns of numbers, a piece at a time; a bad one is named by its line."""

import csv
import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.errors import TrafficError
from superpod.traffic.forms import CALENDAR_S, Form
from superpod.traffic.lengths import LONGEST
from superpod.traffic.lines import lines_of
from superpod.traffic.requests import NO_SESSION, PIECE, Reals, Trace, Whole, starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a file: the line of each, and the entries of each named column."""

    path: Path
    lines: list[int]
    columns: dict[str, list[Any]]

    def fault(self, row: int, message: str, hint: str = "") -> TrafficError:
        """Return the error of a row."""
        return TrafficError(message, where=f"{self.path}:{self.lines[row]}", hint=hint)

    def refuse(self, bad: npt.NDArray[np.bool_], name: str, expected: str, hint: str = "") -> None:
        """Raise for the first bad row."""
        if bad.any():
            row = int(np.argmax(bad))
            raise self.fault(row, f"{name} {self.columns[name][row]}; expected {expected}", hint)


def csv_rows(path: Path, wanted: tuple[str, ...]) -> Iterator[Rows]:
    """Yield the wanted columns of a CSV file with a header, `PIECE` rows at a time."""
    reader = csv.reader(lines_of(path), strict=True)
    try:
        header = [name.strip() for name in next(row for row in reader if row)]
        places = {name: header.index(name) for name in wanted if name in header}
        rows: list[list[str]] = []
        lines: list[int] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise TrafficError(
                    f"{len(row)} fields; expected {len(header)}: {', '.join(header)}", where=f"{path}:{reader.line_num}"
                )
            rows.append(row)
            lines.append(reader.line_num)
            if len(rows) == PIECE:
                yield Rows(path=path, lines=lines, columns=picked(rows, places))
                rows, lines = [], []
        if rows:
            yield Rows(path=path, lines=lines, columns=picked(rows, places))
    except csv.Error as error:
        raise TrafficError(f"no CSV: {error}", where=f"{path}:{reader.line_num}") from None


def picked(rows: list[list[str]], places: dict[str, int]) -> dict[str, list[Any]]:
    """Return columns of rows."""
    return {name: [row[place] for row in rows] for name, place in places.items()}


def json_rows(path: Path, wanted: tuple[str, ...]) -> Iterator[Rows]:
    """Yield the wanted keys of a file of JSON lines, `PIECE` rows at a time; those of the first line are in all."""
    names: list[str] = []
    columns: dict[str, list[Any]] = {}
    lines: list[int] = []
    for number, line in enumerate(lines_of(path), 1):
        if line.isspace():
            continue
        item = json_object(line, f"{path}:{number}")
        names = names or [name for name in wanted if name in item]
        if not columns:
            columns = {name: [] for name in names}
        for name in names:
            if name not in item:
                raise TrafficError(f"no {name!r}; expected {', '.join(names)}", where=f"{path}:{number}")
            columns[name].append(item[name])
        lines.append(number)
        if len(lines) == PIECE:
            yield Rows(path=path, lines=lines, columns=columns)
            columns, lines = {}, []
    if lines:
        yield Rows(path=path, lines=lines, columns=columns)


def json_object(text: str, where: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        TrafficError: no JSON, or no object.
    """
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrafficError(f"no JSON: {error}; found {text[:60].strip()!r}", where=where) from None
    if not isinstance(item, dict):
        raise TrafficError(f"found {text[:60].strip()!r}; expected a JSON object", where=where)
    return item


@dataclass(slots=True, kw_only=True)
class Columns:
    """Turns rows of one file into traces; remembers the file's last time, and its sessions and blocks by name."""

    form: Form
    first_s: float | None = None
    first_date: np.datetime64 | None = None
    last_s: float = -np.inf
    sessions: dict[Hashable, int] = field(default_factory=dict)
    blocks: dict[Hashable, int] = field(default_factory=dict)

    def trace(self, rows: Rows, clock: "Reals | None" = None) -> Trace:
        """Return rows as a trace; `clock` stands for the times that the file lacks.

        Raises:
            TrafficError: a row that is no request.
        """
        form = self.form
        prompt = lengths(rows, form.prompt, 1)
        output = lengths(rows, form.output, 0 if form.failed else 1)
        arrival = self.arrivals(rows) if clock is None else clock
        sizes, blocks = self.prefixes(rows, prompt)
        made = Trace(
            arrival_s=arrival,
            prompt_tokens=prompt,
            output_tokens=np.maximum(output, 1),
            session=self.named(rows),
            block_start=starts(sizes),
            blocks=blocks,
            block_tokens=form.block_tokens if form.blocks in rows.columns else 0,
        )
        return made.kept(output > 0) if form.failed else made

    def arrivals(self, rows: Rows) -> Reals:
        """Return arrival times, checked against the rows before."""
        form = self.form
        times = self.dates(rows) if form.unit_s == CALENDAR_S else numbers(rows, form.arrival) * form.unit_s
        if form.from_first and form.unit_s != CALENDAR_S:
            self.first_s = float(times[0]) if self.first_s is None else self.first_s
            times = times - self.first_s
        before = np.concatenate([[self.last_s], times[:-1]])
        rows.refuse(
            times < before, form.arrival, "a time not before the line ahead of it", "sort the file by time of arrival"
        )
        rows.refuse(times < 0.0, form.arrival, "a time of 0 or more")
        self.last_s = float(times[-1])
        return times

    def dates(self, rows: Rows) -> Reals:
        """Return seconds since the file's first date."""
        name = self.form.arrival
        texts = [str(text).strip().removesuffix("+00:00").removesuffix("Z") for text in rows.columns[name]]
        rows.refuse(
            np.array([not date_like(text) for text in texts]),
            name,
            "a date and time in UTC such as 2023-11-16 18:17:03.97",
        )
        try:
            dates = np.array(texts, dtype="datetime64[ns]")
        except ValueError:
            rows.refuse(np.array([not is_date(text) for text in texts]), name, "a date and time in UTC")
            raise
        self.first_date = dates[0] if self.first_date is None else self.first_date
        return (dates - self.first_date) / np.timedelta64(1, "s")

    def named(self, rows: Rows) -> Whole:
        """Return sessions numbered from 0 as they first appear; blank and -1 are none."""
        if self.form.session not in rows.columns:
            return np.full(len(rows.lines), NO_SESSION, dtype=np.int64)
        known = self.sessions
        try:
            return np.array(
                [
                    NO_SESSION if name in {"", "-1", -1, None} else known.setdefault(name, len(known))
                    for name in rows.columns[self.form.session]
                ],
                dtype=np.int64,
            )
        except TypeError:
            bad = np.array([isinstance(name, list | dict) for name in rows.columns[self.form.session]])
            rows.refuse(bad, self.form.session, "a name or number")
            raise

    def prefixes(self, rows: Rows, prompt: Whole) -> tuple[Whole, Whole]:
        """Return each request's number of blocks, and all blocks numbered from 0 as they first appear."""
        name, known = self.form.blocks, self.blocks
        if name not in rows.columns:
            return np.zeros(len(rows.lines), dtype=np.int64), np.zeros(0, dtype=np.int64)
        column = rows.columns[name]
        rows.refuse(np.array([not block_list(item) for item in column]), name, "a list of numbers or names")
        sizes = np.array(list(map(len, column)), dtype=np.int64)
        room = -(-prompt // self.form.block_tokens)
        if (sizes > room).any():
            row = int(np.argmax(sizes > room))
            raise rows.fault(
                row, f"{name} of {sizes[row]} blocks; expected {room[row]} at most for {prompt[row]} tokens"
            )
        blocks = []
        for row in column:
            last = NO_SESSION
            for item in row:  # a block is one where all before it are too, even if the file hashes each alone
                last = known.setdefault((last, item), len(known))
                blocks.append(last)
        return sizes, np.array(blocks, dtype=np.int64)


def numbers(rows: Rows, name: str) -> Reals:
    """Return a column of finite numbers."""
    column = rows.columns[name]
    try:
        values = np.array(list(map(float, column)))
    except (ValueError, TypeError, OverflowError):
        rows.refuse(np.array([not is_number(item) for item in column]), name, "a number")
        raise
    rows.refuse(~np.isfinite(values), name, "a finite number")
    return values


def lengths(rows: Rows, name: str, least: int) -> Whole:
    """Return a column of whole numbers of tokens."""
    values = numbers(rows, name)
    bad = (values < least) | (values > LONGEST) | (values != np.floor(values))
    rows.refuse(bad, name, f"a whole number of tokens from {least} on")
    return values.astype(np.int64)


def is_number(item: object) -> bool:
    """Return whether an entry can be read as a number."""
    try:
        float(item)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def date_like(text: str) -> bool:
    """Return whether a text has the length of a date with its time, and names no zone."""
    return len(text) >= len("2023-11-16 18:17:03") and "+" not in text and "-" not in text[len("2023-11-16") :]


def is_date(text: str) -> bool:
    """Return whether a text can be read as a date."""
    try:
        np.datetime64(text, "ns")
    except ValueError:
        return False
    return True


def block_list(item: object) -> bool:
    """Return whether an entry is a list of names of blocks."""
    return isinstance(item, list) and {int, str}.issuperset(map(type, item))
