"""`superpod serve`: steady-state serving of a model on a machine."""

from typing import Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver
from superpod.plan.scenario import Scenario


@click.command("serve", short_help="Serving under latency targets: tokens/s and what limits it.")
@click.argument("model")
@click.option("--pod", required=True, metavar="NAME", help="The machine, as `superpod catalog` lists it.")
@shared.machine_size
@shared.machine
@shared.serving_work
@shared.common
def command(model: str, pod: str, **options: Any) -> None:
    """Serve MODEL: the most tokens per second under the latency targets, and what limits them.

    MODEL is a catalogue name or the path of a Hugging Face config.json. Deployment and layout are searched.
    """
    answer(shared.scenario(model, pod, shared.serving(options), options), options)


def answer(question: Scenario, options: dict[str, Any]) -> None:
    """Evaluate a scenario and deliver its report."""
    from superpod.cli.report_page import report_page
    from superpod.plan.evaluate import evaluate

    catalogue = shared.open_catalogue(options)
    report = evaluate(catalogue, question)
    sources = catalogue.sources()
    cited = {used.fact.source: sources[used.fact.source] for used in report.facts if used.fact.source in sources}
    deliver(
        "serve",
        {"report": report, "sources": cited},
        lambda full: report_page(report, cited, full=full),
        shared.outputs(options),
    )
