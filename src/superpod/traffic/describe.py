"""Statistics of a stream of requests, exact and in memory that grows with distinct lengths and identities only."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from superpod.traffic.requests import NO_SESSION, Trace, Whole

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthStatistics:
    """Of the requests' prompts or answers; a percentile is the least length that so many do not pass."""

    mean_tokens: float
    p50_tokens: int
    p90_tokens: int
    p95_tokens: int
    p99_tokens: int
    most_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a stream of requests is like."""

    requests_count: int
    duration_s: float
    """From the first arrival to the last."""
    rate_per_s: float
    """Intervals over the time that they take; 0 below two arrivals at different times."""
    busiest_minute_per_s: float
    """Rate of the calendar minute (from time 0) with most arrivals."""
    interval_cv_ratio: float
    """Standard deviation of intervals over their mean."""
    prompt: LengthStatistics
    output: LengthStatistics
    sessions_count: int
    block_tokens: int
    distinct_blocks_count: int
    block_hit_frac: float
    """Share of prefix blocks that an earlier request read, in an unlimited cache; leading blocks only."""
    prompt_hit_frac: float
    """Share of all prompt tokens in such blocks."""


@dataclass(slots=True)
class Tally:
    """How often each length occurs."""

    values: Whole = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: Whole = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def add(self, lengths: Whole) -> None:
        """Count some lengths in."""
        values, counts = np.unique(lengths, return_counts=True)
        merged, place = np.unique(np.concatenate([self.values, values]), return_inverse=True)
        total = np.zeros(len(merged), dtype=np.int64)
        np.add.at(total, place, np.concatenate([self.counts, counts]))
        self.values, self.counts = merged, total

    def statistics(self) -> LengthStatistics:
        """Return the statistics; all 0 where nothing was counted."""
        if not len(self.values):
            return LengthStatistics(
                mean_tokens=0.0, p50_tokens=0, p90_tokens=0, p95_tokens=0, p99_tokens=0, most_tokens=0
            )
        reached = np.cumsum(self.counts)
        total = int(reached[-1])
        p50, p90, p95, p99 = (
            int(self.values[np.searchsorted(reached, -(-total * percent // 100))]) for percent in (50, 90, 95, 99)
        )
        mean = float(np.dot(self.values.astype(np.float64), self.counts)) / total
        return LengthStatistics(
            mean_tokens=mean,
            p50_tokens=p50,
            p90_tokens=p90,
            p95_tokens=p95,
            p99_tokens=p99,
            most_tokens=int(self.values[-1]),
        )


@dataclass(slots=True)
class Seen:
    """Which identities have come up."""

    flags: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def add(self, identities: Whole) -> npt.NDArray[np.bool_]:
        """Return which had come up before; then these have, too."""
        top = int(identities.max(initial=-1)) + 1
        if top > len(self.flags):
            self.flags = np.concatenate(
                [self.flags, np.zeros(max(top, 2 * len(self.flags)) - len(self.flags), np.bool_)]
            )
        before = self.flags[identities]
        self.flags[identities] = True
        return before

    @property
    def count(self) -> int:
        """Number of identities that have come up."""
        return int(self.flags.sum())


def prefix_hits(piece: Trace, seen: Seen) -> Whole:
    """Return each request's leading blocks that an earlier request had, and note the piece's blocks as seen."""
    sizes = np.diff(piece.block_start)
    row = np.repeat(np.arange(piece.requests_count), sizes)
    _, first, place = np.unique(piece.blocks, return_index=True, return_inverse=True)
    known = seen.add(piece.blocks) | (row[first][place] < row)
    missed = np.concatenate([[0], np.cumsum(~known)])
    leading = missed[1:] == missed[piece.block_start[:-1]][row]
    hits: Whole = np.bincount(row[leading], minlength=piece.requests_count)
    return hits


@dataclass(slots=True)
class Running:
    """Sums over the pieces so far."""

    requests: int = 0
    begin_s: float = 0.0
    last_s: float = 0.0
    gap_squares: float = 0.0
    minute: int = -1
    minute_requests: int = 0
    busiest: int = 0
    prompt: Tally = field(default_factory=Tally)
    output: Tally = field(default_factory=Tally)
    sessions: Seen = field(default_factory=Seen)
    blocks: Seen = field(default_factory=Seen)
    block_tokens: int = 0
    blocks_read: int = 0
    blocks_hit: int = 0
    prompt_read: int = 0
    prompt_hit: int = 0

    def add(self, piece: Trace) -> None:
        """Count a piece in."""
        if not piece.requests_count:
            return
        if not self.requests:
            self.begin_s = self.last_s = float(piece.arrival_s[0])
        gaps = np.diff(piece.arrival_s, prepend=self.last_s)
        self.gap_squares += float(np.dot(gaps, gaps))
        self.last_s = float(piece.arrival_s[-1])
        self.requests += piece.requests_count
        self.count_minutes(piece)
        self.prompt.add(piece.prompt_tokens)
        self.output.add(piece.output_tokens)
        self.sessions.add(piece.session[piece.session != NO_SESSION])
        self.prompt_read += int(piece.prompt_tokens.sum())
        if piece.block_tokens:
            self.block_tokens = piece.block_tokens
            hits = prefix_hits(piece, self.blocks)
            self.blocks_read += len(piece.blocks)
            self.blocks_hit += int(hits.sum())
            self.prompt_hit += int(np.minimum(hits * piece.block_tokens, piece.prompt_tokens).sum())

    def count_minutes(self, piece: Trace) -> None:
        """Count arrivals by the minute; the last one may go on in the next piece."""
        minutes, counts = np.unique(np.floor(piece.arrival_s / MINUTE_S).astype(np.int64), return_counts=True)
        if minutes[0] == self.minute:
            counts[0] += self.minute_requests
        self.busiest = max(self.busiest, int(counts.max()))
        self.minute, self.minute_requests = int(minutes[-1]), int(counts[-1])

    def described(self) -> Description:
        """Return the statistics so far."""
        duration = self.last_s - self.begin_s
        intervals = self.requests - 1
        timed = duration > 0
        mean = duration / intervals if timed else 0.0
        spread = max(self.gap_squares / intervals - mean * mean, 0.0) ** 0.5 if timed else 0.0
        return Description(
            requests_count=self.requests,
            duration_s=duration,
            rate_per_s=1 / mean if timed else 0.0,
            busiest_minute_per_s=self.busiest / MINUTE_S,
            interval_cv_ratio=spread / mean if timed else 0.0,
            prompt=self.prompt.statistics(),
            output=self.output.statistics(),
            sessions_count=self.sessions.count,
            block_tokens=self.block_tokens,
            distinct_blocks_count=self.blocks.count,
            block_hit_frac=self.blocks_hit / self.blocks_read if self.blocks_read else 0.0,
            prompt_hit_frac=self.prompt_hit / self.prompt_read if self.prompt_read else 0.0,
        )


def describe(stream: Iterable[Trace]) -> Description:
    """Return the statistics of a stream, which is used up."""
    running = Running()
    for piece in stream:
        running.add(piece)
    return running.described()
