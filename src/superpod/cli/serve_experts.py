"""Options of unevenly liked experts: their visits, measured or drawn, and redundant copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from superpod.cli import options as shared
from superpod.plan.scenario import Serving

DRAWN = "drawn:"


class Visits(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A file of visits, or a power law to draw them from: drawn:1.2,30."""

    name = "visits"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | tuple[float, float]:
        """Return a file, or an exponent and the busiest expert's visits over the idlest's; fail on anything else."""
        if isinstance(value, (Path, tuple)):
            return value
        text = str(value)
        if not text.startswith(DRAWN):
            if not Path(text).is_file():
                self.fail(f"{text!r} is no file; write FILE or drawn:EXPONENT,RATIO, as drawn:1.2,30", param, ctx)
            return Path(text)
        numbers = [positive(part) for part in text.removeprefix(DRAWN).split(",")]
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None or numbers[1] < 1.0:
            self.fail(
                f"{text!r} draws nothing; write drawn:EXPONENT,RATIO with a ratio from 1: drawn:1.2,30", param, ctx
            )
        return float(numbers[0]), float(numbers[1])


def positive(text: str) -> float | None:
    """Return a number above 0, None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value < float("inf") else None


def expert_options(command: shared.Command) -> shared.Command:
    """Add the options of unevenly liked experts."""
    options = [
        click.option(
            "--visits",
            type=Visits(),
            metavar="FILE|drawn:A,R",
            help="Visits of each expert, a number a line, or drawn from x^-A, the busiest R times the idlest.",
        ),
        click.option(
            "--redundant-experts",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            metavar="N",
            help="Places of a layer for copies of busy experts.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def with_experts(work: Serving, options: Mapping[str, Any]) -> Serving:
    """Return the work with visits and copies of experts; a usage error where their balance is given twice."""
    visits = options["visits"]
    if visits is not None:
        shared.refuse_given(("imbalance",), "follows from --visits: give one of them")
    changed: dict[str, Any] = {"redundant_count": options["redundant_experts"]}
    if isinstance(visits, tuple):
        changed["expert_draw_ratio"] = visits
    elif visits is not None:
        from superpod.cli.train import read_visits

        changed["expert_visits_count"] = (read_visits(visits),)
    return replace(work, **changed)
