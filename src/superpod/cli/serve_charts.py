"""Charts of requests served one by one: over time, by percentile, and by rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from superpod.cli.line_chart import Line, Scale, line_chart
from superpod.cli.page import Block, Drawing
from superpod.cli.wording import duration
from superpod.units import percent, significant

if TYPE_CHECKING:
    from superpod.plan.serving.result import Outcome, RatePoint, Spread, Sweep, TrafficReport

LEAST_S = 1e-3
MINUTE_S = 60.0


def over_time(found: Outcome, *, changes: bool = False) -> tuple[Block, ...]:
    """Return requests, caches, arrivals and tokens over time, and instances up where their number `changes`."""
    unit, size = ("minutes", MINUTE_S) if found.span_s > 5 * MINUTE_S else ("seconds", 1.0)
    times = [(place + 0.5) * found.bin_s / size for place in range(len(found.series["in_flight"]))]
    across = Scale(label=unit, least=0.0, most=max(times, default=1.0))
    room = sum(use.capacity_tokens for use in found.pools) or 1.0
    series = found.series
    caches = [100.0 * value / room for value in series["memory_tokens"]]
    comes = [value / found.bin_s for value in series["arrivals"]]
    goes = [value / found.bin_s for value in series["finishes"]]
    made = [value / found.bin_s for value in series["output_tokens"]]
    up = (chart("Instances up", "instances", times, across, {"up": series["instances_up"]}),) if changes else ()
    return (
        *up,
        chart(
            "Requests under way",
            "requests",
            times,
            across,
            {"all": series["in_flight"], "waiting for memory": series["queued"]},
        ),
        chart("Caches of all pools", "% of their memory", times, across, {"caches": caches}),
        chart("Requests that come and that end", "requests/s", times, across, {"come": comes, "end": goes}),
        chart("Output of the requests that end", "token/s", times, across, {"output": made}),
    )


def chart(title: str, unit: str, xs: Sequence[float], across: Scale, columns: dict[str, Sequence[float]]) -> Drawing:
    """Return columns over one scale that starts at zero."""
    most = max((value for column in columns.values() for value in column), default=1.0) or 1.0
    up = Scale(label=unit, least=0.0, most=most)
    lines = [Line(label=name, points=tuple(zip(xs, column, strict=True))) for name, column in columns.items()]
    return Drawing(title=title, svg=line_chart(title, lines, across, up))


def distributions(report: TrafficReport) -> tuple[Block, ...]:
    """Return times by percentile, with their targets."""
    times = report.outcome.times
    return (
        percentiles(
            "Time to first token, by percentile",
            {"measured": times.ttft, "on an idle fleet": times.unloaded},
            report.ttft_target_s,
        ),
        percentiles("Time per output token, by percentile", {"TPOT": times.tpot}, report.tpot_target_s),
    )


def percentiles(title: str, spreads: dict[str, Spread], target_s: float) -> Drawing:
    """Return the curves of some times."""
    values = [value for spread in spreads.values() for value in spread.curve_s]
    least = max(min([*values, target_s]), LEAST_S) / 1.2
    up = Scale(label="seconds", least=least, most=max([*values, target_s]) * 1.2, log=True)
    lines = [
        Line(
            label=name,
            points=tuple((float(place + 1), max(value, least)) for place, value in enumerate(spread.curve_s)),
        )
        for name, spread in spreads.items()
    ]
    across = Scale(label="% of the requests are at most as late", least=0.0, most=100.0)
    return Drawing(title=title, svg=line_chart(title, lines, across, up, (("target", target_s),)))


def rate_charts(report: TrafficReport, sweep: Sweep) -> tuple[Block, ...]:
    """Return what the fleet does by rate: requests within targets, and throughput against the time of a token."""
    points = sweep.points
    rates = Scale(
        label="requests/s",
        least=min(item.offered_per_s for item in points) / 1.2,
        most=max(item.offered_per_s for item in points) * 1.2,
        log=True,
    )
    share = Scale(label="% within both targets", least=0.0, most=100.0)
    within = Line(
        label="within", points=tuple((item.offered_per_s, 100.0 * item.met_frac) for item in points), dots=tips(points)
    )
    wanted = (f"{percent(sweep.wanted_frac)}", 100.0 * sweep.wanted_frac)
    return (
        Drawing(
            title="Requests within both targets, by rate",
            svg=line_chart("Requests within both targets, by rate", [within], rates, share, (wanted,)),
        ),
        pareto(report, points),
    )


def pareto(report: TrafficReport, points: Sequence[RatePoint]) -> Drawing:
    """Return goodput a card against the time to a first token: what a stricter target costs."""
    title = "Output of requests within targets, by P90 of the time to first token"
    times = [max(item.ttft_p90_s, LEAST_S) for item in points]
    across = Scale(label="seconds to first token, P90", least=min(times) / 1.2, most=max(times) * 1.2, log=True)
    made = [item.goodput_tokens_card_per_s for item in points]
    up = Scale(label="token/s a card within targets", least=0.0, most=(max(made) or 1.0) * 1.1)
    line = Line(label="goodput", points=tuple(zip(times, made, strict=True)), dots=tips(points))
    return Drawing(title=title, svg=line_chart(title, [line], across, up))


def tips(points: Sequence[RatePoint]) -> tuple[str, ...]:
    """Return what each rate says under the pointer."""
    return tuple(
        f"{significant(item.offered_per_s)} requests/s: {percent(item.met_frac)} within targets, "
        f"TTFT P90 {duration(item.ttft_p90_s)}, TPOT P90 {duration(item.tpot_p90_s)}, {item.condition}"
        for item in points
    )
