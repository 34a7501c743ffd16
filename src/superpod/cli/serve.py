"""`superpod serve`: serving of a model on a machine, in the steady state or request by request."""

from typing import Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver
from superpod.cli.serve_options import has_traffic, targeted, traffic_of, traffic_options
from superpod.plan.scenario import Scenario


@click.command("serve", short_help="Serving under latency targets: tokens/s and what limits it.")
@click.argument("model")
@click.option("--pod", required=True, metavar="NAME", help="The machine, as `superpod catalog` lists it.")
@shared.machine_size
@shared.machine
@shared.serving_work
@traffic_options
@shared.common
def command(model: str, pod: str, **options: Any) -> None:
    """Serve MODEL: the most tokens per second under the latency targets, and what limits them.

    MODEL is a catalogue name or the path of a Hugging Face config.json. Deployment and layout are searched.

    With --trace, --rate, --lengths or --concurrency requests come one by one and are simulated: times by percentile,
    how many meet the targets, and why others do not. Ctrl-C ends the run with what was simulated.
    """
    question = shared.scenario(model, pod, targeted(shared.serving(options), options), options)
    if has_traffic(options):
        from dataclasses import replace

        from superpod.cli import serve_traffic

        serve_traffic.answer(replace(question, traffic=traffic_of(options)), options)
    else:
        answer(question, options)


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
