"""Requests served one by one, from the command line: progress, files, and the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import deliver_report
from superpod.plan.scenario import Scenario

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.cli.requests_file import RequestsFile
    from superpod.plan.serving.traffic_answer import Answered

Told = Callable[[str, int, int], None]


def answer(question: Scenario, options: dict[str, Any], catalogue: Catalogue) -> None:
    """Serve the requests and deliver the report; an interrupt ends the run with what it has."""
    from superpod.cli.serve_page import serve_page
    from superpod.plan.serving.traffic_answer import evaluate_traffic

    with requests_file(options["out"]) as file, progress_bar() as told:
        found = evaluate_traffic(catalogue, question, told, None if file is None else file.add)
    report = found.report
    if report.outcome.interrupted:
        click.echo(f"interrupted: {report.outcome.arrived_count:,} requests had ended; the report is theirs", err=True)
    if options["trace_window"] is not None:
        write_window(found, options)
    files = commands(found, question, options)
    deliver_report("serve", catalogue, report, serve_page, shared.outputs(options), files)


def commands(found: Answered, question: Scenario, options: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Return the launch commands of the deployment, where they are asked for."""
    if not options["export"]:
        return []
    from superpod.cli.serve_engines import simulated

    engine, path = options["export"]
    return [(path, simulated(engine, found, question.model))]


def write_window(found: Answered, options: Mapping[str, Any]) -> None:
    """Write a window of the run for Perfetto."""
    from superpod.cli.serve_trace import write_window_trace

    path: Path = options["trace_window"]
    write_window_trace(path, found, options["window"])
    click.echo(f"wrote {path}", err=True)


@contextmanager
def requests_file(path: Path | None) -> Iterator[RequestsFile | None]:
    """Yield the file of requests; it takes its place at the end, and is dropped where the run fails."""
    if path is None:
        yield None
        return
    from superpod.cli.requests_file import RequestsFile

    file = RequestsFile(path)
    try:
        yield file
    except BaseException:
        file.drop()
        raise
    file.close()


@contextmanager
def progress_bar() -> Iterator[Told | None]:
    """Yield what shows the stages of a run on a terminal's stderr; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("requests", total=None)

        def show(stage: str, done: int, whole: int) -> None:
            bar.update(task, description=stage, completed=done, total=whole)

        yield show
