"""`superpod cost`: what a machine costs by the hour, by the token, by the run; energy, carbon and water."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver_report
from superpod.cli.reliability import POLICIES

if TYPE_CHECKING:
    from superpod.plan.scenario import Scenario

SCALES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
SERVING_ONLY = (*shared.SERVING_NAMES, "kv", "imbalance")


class Number(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A positive number with a letter for its size: 15T, 8.2M."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail on anything else."""
        match = re.fullmatch(r"([0-9.]+(?:e[+-]?\d+)?)\s*([KMBGT]?)", str(value).strip())
        try:
            found = float(match[1]) * SCALES[match[2]] if match else 0.0
        except ValueError:
            found = 0.0
        if not 0.0 < found < float("inf"):
            self.fail(f"{value!r} is no number; write 15T, 8.2M or 1000", param, ctx)
        return found


NUMBER = Number()


@click.command("cost", short_help="Dollars an accelerator-hour, a million tokens, a run; carbon and water.")
@click.argument("pod")
@shared.machine_size
@click.option("--model", default="", metavar="NAME", help="Also price the tokens of this model.")
@click.option(
    "--work", type=click.Choice(("serve", "train")), default="serve", show_default=True, help="What it does with it."
)
@click.option("--tokens", type=NUMBER, metavar="N", help="Price a training run of so many tokens, e.g. 15T.")
@click.option("--batch", type=shared.COUNT, default=4096, show_default=True, metavar="N", help="Sequences a step.")
@click.option("--seq", type=shared.COUNT, default=4096, show_default=True, metavar="TOKENS", help="Tokens of one.")
@shared.serving_work
@shared.machine
@click.option("--costs", default="", metavar="NAME", help="Prices of the region; those of --facility by default.")
@click.option("--currency", default="usd", show_default=True, metavar="NAME", help="Show money in: usd, cny ...")
@click.option("--price", type=NUMBER, metavar="MONEY", help="Price of one pod, in --currency.")
@click.option("--power", type=NUMBER, metavar="WATTS", help="What one pod draws on average.")
@click.option("--storage", type=shared.SIZE, metavar="BYTES", help="The site's flash storage, e.g. 5PB.")
@click.option("--resale", type=click.FloatRange(0.0, 1.0), metavar="SHARE", help="Of the price, at the end of life.")
@click.option("--spares", type=click.Choice(POLICIES), default="auto", show_default=True, help="Spares for failures.")
@shared.common
def command(pod: str, **options: Any) -> None:
    """Show what POD costs: by part, an accelerator-hour, a million tokens in and out, a training run.

    POD is a catalogue name, or the path of a TOML file that describes a pod of your own. Prices are dated facts of the
    catalogue (`superpod show`), or yours: --price, --power, --set. What failures leave is that of `reliability`.
    """
    from superpod.cli.cost_page import cost_page
    from superpod.plan.cost.answer import CostQuestion, cost_report
    from superpod.plan.goodput.answer import GoodputQuestion

    chosen = shared.outputs(options)
    check_places({"--html": chosen.html, "--svg": chosen.svg})
    catalogue = shared.open_catalogue(options)
    currency = catalogue.currency(options["currency"])
    question = CostQuestion(
        pod=pod,
        pods=options["pods"],
        cards=options["cards"],
        facility=options["facility"],
        book=options["costs"],
        currency=options["currency"],
        price_usd=(options["price"] or 0.0) * (currency.usd_ratio or 0.0),
        drawn_w=options["power"] or 0.0,
        storage_bytes=options["storage"] or 0.0,
        resale_frac=options["resale"] or 0.0,
        scenario=work(pod, options),
        run_tokens=options["tokens"] or 0.0,
        failures=GoodputQuestion(spares=options["spares"]),
    )
    report = cost_report(catalogue, question)
    deliver_report("cost", catalogue, report, cost_page, chosen)


def work(pod: str, options: dict[str, Any]) -> Scenario | None:
    """Return what the machine does; None where only its hours are priced."""
    shared.refuse_two_sizes(options)
    if options["tokens"] is not None and not (options["model"] and options["work"] == "train"):
        raise click.UsageError("--tokens prices a training run: give --model NAME --work train too")
    if not options["model"]:
        return None
    if options["work"] == "train":
        shared.refuse_given(SERVING_ONLY, "is about serving, and this is --work train")
        return shared.scenario(options["model"], pod, shared.training(options), options)
    shared.refuse_given(("batch", "seq"), "is about training: give --work train")
    return shared.scenario(options["model"], pod, shared.serving(options), options)
