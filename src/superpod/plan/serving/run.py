"""One simulation of a fleet put into an outcome, and the fleet's time to a first token when it is idle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from superpod.plan.scenario import Serving
from superpod.plan.serving.result import Condition, Outcome, PoolUse
from superpod.plan.serving.search import Deployment
from superpod.plan.serving.tally import Reals, Tally
from superpod.plan.serving.traffic import Stream
from superpod.serve.simulation.answer import SERIES, InstanceUse, Served, Simulated
from superpod.serve.simulation.columns import FINISHED
from superpod.serve.simulation.fleet import Fleet, Pool
from superpod.serve.simulation.run import simulate
from superpod.traffic.requests import ClosedLoop, Trace, trace

APART_S = 1e5
"""Between requests that shall not meet: longer than any of them takes."""
LEFT_OVER_FRAC = 0.05
"""Of the arrivals of the second half: who leaves more behind is overloaded."""
Told = Callable[[int], None]
Sink = Callable[[Served], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The latency targets, and what a fleet can: time to a first token when idle, and requests that decode at once.

    `unloaded_s` goes by tokens of prompt; `room_count` is that of the steady state. `engine` runs the simulation: the
    plain one where there are so few requests that a compiler would not have started yet.
    """

    ttft_s: float
    tpot_s: float
    unloaded_s: Callable[[Reals], Reals]
    room_count: float
    engine: str = "auto"


def targets_of(fleet: Fleet, found: Deployment, work: Serving, engine: str = "auto") -> Targets:
    """Return targets with what the fleet does where requests come one at a time, between lengths on a straight line."""
    lengths = np.unique(np.rint(2.0 ** (np.arange(61) / 3.0)).astype(np.int64))
    alone = trace(np.arange(len(lengths)) * APART_S, lengths, np.full(len(lengths), 2))
    decode = None if fleet.decode is None else one_of(fleet.decode)
    single = replace(fleet, pool=one_of(fleet.pool), decode=decode, mishaps=())
    served = simulate(single, alone, engine=engine).served
    good = np.zeros(0, dtype=np.int64) if served is None else np.flatnonzero(served.status == FINISHED)
    known, times = np.ones(1), np.full(1, np.inf)
    if served is not None and len(good):
        known, times = served.prompt_tokens[good].astype(np.float64), served.ttft_s[good]
    layout = found.decode.layout
    return Targets(
        ttft_s=work.ttft_s,
        tpot_s=work.tpot_s,
        unloaded_s=lambda tokens: np.interp(tokens, known, times),
        room_count=float(found.decode.sequences * layout.data * layout.pipeline) * found.decode_instances,
        engine=engine,
    )


def one_of(pool: Pool) -> Pool:
    """Return a pool of one instance that is always up and refuses nobody."""
    return replace(pool, instances_count=1, scaler=None, queue_max_count=None, queue_max_s=None)


def outcome(
    fleet: Fleet,
    stream: Trace | Stream,
    targets: Targets,
    *,
    rate_factor: float = 1.0,
    told: Told | None = None,
    sink: Sink | None = None,
) -> Outcome:
    """Simulate a fleet; `told` hears how many requests have come, `sink` is handed those that have ended."""
    tally = Tally(ttft_target_s=targets.ttft_s, tpot_target_s=targets.tpot_s, unloaded_s=targets.unloaded_s)

    def take(served: Served) -> None:
        tally.add(served)
        if sink is not None:
            sink(served)

    found = simulate(fleet, heard(stream, told), sink=take, engine=targets.engine)
    return summed(fleet, found, tally, targets, rate_factor)


def heard(stream: Trace | Stream, told: Told | None) -> Trace | Stream:
    """Return a stream that tells how many of its requests have been taken."""
    if told is None or isinstance(stream, Trace):
        return stream
    if isinstance(stream, ClosedLoop):
        return replace(stream, requests=counted(iter(stream.requests), told))
    return counted(stream, told)


def counted(pieces: Iterator[Trace], told: Told) -> Iterator[Trace]:
    """Yield pieces and tell how many requests they held."""
    done = 0
    for piece in pieces:
        yield piece
        done += piece.requests_count
        told(done)


