"""`superpod reliability`: what failures leave of a machine, and where the rest goes."""

from __future__ import annotations

from typing import Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver_report
from superpod.units import DAY_S

POLICIES = ("auto", "none", "in-pod", "one-more", "warm", "recabled", "shrink")
HISTORIES = click.IntRange(0, 100_000)
SEED = click.IntRange(0, 2**31 - 1)
DAYS = click.FloatRange(1.0, 3650.0)
MONTH_S = 30.0 * DAY_S


class Rate(shared.Size):
    """Bytes a second: 2TB/s, 200GB."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return bytes a second; fail on anything that is no size."""
        return super().convert(str(value).removesuffix("/s"), param, ctx)


RATE = Rate()


def planned(outage_s: float | None) -> float:
    """Return the share of a month that an outage is; raise UsageError where it is the whole."""
    if outage_s is not None and outage_s >= MONTH_S:
        raise click.UsageError("--maintenance is the outage in 30 days: at most 30 days")
    return (outage_s or 0.0) / MONTH_S


@click.command("reliability", short_help="Goodput under failures: what fails, spares, checkpoints, lost time.")
@click.argument("pod")
@shared.machine_size
@click.option("--model", default="", metavar="NAME", help="The model in training: sizes its checkpoint.")
@click.option(
    "--spares", type=click.Choice(POLICIES), default="auto", show_default=True, help="What is kept back, and how used."
)
@click.option("--standby", type=shared.COUNT, metavar="SERVERS", help="That stand by under `warm`; the best number.")
@click.option("--group", type=shared.COUNT, metavar="CARDS", help="Cards of a replica that fails whole; 32 by default.")
@click.option("--instance", type=shared.COUNT, metavar="CARDS", help="Cards of a serving instance; a pod by default.")
@click.option("--unit", type=shared.COUNT, metavar="CARDS", help="Cards that a repair takes out at once.")
@click.option("--step", type=shared.DURATION, metavar="TIME", help="Time of a training step.")
@click.option("--exposed", type=click.FloatRange(0.0, 1.0), metavar="SHARE", help="Of a step that waits for links.")
@click.option("--interval", type=shared.DURATION, metavar="TIME", help="Between checkpoints; the best one by default.")
@click.option("--synchronous", is_flag=True, help="Training stops until a checkpoint is stored.")
@click.option("--storage", type=RATE, metavar="BYTES/S", help="What the site's storage writes, e.g. 2TB/s.")
@click.option("--maintenance", type=shared.DURATION, metavar="TIME", help="Planned outage in 30 days, e.g. 8h.")
@click.option("--book", default="fleet", show_default=True, metavar="NAME", help="Failure rates and repair times.")
@click.option(
    "--histories", type=HISTORIES, default=200, show_default=True, metavar="N", help="Histories drawn at random."
)
@click.option("--days", type=DAYS, default=90.0, show_default=True, metavar="N", help="Length of a history.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@shared.common
def command(pod: str, **options: Any) -> None:
    """Show what failures leave of POD: goodput of training, lost time by cause, spares, checkpoints, serving.

    POD is a catalogue name, or the path of a TOML file that describes a pod of your own. Rates, repairs and restarts
    are facts of `failures/<book>`: replace one with --set failures/fleet:NAME=NUMBER.
    """
    from superpod.cli.reliability_page import reliability_page
    from superpod.plan.goodput.answer import GoodputQuestion, goodput_report

    chosen = shared.outputs(options)
    check_places({"--html": chosen.html, "--svg": chosen.svg})
    shared.refuse_two_sizes(options)
    if options["standby"] is not None and options["spares"] != "warm":
        raise click.UsageError("--standby is the number of warm spares: give --spares warm too")
    question = GoodputQuestion(
        model=options["model"],
        spares=options["spares"],
        group_cards_count=options["group"] or 0,
        instance_cards_count=options["instance"] or 0,
        node_cards_count=options["unit"] or 0,
        step_s=options["step"] or 0.0,
        exposed_frac=options["exposed"],
        interval_s=options["interval"] or 0.0,
        synchronous=options["synchronous"],
        storage_bytes_per_s=options["storage"] or 0.0,
        standby_nodes_count=options["standby"],
        maintenance_frac=planned(options["maintenance"]),
        book=options["book"],
        histories_count=options["histories"],
        length_s=options["days"] * DAY_S,
        seed=options["seed"],
    )
    catalogue = shared.open_catalogue(options)
    report = goodput_report(catalogue, pod, question, pods=options["pods"], cards=options["cards"])
    deliver_report("reliability", catalogue, report, reliability_page, chosen)
