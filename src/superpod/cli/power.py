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


POWER = Watts()


@click.command("power", short_help="Power and cooling of a machine at work: chip to building.")
@click.argument("model")
@click.option("--pod", required=True, metavar="NAME", help="The machine, as `superpod catalog` lists it.")
@click.option("--phase", type=click.Choice(("train", "serve")), default="train", show_default=True, help="The work.")
@click.option("--cooling", default="cold-plate-warm", show_default=True, metavar="NAME", help="How the building cools.")
@click.option("--climate", default="frankfurt", show_default=True, metavar="NAME|CSV", help="A place, or hours of one.")
@click.option("--chip-cap", type=POWER, metavar="POWER", help="Limit of one chip.")
@click.option("--rack-cap", type=POWER, metavar="POWER", help="What a cabinet's feed gives.")
@click.option("--machine-cap", type=POWER, metavar="POWER", help="What the machine's feed gives.")
@click.option("--cdu-cap", type=POWER, metavar="POWER", help="Heat that a cabinet's coolant unit takes.")
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
    from superpod.plan.power import PowerQuestion, power

    other = shared.SERVING_NAMES if phase == "train" else shared.TRAINING_NAMES
    shared.refuse_given(other, f"does not belong to --phase {phase}")
    work = shared.training(options) if phase == "train" else shared.serving(options)
    outputs = shared.outputs(options)
    check_places({"--html": outputs.html, "--svg": outputs.svg})
    catalogue = shared.open_catalogue(options)
    weather = hours(options["climate"])
    asked = PowerQuestion(
        scenario=shared.scenario(model, pod, work, options),
        cooling=options["cooling"],
        climate="" if weather is not None else options["climate"],
        weather=weather,
        chip_cap_w=options["chip_cap"],
        rack_cap_w=options["rack_cap"],
        machine_cap_w=options["machine_cap"],
        cdu_cap_w=options["cdu_cap"],
    )
    report = power(catalogue, asked)
    deliver_report("power", catalogue, report, power_page, outputs)


def hours(text: str) -> Weather | None:
    """Return the hours of a file, None where the text names a climate of the catalogue."""
    from superpod.facility.cooling.weather import read_weather

    path = Path(text)
    return read_weather(path) if path.suffix.lower() == ".csv" or path.is_file() else None
