"""Requests drawn from the published rates and lengths of ServeGen's clients (https://arxiv.org/abs/2505.09999).

A folder holds for each client N `chunk-N-trace.csv`, without a header: start of a window in seconds, mean rate in
requests/s, CV of intervals, family of their distribution, two parameters; and `chunk-N-dataset.json`: by start of a
longer window the probabilities of lengths, each written as text such as `{45: 0.5, 46: 0.5}`. The text is taken apart,
never evaluated.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.columns import json_object
from superpod.traffic.lengths import LONGEST, Empirical, Lengths
from superpod.traffic.lines import lines_of
from superpod.traffic.requests import PIECE, Reals, Trace, Whole, pieces_of, trace

CHUNK = re.compile(r"chunk-(\d+)-trace\.csv")
FAMILIES = ("Gamma", "Weibull")
WINDOW_S = 600.0
"""Length of a window as published; stands only where a client has no other window to tell."""
MEDIA = ("image", "audio", "video")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One client's arrivals from `start_s` until the next window."""

    start_s: float
    span_s: float
    rate_per_s: float
    family: str
    shape_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Lengths of a client's requests in a window: probabilities by name of the field."""

    fields: Mapping[str, Empirical]

    def pairs(self, rng: np.random.Generator, count: int) -> tuple[Whole, Whole]:
        """Return prompts and answers; a prompt of several media is the sum of its parts, drawn one by one."""
        fields = self.fields
        output = fields["output_tokens"].draw(rng, count)
        if "input_tokens" in fields:
            return fields["input_tokens"].draw(rng, count), output
        prompt = fields["text_tokens"].plain(rng, count)
        for medium in MEDIA:
            if f"{medium}_tokens" in fields and f"{medium}_count" in fields:
                items = fields[f"{medium}_count"].plain(rng, count)
                each = fields[f"{medium}_tokens"].plain(rng, int(items.sum()))
                prompt = prompt + np.bincount(np.repeat(np.arange(count), items), each, count).astype(np.int64)
        return np.clip(prompt, 1, LONGEST), output


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One of the published clients."""

    number: int
    windows: Mapping[float, Window]
    """By their start; those without requests are left out."""
    lengths: Mapping[float, Published]
    """By start of the window from which they hold."""

    def lengths_at(self, start_s: float) -> Published | None:
        """Return the latest lengths published by then, else the first after; None where there are none."""
        earlier = [begin for begin in self.lengths if begin <= start_s]
        place = max(earlier) if earlier else min(self.lengths, default=None)
        return None if place is None else self.lengths[place]


def is_servegen(path: Path) -> bool:
    """Return whether a path is a folder with chunks."""
    return path.is_dir() and any(CHUNK.fullmatch(item.name) for item in path.iterdir())


def servegen(
    folder: Path,
    *,
    seed: int,
    start_s: float = 0.0,
    stop_s: float = math.inf,
    rate_factor: float = 1.0,
    lengths: Lengths | None = None,
) -> Iterator[Trace]:
    """Yield requests of all clients from `start_s` to `stop_s` (by start of window), times counted from `start_s`.

    A window's rate is a count over its length, so a client sends that count times `rate_factor` (rounded up or down at
    random, its mean kept); intervals have the published family and shape, scaled to fill the window. `lengths` stand in
    for clients that have none published.

    Raises:
        TrafficError: no ServeGen folder; a bad line; a client without lengths where no `lengths` are given.
    """
    if not (0 <= start_s < stop_s and rate_factor > 0 and math.isfinite(rate_factor)):
        raise TrafficError(
            f"from {start_s} s to {stop_s} s at {rate_factor} times the rate; expected rising times, a factor above 0",
            where=str(folder),
        )
    clients = read_clients(folder)
    without = [client.number for client in clients if client.windows and not client.lengths]
    if without and lengths is None:
        raise TrafficError(
            f"no lengths of clients {', '.join(map(str, without))}"[:200],
            where=str(folder),
            hint="add their chunk-N-dataset.json, or say which lengths stand in for them (--prompt and --output)",
        )
    return windows_drawn(clients, seed, start_s, stop_s, rate_factor, lengths)


def windows_drawn(
    clients: list[Client], seed: int, start_s: float, stop_s: float, rate_factor: float, lengths: Lengths | None
) -> Iterator[Trace]:
    """Yield all clients' requests window by window."""
    begins = sorted({begin for client in clients for begin in client.windows})
    rng = np.random.default_rng(seed)
    for begin in begins:
        if not start_s <= begin < stop_s:
            continue
        drawn = [
            client_drawn(client, begin, rate_factor, lengths, rng) for client in clients if begin in client.windows
        ]
        times, prompt, output = (np.concatenate([parts[column] for parts in drawn]) for column in range(3))
        order = np.argsort(times, kind="stable")
        yield from pieces_of(trace(times[order] + (begin - start_s), prompt[order], output[order]), PIECE)


def client_drawn(
    client: Client, begin: float, rate_factor: float, lengths: Lengths | None, rng: np.random.Generator
) -> tuple[Reals, Whole, Whole]:
    """Return times within a window, prompts and answers of one client."""
    window = client.windows[begin]
    span = window.span_s
    count = math.floor(window.rate_per_s * span * rate_factor + rng.random())
    gaps = intervals(window, count + 1, rng)
    times = np.cumsum(gaps)[:-1] * (span / gaps.sum())
    own = client.lengths_at(begin) or lengths
    if own is None:
        raise TrafficError(f"no lengths of client {client.number}", where="ServeGen")
    prompt, output = own.pairs(rng, count)
    return np.minimum(times, np.nextafter(span, 0)), prompt, output


