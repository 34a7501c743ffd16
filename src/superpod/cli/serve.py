"""`superpod serve`: serving of a model on a machine, in the steady state or request by request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli import serve_tenants
from superpod.cli.deliver import check_places, deliver_report
from superpod.cli.serve_experts import expert_options, with_experts
from superpod.cli.serve_options import has_traffic, targeted, traffic_of, traffic_options
from superpod.cli.serve_tenants import is_tenants
from superpod.plan.scenario import Scenario, Serving

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue


@click.command("serve", short_help="Serving under latency targets: tokens/s and what limits it.")
@click.argument("model")
@click.option("--pod", required=True, metavar="NAME", help="The machine, as `superpod catalog` lists it.")
@shared.machine_size
@click.option("--prefill-pod", metavar="NAME", help="Prompts are read on this machine, and decoded on --pod.")
@click.option("--prefill-cards", type=shared.COUNT, metavar="N", help="Cards of --prefill-pod; else as catalogued.")
@shared.machine
@shared.serving_work
@expert_options
@traffic_options
@shared.common
def command(model: str, pod: str, **options: Any) -> None:
    """Serve MODEL: the most tokens per second under the latency targets, and what limits them.

    MODEL is a catalogue name or the path of a Hugging Face config.json. Deployment and layout are searched.
    The path of a .toml file names several models instead, each with its requests, that share the machine.

    With --trace, --rate, --lengths or --concurrency requests come one by one and are simulated: times by percentile,
    how many meet the targets, and why others do not. Ctrl-C ends the run with what was simulated.
    """
    work = with_experts(targeted(shared.serving(options), options), options)
    if is_tenants(model):
        check_places(places(options))
        serve_tenants.answer(Path(model), pod, options, shared.open_catalogue(options))
        return
    question = elsewhere(shared.scenario(model, pod, work, options), options)
    if has_traffic(options):
        question = replace(question, traffic=traffic_of(options))
    check_places(places(options))
    catalogue = shared.open_catalogue(options)
    if options["source"] is not None:
        from superpod.cli.serve_engines import merged

        question = merged(question, options, catalogue)
    if question.traffic is None:
        answer(question, options, catalogue)
        return
    from superpod.cli import serve_traffic

    serve_traffic.answer(question, options, catalogue)


def elsewhere(question: Scenario, options: Mapping[str, Any]) -> Scenario:
    """Return the question with the machine that reads prompts, where it is another than the one that decodes."""
    if not options["prefill_pod"]:
        shared.refuse_given(("prefill_cards",), "goes with --prefill-pod")
        return question
    for option in ("source", "export"):
        if options[option]:
            raise click.UsageError(f"--{'from' if option == 'source' else option} is about one machine, not two")
    return replace(question, prefill_pod=options["prefill_pod"], prefill_cards=options["prefill_cards"])


def places(options: Mapping[str, Any]) -> dict[str, Path | None]:
    """Return the files that are written, by option."""
    export = options["export"]
    return {
        "--html": options["html"],
        "--svg": options["svg"],
        "--out": options["out"],
        "--trace-window": options["trace_window"],
        "--export": export[1] if export else None,
    }


def answer(question: Scenario, options: dict[str, Any], catalogue: Catalogue) -> None:
    """Evaluate a scenario and deliver its report."""
    from superpod.cli.report_page import report_page
    from superpod.plan.evaluate import evaluate

    report = evaluate(catalogue, question)
    files = beside(question, options, catalogue)
    deliver_report("serve", catalogue, report, report_page, shared.outputs(options), files)


def beside(question: Scenario, options: Mapping[str, Any], catalogue: Catalogue) -> list[tuple[Path, str]]:
    """Return the launch commands of the best deployment, where they are asked for."""
    if not options["export"] or not isinstance(question.work, Serving):
        return []
    from superpod.cli.serve_engines import exported
    from superpod.plan.machine import machine
    from superpod.plan.serving.attention_apart import searched

    engine, path = options["export"]
    made = machine(catalogue, question)
    best = searched(made, question.work, question.fixed).best
    return [] if best is None else [(path, exported(engine, best, made, question.work, question.model))]
