"""Conversations: requests whose prompt is all that was said before, and some more."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.arrivals import Arrivals
from superpod.traffic.generate import check_bounds
from superpod.traffic.lengths import LONGEST, Distribution
from superpod.traffic.requests import PIECE, Reals, Trace, Whole, starts

BATCH = 4096
"""Sessions drawn at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Conversations of several turns.

    Turn k's prompt is the shared text (`shared_tokens`, the same of every session: a system prompt), all earlier
    questions and answers, and its own question of `question`; its answer is of `output`. Between the arrivals of two
    turns passes an exponential time of mean `think_s`, which holds the time of the answer too: arrivals do not
    wait for answers. A session ends before the turn that would pass `most_tokens`, prompt and answer together; a first
    turn always stands.

    Prefix blocks of `block_tokens` are those that the prompt fills; a session's are numbered in a row.
    """

    turns: Distribution
    question: Distribution
    output: Distribution
    think_s: float
    block_tokens: int
    shared_tokens: int = 0
    most_tokens: int = LONGEST

    def __post_init__(self) -> None:
        if not (math.isfinite(self.think_s) and self.think_s >= 0):
            raise TrafficError(f"think time {self.think_s} s; expected 0 or more", where="sessions")
        if self.block_tokens < 1 or self.shared_tokens < 0 or self.most_tokens < 1:
            raise TrafficError(
                f"blocks of {self.block_tokens}, {self.shared_tokens} shared, {self.most_tokens} tokens at most;"
                " expected 1, 0 and 1 or more",
                where="sessions",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Turns of sessions, one a row, before they are put in order."""

    arrival_s: Reals
    prompt_tokens: Whole
    output_tokens: Whole
    session: Whole
    first_block: Whole
    """Of the session's own blocks, those behind the shared ones."""

    def rows(self, picked: Whole) -> "Turns":
        """Return some rows in that order."""
        return Turns(**{name: getattr(self, name)[picked] for name in Turns.__slots__})

    def behind(self, other: "Turns") -> "Turns":
        """Return the rows of the other, then these."""
        return Turns(**{name: np.concatenate([getattr(other, name), getattr(self, name)]) for name in Turns.__slots__})


def conversations(
    arrivals: Arrivals,
    sessions: Sessions,
    *,
    seed: int,
    requests_count: int | None = None,
    duration_s: float | None = None,
) -> Iterator[Trace]:
    """Yield the turns of sessions that start at `arrivals`, in order of arrival; bounds as of `generated`.

    Memory grows with the sessions under way at a time, not with the stream.
    """
    check_bounds(requests_count, duration_s)
    limit_s = math.inf if duration_s is None else duration_s
    return bounded(in_order(arrivals, sessions, seed, limit_s), sessions, requests_count, limit_s)


def in_order(arrivals: Arrivals, sessions: Sessions, seed: int, limit_s: float) -> Iterator[Turns]:
    """Yield turns by arrival, until every further session starts at `limit_s` or later."""
    arrival_rng, turn_rng = np.random.default_rng(seed).spawn(2)
    waiting: Turns | None = None
    session, block = 0, sessions.shared_tokens // sessions.block_tokens
    for piece in arrivals.times(arrival_rng):
        for start in range(0, len(piece), BATCH):
            begins = piece[start : start + BATCH]
            made = drawn_turns(begins, sessions, turn_rng, session, block)
            session += len(begins)
            block = next_block(made, sessions, block)
            pool = made if waiting is None else made.behind(waiting)
            order = np.argsort(pool.arrival_s, kind="stable")
            ready = int(np.searchsorted(pool.arrival_s[order], begins[-1]))
            yield pool.rows(order[:ready])
            waiting = pool.rows(order[ready:])
            if begins[-1] >= limit_s:
                yield waiting
                return


def drawn_turns(begins: Reals, sessions: Sessions, rng: np.random.Generator, session: int, block: int) -> Turns:
    """Return every turn of the sessions that start at `begins`, session by session."""
    turns = sessions.turns.draw(rng, len(begins))
    first = starts(turns)
    total = int(first[-1])
    own = np.repeat(np.arange(len(begins)), turns)
    head = first[:-1][own]
    question, output = sessions.question.draw(rng, total), sessions.output.draw(rng, total)
    gaps = rng.standard_exponential(total) * sessions.think_s
    gaps[first[:-1]] = 0.0
    said = np.cumsum(question + output)
    before = said - question - output
    prompt = sessions.shared_tokens + before - before[head] + question
    later = np.cumsum(gaps)
    keep = (prompt + output <= sessions.most_tokens) | (np.arange(total) == head)
    kept = Turns(
        arrival_s=begins[own] + later - later[head],
        prompt_tokens=prompt,
        output_tokens=output,
        session=own,
        first_block=np.zeros(total, dtype=np.int64),
    ).rows(np.flatnonzero(keep))
    last = np.concatenate([np.flatnonzero(np.diff(kept.session)), [len(kept.session) - 1]])
    sizes = own_blocks(kept.prompt_tokens[last], sessions)
    return Turns(
        arrival_s=kept.arrival_s,
        prompt_tokens=kept.prompt_tokens,
        output_tokens=kept.output_tokens,
        session=kept.session + session,
        first_block=block + starts(sizes)[kept.session],
    )


def own_blocks(prompt_tokens: Whole, sessions: Sessions) -> Whole:
    """Return the full blocks of prompts behind those that all sessions share."""
    return prompt_tokens // sessions.block_tokens - sessions.shared_tokens // sessions.block_tokens


def next_block(turns: Turns, sessions: Sessions, block: int) -> int:
    """Return the first block that no session has had."""
    ends = turns.first_block + own_blocks(turns.prompt_tokens, sessions)
    return max(block, int(ends.max(initial=block)))


def bounded(stream: Iterator[Turns], sessions: Sessions, requests_count: int | None, limit_s: float) -> Iterator[Trace]:
    """Yield turns as traces up to a number and a time, in pieces of `PIECE` at most."""
    left = math.inf if requests_count is None else requests_count
    for turns in stream:
        stop = int(min(np.searchsorted(turns.arrival_s, limit_s), left))
        for start in range(0, stop, PIECE):
            yield as_trace(turns.rows(np.arange(start, min(start + PIECE, stop))), sessions)
        left -= stop
        if left == 0:
            return


def as_trace(turns: Turns, sessions: Sessions) -> Trace:
    """Return turns with their blocks written out: the shared ones, then the session's own."""
    shared = sessions.shared_tokens // sessions.block_tokens
    sizes = turns.prompt_tokens // sessions.block_tokens
    block_start = starts(sizes)
    within = np.arange(block_start[-1]) - np.repeat(block_start[:-1], sizes)
    blocks = np.where(within < shared, within, within - shared + np.repeat(turns.first_block, sizes))
    return Trace(
        arrival_s=turns.arrival_s,
        prompt_tokens=turns.prompt_tokens,
        output_tokens=turns.output_tokens,
        session=turns.session,
        block_start=block_start,
        blocks=blocks,
        block_tokens=sessions.block_tokens,
    )
