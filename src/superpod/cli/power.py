"""`superpod power`: what a machine at work draws, from the chip to the building, and how its heat leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver_report

if TYPE_CHECKING:
    from superpod.facility.cooling.weather import Weather

WATTS = {"": 1.0, "w": 1.0, "kw": 1e3, "mw": 1e6}


class Watts(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A power, with or without a unit: 600, 600W, 40kW, 1.5MW."""

    name = "power"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return watts; fail on anything that is no power over 0."""
        text = str(value).strip().lower()
        unit = next((name for name in ("mw", "kw", "w") if text.endswith(name)), "")
        try:
            watts = float(text.removesuffix(unit)) * WATTS[unit]
        except ValueError:
            watts = 0.0
        if not 0.0 < watts < float("inf"):
            self.fail(f"{value!r} is no power; write 600W, 40kW or 1.5MW", param, ctx)
        return watts


class Share(click.ParamType):  # type: ignore[type-arg]  # as above
    """A share of the time, with or without a percent sign: 0.01, 1%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return a share; fail on anything that is none from 0 to below 1."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
        except ValueError:
            share = -1.0
        if not 0.0 <= share < 1.0:
            self.fail(f"{value!r} is no share of the time; write 1% or 0.01", param, ctx)
        return share


POWER, SHARE = Watts(), Share()
EXCEED = 0.01


@click.command("power", short_help="Power and cooling of a machine at work: chip to building.")
@click.argument("model")
@click.option("--pod", required=True, metavar="NAME", help="The machine, as `superpod catalog` lists it.")
@click.option("--phase", type=click.Choice(("train", "serve")), default="train", show_default=True, help="The work.")
@click.option("--cooling", default="cold-plate-warm", show_default=True, metavar="NAME", help="How the building cools.")
@click.option("--climate", default="frankfurt", show_default=True, metavar="NAME|CSV", help="A place, or hours of one.")
@click.option("--chip-cap", type=POWER, metavar="POWER", help="Limit of one chip.")
@click.option("--rack-cap", type=POWER, metavar="POWER", help="What a cabinet's feed gives.")
@click.option("--machine-cap", type=POWER, metavar="POWER", help="What the machine's feed gives.")
@click.option("--site-cap", type=POWER, metavar="POWER", help="What the site's feed gives in its worst hour.")
@click.option("--cdu-cap", type=POWER, metavar="POWER", help="Heat that a cabinet's coolant unit takes.")
@click.option("--feed", type=POWER, metavar="POWER", help="Count the machines that a site's feed of so much bears.")
@click.option("--exceed", type=SHARE, metavar="SHARE", help="Time that their loads may stand above it.  [default: 1%]")
@shared.machine_size
@shared.machine
@shared.training_work
@shared.serving_work
@shared.common
def command(model: str, pod: str, phase: str, **options: Any) -> None:
    """Show what MODEL on a machine draws, part by part, hour by hour, and which limit holds it back.

    The plan is the one that `train` or `serve` finds. A CSV file of hours has the columns hour, dry_bulb_c and
    relative_humidity.
    """
    from superpod.cli.power_page import power_page
    from superpod.plan.power.answer import PowerQuestion, power
    from superpod.plan.power.caps import Caps
    from superpod.plan.power.feed import Feed

    other = shared.SERVING_NAMES if phase == "train" else shared.TRAINING_NAMES
    shared.refuse_given(other, f"does not belong to --phase {phase}")
    work = shared.training(options) if phase == "train" else shared.serving(options)
    outputs = shared.outputs(options)
    check_places({"--html": outputs.html, "--svg": outputs.svg})
    catalogue = shared.open_catalogue(options)
    weather = hours(options["climate"])
    feed_w = options["feed"]
    if options["exceed"] is not None and feed_w is None:
        raise click.UsageError("--exceed belongs to --feed POWER")
    exceed = EXCEED if options["exceed"] is None else options["exceed"]
    asked = PowerQuestion(
        scenario=shared.scenario(model, pod, work, options),
        cooling=options["cooling"],
        climate="" if weather is not None else options["climate"],
        weather=weather,
        caps=Caps(**{f"{name}_w": options[f"{name}_cap"] for name in ("chip", "rack", "machine", "site", "cdu")}),
        feed=None if feed_w is None else Feed(power_w=feed_w, exceed_frac=exceed),
    )
    report = power(catalogue, asked)
    deliver_report("power", catalogue, report, power_page, outputs)


def hours(text: str) -> Weather | None:
    """Return the hours of a file, None where the text names a climate of the catalogue."""
    from superpod.facility.cooling.weather import read_weather

    path = Path(text)
    return read_weather(path) if path.suffix.lower() == ".csv" or path.is_file() else None