def summed(fleet: Fleet, found: Simulated, tally: Tally, targets: Targets, rate_factor: float) -> Outcome:
    """Return a simulation in numbers."""
    tally.stopped = found.interrupted
    begin = min(tally.first_s, tally.end_s)
    arriving = max(tally.last_s - begin, 1e-9)
    span = max(tally.end_s - begin, 1e-9)
    ended, finished = max(tally.ended, 1), int(tally.counts[FINISHED])
    uses = pool_uses(fleet, found, decoding(tally) / span, targets.room_count)
    room = sum(use.capacity_tokens for use in uses)
    held = found.series["memory_tokens"] / room if room else np.zeros(1)
    return Outcome(
        condition=condition_of(found, tally),
        rate_factor=rate_factor,
        offered_per_s=float(tally.counts.sum() - 1) / arriving if tally.last_s > begin else 0.0,
        served_per_s=finished / span,
        goodput_per_s=tally.met["both"] / span,
        goodput_tokens_per_s=tally.good_tokens / span,
        output_tokens_per_s=tally.output_tokens / span,
        prompt_tokens_per_s=tally.prompt_tokens / span,
        span_s=span,
        arrived_count=tally.ended,
        counts=dict(found.counts),
        met_frac=tally.met["both"] / ended,
        ttft_met_frac=tally.met["ttft"] / ended,
        tpot_met_frac=tally.met["tpot"] / ended,
        hit_frac=tally.hit_tokens / max(tally.prompt_tokens, 1),
        preempted_count=tally.preempted,
        times=tally.all_times(),
        causes=tally.causes(),
        classes=tally.length_classes(),
        pools=uses,
        cache_peak_frac=float(held.max(initial=0.0)),
        cache_mean_frac=float(held.mean()) if len(held) else 0.0,
        transfer_frac=transfer_share(fleet, found, span),
        bin_s=found.bin_s,
        series={name: tuple(float(value) for value in found.series[name]) for name in SERIES},
        interrupted=found.interrupted,
        engine=found.engine,
    )


def decoding(tally: Tally) -> float:
    """Return the seconds from first to last token, of all requests together."""
    return tally.times["latency"].total_s - tally.times["ttft"].total_s


def pool_uses(fleet: Fleet, found: Simulated, held: float, room: float) -> tuple[PoolUse, ...]:
    """Return what each pool did."""
    if fleet.decode is None:
        return (pool_use("all", fleet.pool, found, (0, fleet.pool.most_count), (held, room)),)
    first, last = fleet.pool.most_count, fleet.pool.most_count + fleet.decode.most_count
    return (
        pool_use("prefill", fleet.pool, found, (0, first), (0.0, 0.0)),
        pool_use("decode", fleet.decode, found, (first, last), (held, room)),
    )


def pool_use(name: str, pool: Pool, found: Simulated, span: tuple[int, int], held: tuple[float, float]) -> PoolUse:
    """Return what the instances of a pool, from one to another, did together; `held`: requests at a time, and room."""
    uses: tuple[InstanceUse, ...] = found.instances[slice(*span)]
    up = max(sum(use.up_s for use in uses), 1e-9)
    costs = pool.costs
    return PoolUse(
        name=name,
        instances_count=pool.most_count,
        ranks_count=costs.ranks_count,
        decode_frac=sum(use.decode_s for use in uses) / up,
        prompt_frac=sum(use.prompt_s for use in uses) / up,
        mixed_frac=sum(use.mixed_s for use in uses) / up,
        capacity_tokens=costs.capacity_tokens * costs.groups_count * pool.most_count,
        held_count=held[0],
        room_count=held[1],
        up_frac=up / max(found.makespan_s * len(uses), 1e-9),
    )


def transfer_share(fleet: Fleet, found: Simulated, span_s: float) -> float:
    """Return the bytes of caches over what the links into all decode instances carry in that time."""
    if fleet.decode is None or fleet.transfer is None:
        return 0.0
    room = fleet.transfer.bytes_per_s * fleet.decode.most_count * span_s
    return float(found.series["transfer_bytes"].sum()) / room


def condition_of(found: Simulated, tally: Tally) -> Condition:
    """Return whether the fleet keeps up.

    Overloaded: what is under way when arrivals end, over what Little's law makes of it half way at the rate of the
    end, is more than a twentieth of the requests that came in the second half; or half of the requests wait longer than
    all arrivals took, where those are too short a part of the run to tell. Backlogged: not that, but requests wait
    longer in the mean than an idle fleet takes to their first token.
    """
    if overloaded(found, tally):
        return "overloaded"
    times = tally.times
    return "backlogged" if times["waiting"].total_s > times["unloaded"].total_s else "stable"


def overloaded(found: Simulated, tally: Tally) -> bool:
    """Return whether what is under way grows through the second half of the arrivals."""
    first, last = (int(time / found.bin_s) for time in (min(tally.first_s, tally.last_s), tally.last_s))
    length = last - first
    if length < 10:  # bins are too wide to see it grow
        return tally.times["waiting"].spread().p50_s > tally.last_s - tally.first_s > 0.0
    tenth, middle = length // 10, first + length // 2
    inside, arrivals = found.series["in_flight"], found.series["arrivals"]
    half, end = slice(middle - tenth, middle), slice(last - tenth, last)
    rates = [max(float(arrivals[part].mean()), 1e-12) for part in (half, end)]
    grown = float(inside[end].mean()) - float(inside[half].mean()) * max(rates[1] / rates[0], 1.0)
    return grown > LEFT_OVER_FRAC * float(arrivals[middle:last].sum()) and grown > 1.0
