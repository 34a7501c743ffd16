"""The requests of a question with traffic: read or drawn, at any rate, as often as they are needed."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from superpod.errors import ScenarioError
from superpod.plan.scenario import Serving, Traffic
from superpod.traffic.describe import Description, describe
from superpod.traffic.generate import closed_loop, generated
from superpod.traffic.lengths import Independent
from superpod.traffic.read import read_trace
from superpod.traffic.requests import ClosedLoop, Trace, pieces_of
from superpod.traffic.reshape import repeated, stretched
from superpod.traffic.servegen import is_servegen, servegen
from superpod.traffic.words import arrivals_of, distribution_of

DRAWN = 10_000
"""Requests drawn where nobody says how many."""
STRIDE = 2_000
"""Requests handed over at a time: often enough for a bar to move and for an interrupt to be noticed."""
DESCRIBED = 100_000
"""Requests by which a stream is described."""

Stream = Iterator[Trace] | ClosedLoop


def check_traffic(traffic: Traffic) -> None:
    """Raise ScenarioError where nothing says when requests come or how long they are, or two things do."""
    drawn = bool(traffic.prompt or traffic.output)
    if not traffic.trace and not (traffic.prompt and traffic.output):
        raise ScenarioError("nothing says how long requests are", where="traffic", hint="--trace FILE or --lengths")
    if traffic.trace and drawn:
        raise ScenarioError("a trace has lengths of its own", where="--lengths", hint="leave out --lengths or --trace")
    if traffic.concurrency_count and (traffic.trace or traffic.rate):
        raise ScenarioError(
            "a closed loop sends a request when another ends", where="--concurrency", hint="give --lengths alone"
        )
    if not (traffic.trace or traffic.rate or traffic.concurrency_count):
        raise ScenarioError("nothing says when requests come", where="traffic", hint="--rate or --concurrency")


def requests_of(traffic: Traffic, rate_factor: float = 1.0) -> Stream:
    """Return the requests from their start, `rate_factor` times as fast as asked.

    Raises:
        TrafficError: a file or a word that cannot be read.
    """
    factor = traffic.rate_factor * rate_factor
    if traffic.concurrency_count:
        loop = closed_loop(
            max(round(traffic.concurrency_count * factor), 1),
            lengths_of(traffic),
            seed=traffic.seed,
            requests_count=traffic.requests_count or DRAWN,
        )
        return replace(loop, requests=strides(iter(loop.requests)))
    return strides(at_rate(drawn_or_read(traffic), factor))


def drawn_or_read(traffic: Traffic) -> Iterator[Trace]:
    """Return the requests as asked; a trace that is too short is repeated."""
    if not traffic.trace:
        count = traffic.requests_count or DRAWN
        return generated(
            arrivals_of(traffic.rate, "--rate"), lengths_of(traffic), seed=traffic.seed, requests_count=count
        )
    if traffic.requests_count is None:
        return read(traffic)
    return repeated(lambda: read(traffic), traffic.requests_count)


def read(traffic: Traffic) -> Iterator[Trace]:
    """Return the requests of a file or folder, at times of its own or at the rate asked for."""
    path = Path(traffic.trace)
    if is_servegen(path):
        return servegen(path, seed=traffic.seed)
    arrivals = arrivals_of(traffic.rate, "--rate") if traffic.rate else None
    return read_trace(path, arrivals=arrivals, seed=traffic.seed)


def lengths_of(traffic: Traffic) -> Independent:
    """Return the lengths that are asked for in words."""
    return Independent(
        prompt=distribution_of(traffic.prompt, "--lengths: prompt"),
        output=distribution_of(traffic.output, "--lengths: output"),
    )


def at_rate(stream: Iterator[Trace], factor: float) -> Iterator[Trace]:
    """Return a stream whose requests come `factor` times as fast."""
    return stream if factor == 1.0 else stretched(stream, 1.0 / factor)


def strides(stream: Iterator[Trace]) -> Iterator[Trace]:
    """Yield a stream in small pieces."""
    for piece in stream:
        yield from pieces_of(piece, STRIDE)


def described(traffic: Traffic) -> Description:
    """Return the statistics of the requests, from the first hundred thousand."""
    stream = requests_of(traffic)
    if isinstance(stream, ClosedLoop):
        stream = iter(stream.requests)
    return describe(islice(stream, DESCRIBED // STRIDE))


def mean_work(work: Serving, traffic: Description) -> Serving:
    """Return the steady-state work whose requests are the traffic's mean ones."""
    return replace(
        work,
        prompt_tokens=max(round(traffic.prompt.mean_tokens), 1),
        output_tokens=max(round(traffic.output.mean_tokens), 1),
    )
