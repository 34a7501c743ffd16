"""Streams made from streams: other rates, windows, repetition."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.requests import NO_SESSION, Reals, Trace, Whole

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def stretched(stream: Iterator[Trace], factor: float) -> Iterator[Trace]:
    """Yield the same requests with every time `factor` times as late: the rate divided by it.

    Keeps every request, the mix of lengths, the CV of intervals and all prefix hits; the shape of a day becomes that
    of a longer or shorter day, and think times in sessions stretch as well.
    """
    check_factor(factor, "stretch", math.inf)
    for piece in stream:
        yield moved(piece, arrival_s=piece.arrival_s * factor)


def thinned(stream: Iterator[Trace], keep_frac: float, *, seed: int) -> Iterator[Trace]:
    """Yield a random share of the requests at their own times: the rate multiplied by `keep_frac`.

    Keeps the day's shape and think times; a session stays or goes whole, and of prefixes shared by requests without a
    session fewer are hit. Whether a request stays follows from the seed and its session (without one: its number).
    """
    check_factor(keep_frac, "share kept", 1.0)
    number = 0
    for piece in stream:
        rows = np.arange(number, number + piece.requests_count)
        number += piece.requests_count
        alone = piece.session == NO_SESSION
        draw = np.where(alone, shares(rows, 2 * seed), shares(piece.session, 2 * seed + 1))
        kept = piece.kept(draw < keep_frac)
        if kept.requests_count:
            yield kept


def window(stream: Iterator[Trace], start_s: float, stop_s: float) -> Iterator[Trace]:
    """Yield the requests from `start_s` to `stop_s` (left out), their times counted from `start_s`."""
    if not 0 <= start_s < stop_s:
        raise TrafficError(f"from {start_s} s to {stop_s} s; expected rising times from 0 on", where="window")
    for piece in stream:
        first, last = np.searchsorted(piece.arrival_s, [start_s, stop_s])
        part = piece.part(int(first), int(last))
        if part.requests_count:
            yield moved(part, arrival_s=part.arrival_s - start_s)
        if last < piece.requests_count:
            return


def first(stream: Iterator[Trace], requests_count: int) -> Iterator[Trace]:
    """Yield the first `requests_count` requests."""
    left = requests_count
    while left > 0 and (piece := next(stream, None)) is not None:
        part = piece.part(0, left)
        left -= part.requests_count
        yield part


def repeated(again: Callable[[], Iterator[Trace]], requests_count: int) -> Iterator[Trace]:
    """Yield a stream over and over until there are `requests_count` requests; `again` starts it anew.

    Sessions and prefix blocks of each turn have identities of their own: a turn hits nothing that an earlier one
    read. The next turn begins one mean interval after the last request of this one.

    Raises:
        TrafficError: a stream without requests.
    """
    left, begin_s, session, block = requests_count, 0.0, 0, 0
    while left > 0:
        turn, last_s, sessions, blocks = 0, 0.0, 0, 0
        for piece in again():
            if not piece.requests_count:
                continue
            part = piece.part(0, left - turn)
            turn += part.requests_count
            last_s = float(piece.arrival_s[-1])
            sessions = max(sessions, 1 + int(piece.session.max()))
            blocks = max(blocks, 1 + int(piece.blocks.max(initial=-1)))
            yield moved(
                part,
                arrival_s=part.arrival_s + begin_s,
                session=np.where(part.session == NO_SESSION, NO_SESSION, part.session + session),
                blocks=part.blocks + block,
            )
            if turn == left:
                return
        if not turn:
            raise TrafficError("no requests to repeat", where="traffic")
        left -= turn
        begin_s += last_s * (1 + 1 / turn)
        session, block = session + sessions, block + blocks


def moved(piece: Trace, *, arrival_s: Reals, session: Whole | None = None, blocks: Whole | None = None) -> Trace:
    """Return the same requests with other times and identities."""
    return Trace(
        arrival_s=arrival_s,
        prompt_tokens=piece.prompt_tokens,
        output_tokens=piece.output_tokens,
        session=piece.session if session is None else session,
        block_start=piece.block_start,
        blocks=piece.blocks if blocks is None else blocks,
        block_tokens=piece.block_tokens,
    )


def shares(keys: Whole, seed: int) -> Reals:
    """Return numbers spread evenly over 0 to 1 that follow from key and seed alone.

    The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    mixed = (keys.astype(np.uint64) + np.uint64(1)) * GOLDEN + start
    mixed = (mixed ^ (mixed >> np.uint64(30))) * MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX[1]
    mixed ^= mixed >> np.uint64(31)
    spread: Reals = (mixed >> np.uint64(11)) * 2.0**-53
    return spread


def check_factor(factor: float, name: str, most: float) -> None:
    """Raise for a factor that is not above 0, or above `most`."""
    if not (0 < factor <= most and math.isfinite(factor)):
        raise TrafficError(f"{name} {factor}; expected above 0 and at most {most}", where="traffic")
