"""Options of how a fleet is run: scaling, refusals, preemption, failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import click

from superpod.cli import options as shared
from superpod.plan.operations import Autoscale, Failure, Operations

OPERATIONS = ("autoscale", "queue_limit", "preemption", "fail")
"""The options of this file."""
MEASURES = ("busy", "memory", "queue")
POOLS = ("prefill", "decode")
RULE = "queue=2,from=1,to=8,every=10s,delay=60s"


class FailureAt(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """What fails: 17@10min, 16-23@10min+5min where it comes back, tray:3@10min, plane:2@10min."""

    name = "failure"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Failure:
        """Return the failure; fail on anything else."""
        if isinstance(value, Failure):
            return value
        form = r"(?:(\d+)(?:-(\d+))?|([a-z][\w-]*:(?:[\w-]+:)?\d+))@([^+]+)(?:\+(.+))?"
        match = re.fullmatch(form, str(value).strip())
        at, down = (shared.parse_duration(match[place] or "") if match else None for place in (4, 5))
        if match is None or at is None or (match[5] and not down):
            text = f"{value!r} is no failure; write WHAT@TIME or WHAT@TIME+DOWN: 16-23@10min+5min, tray:3@10min"
            self.fail(text, param, ctx)
        made = Failure(at_s=at)
        if match[3]:
            made = replace(made, name=match[3])
        else:
            made = replace(made, first_count=int(match[1]), last_count=int(match[2] or match[1]))
        return replace(made, down_s=down) if down else made


class Rule(click.ParamType):  # type: ignore[type-arg]  # as above
    """How instances follow their load: queue=2,from=1,to=8,every=10s,delay=60s,pool=decode."""

    name = "rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Autoscale:
        """Return the rule; fail on anything else."""
        if isinstance(value, Autoscale):
            return value
        parts = [item.partition("=")[::2] for item in str(value).split(",")]
        given = {name.strip(): text.strip() for name, text in parts}
        measures = [name for name in given if name in MEASURES]
        if len(given) < len(parts) or len(measures) != 1:
            text = f"{value!r} names not one of {', '.join(MEASURES)}, or something twice; write {RULE}"
            self.fail(text, param, ctx)
        words: dict[str, Any] = {"measure": measures[0], "target_ratio": positive(given.pop(measures[0]))}
        for name, text in given.items():
            if name not in WORDS:
                self.fail(f"{name!r} is no part of a rule; write {RULE},pool=decode", param, ctx)
            field, read = WORDS[name]
            words[field] = read(text)
        wrong = next((name for name, found in words.items() if found is None), None)
        if wrong is not None:
            self.fail(f"cannot read {value!r}: {wrong.rpartition('_')[0] or wrong}; write {RULE}", param, ctx)
        return Autoscale(**words)


def positive(text: str) -> float | None:
    """Return a number over 0, None for anything else; a share may be written in per cent."""
    try:
        found = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        return None
    return found if 0.0 < found < float("inf") else None


def counted(text: str) -> int | None:
    """Return a whole number from 1 up, None for anything else."""
    return int(text) if text.isdecimal() and int(text) else None


def lasting(text: str) -> float | None:
    """Return a time over 0, None for anything else."""
    return shared.parse_duration(text) or None


WORDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "from": ("fewest_count", counted),
    "to": ("most_count", counted),
    "every": ("every_s", lasting),
    "delay": ("delay_s", shared.parse_duration),
    "pool": ("pool", lambda text: text if text in POOLS else None),
}


class QueueLimit(click.ParamType):  # type: ignore[type-arg]  # as above
    """Who is refused: behind 32 others, or after a wait of 5s."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Return a number of requests, or, as a fraction, seconds; fail on anything else."""
        if isinstance(value, int | float):
            return value
        text = str(value).strip()
        if counted(text):
            return int(text)
        seconds = None if text.isdecimal() else lasting(text)
        if seconds is None:
            self.fail(f"{value!r} is no limit; write a number of requests, 32, or a time with its unit, 5s", param, ctx)
        return float(seconds)


def operations_options() -> list[Callable[[shared.Command], shared.Command]]:
    """Return the options of how a fleet is run."""
    return [
        click.option(
            "--autoscale", type=Rule(), multiple=True, metavar="RULE", help=f"Instances follow their load: {RULE}."
        ),
        click.option(
            "--queue-limit", type=QueueLimit(), metavar="N|TIME", help="Refuse behind N who wait, or after TIME."
        ),
        click.option(
            "--preemption",
            type=click.Choice(("recompute", "swap")),
            default="recompute",
            show_default=True,
            help="Caches that memory has no room for are read anew, or swapped.",
        ),
        click.option(
            "--fail",
            type=FailureAt(),
            multiple=True,
            metavar="WHAT@TIME",
            help="Cards (16-23), tray:3, rack:0 or plane:2 fail; +TIME: back.",
        ),
    ]


def operations_of(options: Mapping[str, Any]) -> Operations:
    """Return how the fleet is run."""
    limit = options["queue_limit"]
    return Operations(
        autoscale=tuple(options["autoscale"]),
        queue_limit_count=limit if isinstance(limit, int) else None,
        queue_limit_s=limit if isinstance(limit, float) else None,
        preemption=options["preemption"],
    )
