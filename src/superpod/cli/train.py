"""`superpod train`: one training step of a model on a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver_report
from superpod.plan.scenario import Scenario, Training

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.catalog.model_spec import ModelSpec
    from superpod.frameworks import Imported
    from superpod.plan.report import Report

FILE = click.Path(dir_okay=False, path_type=Path)
GIVEN = click.Path(exists=True, dir_okay=False, path_type=Path)
FRAMEWORKS = ("megatron", "bridge", "torchtitan", "mindspeed")
NODE_RANKS = (4, 16)  # of a server, which a launcher starts one process each on
BAR_FROM = 500_000  # layouts; fewer are done before a bar is seen


def layout_choices(command: shared.Command) -> shared.Command:
    """Add what only a training question has: how far to search, choices to pin, files to read and to write."""
    options = [
        click.option(
            "--search",
            type=click.Choice(("standard", "deep")),
            default="standard",
            show_default=True,
            help="standard: what Megatron-Core runs; deep: every schedule, order, recompute and offload.",
        ),
        click.option("--schedule", metavar="NAME", help="Pin the pipeline schedule: 1f1b, zb-h1, zb-v, dualpipev, ..."),
        click.option("--split", type=click.Choice(("even", "counted")), help="Embedding and loss count as layers."),
        click.option("--overlap", type=click.Choice(("none", "data", "data+expert")), help="What runs beside kernels."),
        click.option("--tensor-overlap", type=click.Choice(("none", "ring", "pipe")), help="Pin tensor overlap."),
        click.option("--cp-kind", type=click.Choice(("ring", "ulysses")), help="Pin context parallelism."),
        click.option(
            "--offload",
            type=shared.Words("none", joined=("weights", "activations", "optimizer")),
            metavar="WHAT",
            help="Pin what lives in host memory: none, or weights, activations, optimizer joined by +.",
        ),
        click.option("--shard", type=shared.COUNT, metavar="N", help="Data ranks that ZeRO shards over (HSDP)."),
        click.option("--order", metavar="AXES", help="Pin the axes from neighbouring ranks out: tp-cp-dp-pp, ..."),
        click.option(
            "--mtp", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Train N MTP layers."
        ),
        click.option(
            "--imbalance",
            type=click.FloatRange(min=1.0),
            callback=shared.finite,
            default=1.0,
            show_default=True,
            metavar="RATIO",
            help="Load of the fullest expert rank over the mean, by the router's liking.",
        ),
        click.option("--visits", type=GIVEN, metavar="FILE", help="Measured visits of each expert, a number a line."),
        click.option("--from", "source", type=GIVEN, metavar="FILE", help="Pin the layout of a framework's file."),
        click.option(
            "--export",
            "export",
            type=(click.Choice(FRAMEWORKS), FILE),
            metavar="FRAMEWORK FILE",
            help=f"Write the layout for {', '.join(FRAMEWORKS)}.",
        ),
        click.option("--trace", type=FILE, metavar="FILE", help="Write the step's timeline for Perfetto."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("train", short_help="One training step: its time and what limits it.")
@click.argument("model")
@click.option("--pod", required=True, metavar="NAME", help="The machine, as `superpod catalog` lists it.")
@shared.machine_size
@shared.machine
@shared.training_work
@layout_choices
@shared.common
def command(model: str, pod: str, **options: Any) -> None:
    """Train MODEL: how long one step takes, and what limits it.

    MODEL is a catalogue name or the path of a Hugging Face config.json. The layout is searched; each option that pins a
    degree or a choice narrows the search. Ctrl-C ends the search with the best found so far.
    """
    outputs = shared.outputs(options)
    check_places({"--html": outputs.html, "--svg": outputs.svg, "--trace": options["trace"], "--export": to(options)})
    question = shared.scenario(model, pod, work(options), options)
    question = replace(question, search=options["search"])
    catalogue = shared.open_catalogue(options)
    if options["source"] is not None:
        question = merged(question, options, catalogue)
    answer(question, options, catalogue)


def to(options: Mapping[str, Any]) -> Path | None:
    """Return the file that the layout is exported to."""
    return options["export"][1] if options["export"] else None


def work(options: Mapping[str, Any]) -> Training:
    """Return the step that the options describe."""
    visits = read_visits(options["visits"]) if options["visits"] is not None else ()
    return replace(
        shared.training(options),
        mtp_layers=options["mtp"],
        imbalance_ratio=options["imbalance"],
        expert_visits_count=visits,
    )


def read_visits(path: Path) -> tuple[float, ...]:
    """Return the numbers of a file, one a line; raise ScenarioError for a line that is none or is negative."""
    from superpod.errors import ScenarioError

    found: list[float] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = float(line)
        except ValueError:
            value = -1.0
        if not 0.0 <= value < float("inf"):
            raise ScenarioError(
                f"found {line.strip()[:40]!r}, expected a number of visits",
                where=f"{path}:{number}",
                hint="one number a line, an expert after the other",
            )
        found.append(value)
    if not sum(found):
        raise ScenarioError("found no visits", where=str(path), hint="one number a line, an expert after the other")
    return tuple(found)


def merged(question: Scenario, options: Mapping[str, Any], catalogue: Catalogue) -> Scenario:
    """Return the question with what a framework's file pins; what the command line says comes first."""
    from superpod.frameworks import imported
    from superpod.plan.machine import read_model

    read = imported(options["source"])
    tell(read)
    warn_of_another_model(read, read_model(catalogue, question.model))
    given = click.get_current_context().get_parameter_source
    said = {name for name in options if given(name) is click.core.ParameterSource.COMMANDLINE}
    step = question.work if isinstance(question.work, Training) else Training()
    changed: dict[str, Any] = {}
    if read.batch_sequences is not None and "batch" not in said:
        changed["batch_sequences"] = read.batch_sequences
    if read.sequence_tokens is not None and "seq" not in said:
        changed["sequence_tokens"] = read.sequence_tokens
    if read.mtp_layers is not None and "mtp" not in said:
        changed["mtp_layers"] = read.mtp_layers
    sized: dict[str, Any] = {}
    if read.cards_count is not None and not said & {"cards", "pods"}:
        sized["cards"] = max(1, round(read.cards_count / ranks_per_card(catalogue, question.pod)))
    if read.precision is not None and "precision" not in said:
        sized["precision"] = read.precision
    return replace(question, work=replace(step, **changed), fixed={**read.fixed, **question.fixed}, **sized)


