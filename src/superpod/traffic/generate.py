"""Streams of requests drawn from arrivals and lengths; the same seed gives the same requests."""

from collections.abc import Iterator
from itertools import repeat

import numpy as np

from superpod.errors import TrafficError
from superpod.traffic.arrivals import Arrivals
from superpod.traffic.lengths import Lengths
from superpod.traffic.requests import PIECE, ClosedLoop, Reals, Trace, trace


def generated(
    arrivals: Arrivals,
    lengths: Lengths,
    *,
    seed: int,
    requests_count: int | None = None,
    duration_s: float | None = None,
) -> Iterator[Trace]:
    """Yield requests until there are `requests_count`, or until `duration_s` (left out), whichever comes first.

    Arrivals and lengths draw from generators of their own: other arrivals leave the lengths as they were.

    Raises:
        TrafficError: neither a number nor a duration, or one below 0.
    """
    check_bounds(requests_count, duration_s)
    arrival_rng, length_rng = np.random.default_rng(seed).spawn(2)
    return drawn(arrivals.times(arrival_rng), lengths, length_rng, requests_count, duration_s)


def drawn(
    times: Iterator[Reals],
    lengths: Lengths,
    rng: np.random.Generator,
    requests_count: int | None,
    duration_s: float | None,
) -> Iterator[Trace]:
    """Yield requests at `times` with lengths drawn, up to the bounds."""
    left = requests_count
    for piece in times:
        prompt, output = lengths.pairs(rng, len(piece))
        stop = len(piece) if left is None else min(len(piece), left)
        if duration_s is not None:
            stop = min(stop, int(np.searchsorted(piece, duration_s)))
        if stop:
            yield trace(piece[:stop], prompt[:stop], output[:stop])
        left = None if left is None else left - stop
        if stop < len(piece) or left == 0:
            return


def closed_loop(
    concurrency_count: int, lengths: Lengths, *, seed: int, requests_count: int, think_s: float = 0.0
) -> ClosedLoop:
    """Return `requests_count` requests of which `concurrency_count` are under way at any time.

    Raises:
        TrafficError: a concurrency below 1, a number of requests below 0.
    """
    if concurrency_count < 1:
        raise TrafficError(f"concurrency {concurrency_count}; expected 1 or more", where="closed loop")
    check_bounds(requests_count, None)
    _, length_rng = np.random.default_rng(seed).spawn(2)
    requests = drawn(repeat(np.zeros(PIECE)), lengths, length_rng, requests_count, None)
    return ClosedLoop(concurrency_count=concurrency_count, requests=requests, think_s=think_s)


def check_bounds(requests_count: int | None, duration_s: float | None) -> None:
    """Raise where a stream would not end."""
    if requests_count is None and duration_s is None:
        raise TrafficError("no end", where="traffic", hint="give a number of requests or a duration")
    if requests_count is not None and requests_count < 0:
        raise TrafficError(f"{requests_count} requests; expected 0 or more", where="traffic")
    if duration_s is not None and not 0 <= duration_s < float("inf"):
        raise TrafficError(f"duration {duration_s} s; expected 0 or more", where="traffic")
