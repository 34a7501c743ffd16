"""`superpod compare`: one model on several machines, each difference split into chip and system."""

from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver
from superpod.errors import ScenarioError

if TYPE_CHECKING:
    from superpod.plan.compare.result import Comparison

BASES = ("as-built", "equal-cards", "equal-flops", "equal-power", "equal-cost")


@click.command("compare", short_help="Machines side by side: chip against system.")
@click.argument("model")
@click.option("--pods", "names", required=True, metavar="A,B,C", help="The machines; the first is the baseline.")
@click.option("--phase", type=click.Choice(("train", "serve")), default="serve", show_default=True, help="The work.")
@click.option(
    "--at", "basis", type=click.Choice(BASES), default="as-built", show_default=True, help="What is held equal."
)
@click.option("--cards", type=shared.COUNT, metavar="N", help="Cards of the baseline, which size the others.")
@shared.machine
@shared.training_work
@shared.serving_work
@shared.common
def command(model: str, names: str, phase: str, basis: str, **options: Any) -> None:
    """Compare machines running MODEL: per card, per pod, per kW, per dollar; chip against system.

    The chip factor is what a card would gain under a perfect fabric, the system factor what the real machine keeps
    of it.
    """
    other = shared.SERVING_NAMES if phase == "train" else shared.TRAINING_NAMES
    shared.refuse_given(other, f"does not belong to --phase {phase}")
    work = shared.training(options) if phase == "train" else shared.serving(options)
    scenarios = [shared.scenario(model, name, work, options) for name in pod_names(names)]

    from superpod.cli.compare_page import compare_page
    from superpod.plan.compare.answer import compare

    catalogue = shared.open_catalogue(options)
    comparison = compare(catalogue, scenarios, basis)
    require_contender(comparison)
    sources = catalogue.sources()
    facts = [used.fact for item in comparison.contenders for used in item.report.facts]
    cited = {fact.source: sources[fact.source] for fact in facts if fact.source in sources}
    deliver(
        "compare",
        {"comparison": comparison, "sources": cited},
        lambda full: compare_page(comparison, cited, full=full),
        shared.outputs(options),
    )


def pod_names(text: str) -> list[str]:
    """Return the machines of `--pods A,B,C`; raise a usage error where one is named twice or none at all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--pods needs at least one machine, e.g. --pods cloudmatrix384,gb200-nvl72")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise click.UsageError(f"--pods names {', '.join(twice)} more than once")
    return names


def require_contender(comparison: "Comparison") -> None:
    """Raise ScenarioError where every machine was refused."""
    if not comparison.contenders:
        reasons = "\n  ".join(f"{refusal.pod}: {refusal.reason}" for refusal in comparison.refusals)
        raise ScenarioError(f"none of the machines can answer\n  {reasons}", where="--pods")