def ranks_per_card(catalogue: Catalogue, pod: str) -> float:
    """Return how many processes a framework runs on a package: one, or one a die."""
    found = catalogue.pod(pod)
    return (catalogue.chip(found.chip).dies_count or 1.0) if found.rank == "die" else 1.0


def warn_of_another_model(read: Imported, asked: ModelSpec) -> None:
    """Say on stderr where a file describes another model than the one asked for: only its layout is taken."""
    if read.model_id and read.model_id != asked.id:
        click.echo(f"  not taken: its model, {read.model_id}; the question is about {asked.id}", err=True)
    elif read.model is not None and (read.model.layers_count, read.model.hidden_count) != (
        asked.layers_count,
        asked.hidden_count,
    ):
        shape = f"{read.model.layers_count} layers of width {read.model.hidden_count}"
        click.echo(f"  not taken: its model, {shape}; the question is about {asked.id}", err=True)


def tell(read: Imported) -> None:
    """Say on stderr what of a file has no counterpart here."""
    click.echo(f"read {read.where} as {read.framework}: {len(read.fixed)} settings of the layout", err=True)
    for line in read.unread:
        click.echo(f"  not represented: {line}", err=True)


def answer(question: Scenario, options: dict[str, Any], catalogue: Catalogue) -> None:
    """Evaluate a scenario and deliver its report."""
    from superpod.cli.train_page import train_page
    from superpod.plan.evaluate import evaluate

    with progress_bar() as progress:
        report = evaluate(catalogue, question, progress)
    outputs = shared.outputs(options)
    picture, beside = "", []
    if outputs.html is not None or options["trace"] is not None or options["export"]:
        chosen = Chosen(catalogue, question, report)
        picture = chosen.picture() if outputs.html is not None else ""
        beside = [(path, chosen.exported(options["export"][0]))] if (path := to(options)) is not None else []
        if options["trace"] is not None:
            chosen.write_trace(options["trace"])
    deliver_report("train", catalogue, report, partial(train_page, picture=picture), outputs, beside)


class Chosen:
    """The layout of a report, on its machine: its timeline, and its configuration for a framework."""

    def __init__(self, catalogue: Catalogue, question: Scenario, report: Report) -> None:
        from superpod.plan.machine import machine
        from superpod.plan.training.explain import layout_of

        self.machine = machine(catalogue, question)
        self.work = question.work if isinstance(question.work, Training) else Training()
        self.layout = layout_of(report.layout)

    @cached_property
    def timeline(self) -> Any:
        """The step stage by stage."""
        from superpod.train.timeline import step_timeline

        batch = (float(self.work.batch_sequences), float(self.work.sequence_tokens))
        return step_timeline(self.machine.engine, self.layout, batch)

    def picture(self) -> str:
        """Return the timeline as SVG."""
        from superpod.cli.timeline_svg import timeline_svg

        return timeline_svg(self.timeline)

    def write_trace(self, path: Path) -> None:
        """Write the timeline for Perfetto."""
        from superpod.cli.trace_file import write_trace

        write_trace(path, self.timeline)
        click.echo(f"wrote {path}", err=True)

    def exported(self, framework: str) -> str:
        """Return the configuration for a framework."""
        from superpod.frameworks import exported

        fabric = self.machine.fabric
        node = [tier.ranks_count for tier in fabric.tiers if NODE_RANKS[0] <= tier.ranks_count <= NODE_RANKS[1]]
        return exported(
            framework,
            self.layout,
            self.work,
            precision=self.machine.precision.name,
            model=self.machine.spec,
            cards_per_node=int(node[-1]) if node else NODE_RANKS[0],
        )


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Yield what shows a search's progress on a terminal's stderr; None where nobody looks."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("layouts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("layouts", total=None, visible=False)

        def show(done: int, whole: int) -> None:
            bar.update(task, completed=done, total=whole, visible=whole >= BAR_FROM)

        yield show
