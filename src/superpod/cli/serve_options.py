"""Options of a question with traffic: where requests come from, how they are taken, what is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from superpod.cli import options as shared
from superpod.cli.serve_operations import OPERATIONS, operations_of, operations_options
from superpod.plan.scenario import Serving, Traffic

GIVEN = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
ENGINES = ("vllm", "sglang", "trtllm")
ORDERS = ("mixed", "alternate", "prompts-first")
PREFIX_CACHES = ("off", "chips", "peers", "host", "disk")
ROUTERS = ("round-robin", "least-load", "prefix-aware", "sticky")
ASKED = ("trace", "rate", "lengths", "concurrency")
"""What makes a question one with traffic; the other options of this file go with one of them."""
GOES_WITH = (
    "requests",
    "speed",
    "seed",
    "disaggregate",
    "router",
    "schedule",
    "prefix_cache",
    "elastic",
    *OPERATIONS,
    "sweep",
    "out",
    "trace_window",
    "window",
)
TARGETS = ("ttft", "tpot")


class Slo(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Latency targets: ttft=2s,tpot=50ms."""

    name = "targets"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        """Return seconds by target; fail on anything else."""
        if isinstance(value, dict):
            return value
        found: dict[str, float] = {}
        for item in str(value).split(","):
            name, _, text = item.partition("=")
            seconds = shared.parse_duration(text)
            if name.strip() not in TARGETS or not seconds:
                self.fail(f"{item!r} is no target; write ttft=2s,tpot=50ms", param, ctx)
            found[name.strip()] = seconds
        return found


class Pools(click.ParamType):  # type: ignore[type-arg]  # as above
    """Cards of two pools: 192:192."""

    name = "pools"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return the cards that read prompts and those that decode; fail on anything else."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+):(\d+)", str(value).strip())
        if not match or not int(match[1]) or not int(match[2]):
            self.fail(
                f"{value!r} are no pools; write cards that read prompts and cards that decode: 192:192", param, ctx
            )
        return int(match[1]), int(match[2])


class Span(click.ParamType):  # type: ignore[type-arg]  # as above
    """A window of time: 100s:110s."""

    name = "window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Return begin and end; fail on anything else."""
        if isinstance(value, tuple):
            return value
        ends = [shared.parse_duration(text) for text in str(value).split(":")]
        if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] >= ends[1]:
            self.fail(f"{value!r} is no window; write FROM:TO, as 100s:110s", param, ctx)
        return float(ends[0]), float(ends[1])


def traffic_options(command: shared.Command) -> shared.Command:
    """Add the options of a question with traffic."""
    spot = click.Path(exists=True, path_type=Path)
    options = [
        click.option("--trace", type=spot, metavar="FILE", help="Serve the requests of a trace, one by one."),
        click.option("--rate", metavar="SPEC", help="Draw arrivals: 20, poisson:20, gamma:20,cv=2, diurnal:..."),
        click.option(
            "--lengths",
            type=(str, str),
            metavar="PROMPT OUTPUT",
            help="Draw lengths: fixed:1024, uniform:100-2000, lognormal:median=800,sigma=1.2; else --prompt, --output.",
        ),
        click.option("--concurrency", type=shared.COUNT, metavar="N", help="Keep N requests under way."),
        click.option("--requests", type=shared.COUNT, metavar="N", help="Serve N; a shorter trace is repeated."),
        click.option(
            "--speed",
            type=click.FloatRange(min=0.0, min_open=True),
            callback=shared.finite,
            default=1.0,
            show_default=True,
            metavar="FACTOR",
            help="Requests come this many times as fast.",
        ),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of draws."),
        click.option("--slo", type=Slo(), metavar="TARGETS", help="Both targets in one: ttft=2s,tpot=50ms."),
        click.option("--disaggregate", type=Pools(), metavar="P:D", help="Pin the cards of the two pools."),
        click.option("--router", type=click.Choice(ROUTERS), help="Who takes a request; else as prefixes are kept."),
        click.option("--schedule", type=click.Choice(ORDERS), help="Prompts and decode steps; else as the software."),
        click.option(
            "--prefix-cache",
            type=click.Choice(PREFIX_CACHES),
            default="chips",
            show_default=True,
            help="Prompts that begin alike are kept by chips, found by peers, in host memory, on disk.",
        ),
        *operations_options(),
        click.option("--elastic", is_flag=True, help="An instance that loses cards goes on, slower."),
        click.option("--sweep", is_flag=True, help="Also answer at other rates: what the machine could take."),
        click.option("--out", type=FILE, metavar="FILE", help="Write every request: .parquet, .csv or .csv.gz."),
        click.option("--trace-window", type=FILE, metavar="FILE", help="Write a window of the run for Perfetto."),
        click.option("--from", "source", type=GIVEN, metavar="FILE", help="Take the deployment of launch commands."),
        click.option(
            "--export",
            type=(click.Choice(ENGINES), FILE),
            metavar="ENGINE FILE",
            help=f"Write launch commands for {', '.join(ENGINES)}.",
        ),
        click.option("--window", type=Span(), metavar="FROM:TO", help="That window; else 10 s where most wait."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def has_traffic(options: Mapping[str, Any]) -> bool:
    """Return whether requests come one by one; a usage error for an option that only then means something."""
    if any(options[name] for name in ASKED):
        return True
    shared.refuse_given(GOES_WITH, "goes with --trace, --rate, --lengths or --concurrency")
    return False


def targeted(work: Serving, options: Mapping[str, Any]) -> Serving:
    """Return the work with the targets of --slo; a usage error for a target that is given twice."""
    targets = options["slo"] or {}
    shared.refuse_given(tuple(targets), "is in --slo too: give it once")
    return replace(work, **{f"{name}_s": seconds for name, seconds in targets.items()})


def traffic_of(options: Mapping[str, Any]) -> Traffic:
    """Return the traffic that the options describe."""
    if options["trace"] is not None or options["lengths"]:
        shared.refuse_given(("prompt", "output"), "is fixed for all; the requests have lengths of their own")
    prompt, output = options["lengths"] or ("", "")
    if options["trace"] is None and not prompt:
        prompt, output = str(options["prompt"]), str(options["output"])
    return Traffic(
        trace=str(options["trace"] or ""),
        rate=options["rate"] or "",
        prompt=prompt,
        output=output,
        concurrency_count=options["concurrency"] or 0,
        requests_count=options["requests"],
        rate_factor=options["speed"],
        seed=options["seed"],
        pools_cards=options["disaggregate"],
        order=options["schedule"] or "",
        router=options["router"] or "",
        prefix_cache=options["prefix_cache"],
        failures=options["fail"],
        elastic=options["elastic"],
        operations=operations_of(options),
        sweep=options["sweep"],
    )