def intervals(window: Window, count: int, rng: np.random.Generator) -> Reals:
    """Return intervals of the window's family and shape, in any unit."""
    if window.family == "Gamma":
        drawn: Reals = rng.standard_gamma(window.shape_factor, count)
    else:
        drawn = rng.weibull(window.shape_factor, count)
    return drawn + np.finfo(np.float64).tiny


def read_clients(folder: Path) -> list[Client]:
    """Return the clients of a folder by number.

    Raises:
        TrafficError: no chunks, a bad line, a bad length file.
    """
    if not folder.is_dir():
        raise TrafficError("no folder", where=str(folder), hint="a ServeGen folder holds chunk-N-trace.csv files")
    numbers = sorted(int(match[1]) for item in folder.iterdir() if (match := CHUNK.fullmatch(item.name)))
    if not numbers:
        raise TrafficError("no chunk-N-trace.csv in the folder", where=str(folder))
    return [
        Client(
            number=number,
            windows=read_windows(folder / f"chunk-{number}-trace.csv"),
            lengths=read_lengths(folder / f"chunk-{number}-dataset.json"),
        )
        for number in numbers
    ]


def read_windows(path: Path) -> dict[float, Window]:
    """Return a client's windows that have requests; each lasts until the next, the last as long as the one before."""
    rows = csv.reader(lines_of(path))
    try:
        windows = [as_window(row, f"{path}:{line}") for line, row in enumerate(rows, 1)]
    except csv.Error as error:
        raise TrafficError(f"no CSV: {error}", where=f"{path}:{rows.line_num}") from None
    begins = np.array([window.start_s for window in windows])
    spans = np.diff(begins)
    if (spans <= 0).any():
        line = int(np.argmax(spans <= 0)) + 2
        raise TrafficError(f"start {begins[line - 1]}; expected one after {begins[line - 2]}", where=f"{path}:{line}")
    lasting = [*spans.tolist(), spans[-1] if len(spans) else WINDOW_S]
    return {
        window.start_s: replace(window, span_s=span)
        for window, span in zip(windows, lasting[: len(windows)], strict=True)
        if window.rate_per_s > 0
    }


def as_window(row: list[str], where: str) -> Window:
    """Return a row as a window.

    Raises:
        TrafficError: another number of fields, no numbers, an unknown family, a shape that is not above 0.
    """
    try:
        start, rate, _, family, shape, _ = row
        window = Window(
            start_s=float(start), span_s=WINDOW_S, rate_per_s=float(rate), family=family, shape_factor=float(shape)
        )
    except ValueError:
        raise TrafficError(
            f"found {','.join(row)[:80]!r}; expected start, rate, CV, family and two parameters", where=where
        ) from None
    if not (0 <= window.rate_per_s < math.inf and 0 <= window.start_s < math.inf):
        raise TrafficError(f"start {start}, rate {rate}; expected 0 or more", where=where)
    if window.rate_per_s and not (family in FAMILIES and 0 < window.shape_factor < math.inf):
        raise TrafficError(
            f"family {family!r} with shape {shape}; expected {' or '.join(FAMILIES)} with a shape above 0", where=where
        )
    return window


def read_lengths(path: Path) -> dict[float, Published]:
    """Return a client's lengths by start of window; empty where there is no file, windows without any left out."""
    if not path.exists():
        return {}
    item = json_object("".join(lines_of(path)), str(path))
    found = {}
    for begin, fields in item.items():
        where = f"{path}: window {begin}"
        published = read_fields(fields, where)
        if published is not None:
            try:
                found[float(begin)] = published
            except ValueError:
                raise TrafficError("expected a start in seconds", where=where) from None
    return found


def read_fields(fields: Any, where: str) -> Published | None:
    """Return a window's distributions; None where one of them is empty."""
    if (
        not isinstance(fields, dict)
        or "output_tokens" not in fields
        or not {"input_tokens", "text_tokens"} & set(fields)
    ):
        raise TrafficError("expected output_tokens, and input_tokens or text_tokens", where=where)
    counted = {name: text for name, text in fields.items() if name.endswith(("_tokens", "_count"))}
    read = {name: probabilities(text, f"{where}: {name}") for name, text in counted.items()}
    if any(value is None for value in read.values()):
        return None
    return Published(fields={name: value for name, value in read.items() if value is not None})


def probabilities(text: Any, where: str) -> Empirical | None:
    """Return `{length: probability, ...}` as a distribution; None for `{}`.

    Raises:
        TrafficError: anything else.
    """
    try:
        body = text.strip().removeprefix("{").removesuffix("}").strip()
        if not body:
            return None
        pairs = [entry.split(":") for entry in body.split(",")]
        tokens = np.array([int(length) for length, _ in pairs], dtype=np.int64)
        weights = np.array([float(weight) for _, weight in pairs])
    except (AttributeError, ValueError, OverflowError):
        raise TrafficError(f"found {str(text)[:60]!r}; expected {{length: probability, ...}}", where=where) from None
    good = np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0
    if not good or tokens.min() < 0 or tokens.max() > LONGEST:
        raise TrafficError("expected lengths and probabilities of 0 or more, and one above 0", where=where)
    order = np.argsort(tokens, kind="stable")
    return Empirical(tokens=tokens[order], cumulated_frac=np.cumsum(weights[order]))
