"""Columns of requests in order of arrival, and streams of them.

A stream is an iterator of pieces of at most `PIECE` requests whose arrivals continue from piece to piece, so that
tens of millions of requests pass through a few megabytes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.errors import TrafficError

Reals = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

PIECE = 100_000
"""Requests of a piece of a stream, at most."""

NO_SESSION = -1
"""Session of a request that stands alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Requests in order of arrival, one a row; checked when made.

    Prefix blocks: block `j` of request `i` is `blocks[block_start[i] + j]`, the prompt's tokens from
    `j * block_tokens` on. Two requests whose first `k` blocks are alike share a prefix of `k * block_tokens` tokens
    (a prompt's last block may be partly filled). An identity stands for all that comes before its block in a prompt
    too: it always follows the same one. Identities are dense from 0 over a whole stream.

    Raises:
        TrafficError: columns of different lengths, times that are not finite, below 0 or go backwards, lengths below 1,
            more blocks than a prompt has.
    """

    arrival_s: Reals
    prompt_tokens: Whole
    output_tokens: Whole
    session: Whole
    """Requests of a session share a prefix and a route; `NO_SESSION` where a request stands alone."""
    block_start: Whole
    """One entry more than requests; all 0 without prefixes."""
    blocks: Whole
    block_tokens: int = 0
    """Tokens of a block; 0 without prefixes."""

    def __post_init__(self) -> None:
        check_shapes(self)
        check_values(self)

    @property
    def requests_count(self) -> int:
        """Number of requests."""
        return len(self.arrival_s)

    def part(self, start: int, stop: int) -> "Trace":
        """Return the requests of rows `start` to `stop` (left out), identities unchanged."""
        first, last, _ = slice(start, stop).indices(self.requests_count)
        start_of = self.block_start[first : max(first, last) + 1]
        return Trace(
            arrival_s=self.arrival_s[first:last],
            prompt_tokens=self.prompt_tokens[first:last],
            output_tokens=self.output_tokens[first:last],
            session=self.session[first:last],
            block_start=start_of - start_of[0],
            blocks=self.blocks[start_of[0] : start_of[-1]],
            block_tokens=self.block_tokens,
        )

    def kept(self, keep: npt.NDArray[np.bool_]) -> "Trace":
        """Return the requests where `keep` is true, identities unchanged."""
        sizes = np.diff(self.block_start)
        return Trace(
            arrival_s=self.arrival_s[keep],
            prompt_tokens=self.prompt_tokens[keep],
            output_tokens=self.output_tokens[keep],
            session=self.session[keep],
            block_start=starts(sizes[keep]),
            blocks=self.blocks[np.repeat(keep, sizes)],
            block_tokens=self.block_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """Requests whose arrivals follow from the answers: a request is sent when an earlier one is finished.

    `concurrency_count` requests are sent at time 0 and each finish sends the next (after `think_s`), until all of
    `requests` have been sent; arrival times of `requests` have no meaning. The simulation has to hand the times in.
    """

    concurrency_count: int
    requests: Iterable[Trace]
    think_s: float = 0.0


def trace(
    arrival_s: npt.ArrayLike,
    prompt_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    session: npt.ArrayLike | None = None,
) -> Trace:
    """Return requests without prefixes.

    >>> trace([0.0, 0.5], [100, 200], [10, 20]).requests_count
    2
    """
    times = np.array(arrival_s, dtype=np.float64)
    return Trace(
        arrival_s=times,
        prompt_tokens=np.array(prompt_tokens, dtype=np.int64),
        output_tokens=np.array(output_tokens, dtype=np.int64),
        session=np.full(len(times), NO_SESSION) if session is None else np.array(session, dtype=np.int64),
        block_start=np.zeros(len(times) + 1, dtype=np.int64),
        blocks=np.zeros(0, dtype=np.int64),
    )


def starts(sizes: Whole) -> Whole:
    """Return where each of consecutive slices of these sizes starts, and where the last ends."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def joined(pieces: Iterable[Trace]) -> Trace:
    """Return a stream as one trace; its memory grows with the stream."""
    parts = list(pieces)
    if not parts:
        return trace([], [], [])
    return Trace(
        arrival_s=np.concatenate([part.arrival_s for part in parts]),
        prompt_tokens=np.concatenate([part.prompt_tokens for part in parts]),
        output_tokens=np.concatenate([part.output_tokens for part in parts]),
        session=np.concatenate([part.session for part in parts]),
        block_start=starts(np.concatenate([np.diff(part.block_start) for part in parts])),
        blocks=np.concatenate([part.blocks for part in parts]),
        block_tokens=max(part.block_tokens for part in parts),
    )


def pieces_of(whole: Trace, size: int = PIECE) -> Iterator[Trace]:
    """Yield a trace as a stream."""
    for start in range(0, whole.requests_count, size):
        yield whole.part(start, start + size)


def check_shapes(requests: Trace) -> None:
    """Raise where columns do not belong together."""
    rows = len(requests.arrival_s)
    lengths = {
        "prompt_tokens": len(requests.prompt_tokens),
        "output_tokens": len(requests.output_tokens),
        "session": len(requests.session),
        "block_start": len(requests.block_start) - 1,
    }
    for name, length in lengths.items():
        if length != rows:
            raise TrafficError(f"column {name} is of {length:,} requests, arrival_s of {rows:,}", where="trace")
    bad_start = requests.block_start[0] != 0 or requests.block_start[-1] != len(requests.blocks)
    if bad_start or (np.diff(requests.block_start) < 0).any():
        raise TrafficError("block_start must rise from 0 to the number of blocks", where="trace")
    if requests.block_tokens < 0 or (len(requests.blocks) and not requests.block_tokens):
        raise TrafficError(f"blocks need their tokens, got block_tokens {requests.block_tokens}", where="trace")


def check_values(requests: Trace) -> None:
    """Raise at the first request that cannot be."""
    good = np.isfinite(requests.arrival_s) & (requests.arrival_s >= 0.0)
    flag_first(~good, "arrival_s", requests.arrival_s, "a finite time of 0 or more")
    back = np.diff(requests.arrival_s, prepend=requests.arrival_s[:1]) < 0
    flag_first(back, "arrival_s", requests.arrival_s, "a time not before the request ahead of it")
    flag_first(requests.prompt_tokens < 1, "prompt_tokens", requests.prompt_tokens, "1 token or more")
    flag_first(requests.output_tokens < 1, "output_tokens", requests.output_tokens, "1 token or more")
    flag_first(requests.session < NO_SESSION, "session", requests.session, "0 or more, or -1 for none")
    if len(requests.blocks):
        sizes = np.diff(requests.block_start)
        room = -(-requests.prompt_tokens // requests.block_tokens)
        flag_first(sizes > room, "blocks", sizes, f"blocks of {requests.block_tokens} tokens that the prompt fills")
        flag_first(requests.blocks < 0, "blocks", requests.blocks, "identities from 0 on")


def flag_first(bad: npt.NDArray[np.bool_], name: str, column: npt.NDArray[Any], expected: str) -> None:
    """Raise for the first row where `bad` is true."""
    if bad.any():
        row = int(np.argmax(bad))
        raise TrafficError(f"{name} {column[row]}; expected {expected}", where=f"trace: request {row:,}")
