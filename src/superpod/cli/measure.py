"""`superpod measure`: operators and collectives of the machine at hand, timed and written to a file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver
from superpod.cli.page import Block, Column, Page, Table, Text
from superpod.cli.wording import DASH, count, quantity

if TYPE_CHECKING:
    from superpod.measure.outcome import Outcome, Tally
    from superpod.measure.run import Event
    from superpod.measure.session import Question

FILE = click.Path(dir_okay=False, path_type=Path)
DEVICES = ("cuda", "npu", "cpu")
DTYPES = ("bf16", "fp16", "fp8", "int8")
WORDS = "gemm, attention, elementwise, softmax, copy, launch, collectives"
INTERRUPTED = 130
EXAMPLES = """
\b
Examples:
  superpod measure --out h100.csv
  superpod measure --out h100.csv --grid full --budget 60min --resume
  superpod measure --out h100-links.csv --kinds collectives --ranks 2,4,8
  torchrun --nproc-per-node 8 -m superpod measure --out links.csv --kinds collectives
Then:
  superpod calibrate h100.csv --chip h100-sxm --out mine/calibration/nvidia-hopper.toml
  superpod calibrate h100-links.csv --pod hgx-h100 --link mine/links/nvlink4.toml
"""


@click.command("measure", short_help="Time operators and collectives of this machine into a CSV.", epilog=EXAMPLES)
@click.option(
    "--out",
    "path",
    required=True,
    type=FILE,
    metavar="FILE.csv",
    help="The file.",
)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="The device; ROCm is `cuda`.  [default: the best there is]",
)
@click.option("--kinds", metavar="A,B", help=f"Only these: {WORDS}, or kinds of the file.")
@click.option(
    "--grid", type=click.Choice(("quick", "full")), default="quick", show_default=True, help="How many cases."
)
@click.option(
    "--budget",
    type=shared.DURATION,
    default="5min",
    show_default=True,
    metavar="TIME",
    help="Stop after this time; what is left out is spread over all kinds and sizes.",
)
@click.option(
    "--dtypes", default="bf16,fp8,int8", show_default=True, metavar="A,B", help="Formats of products; also fp16."
)
@click.option("--ranks", metavar="N,M", help="Also collectives over groups of so many devices.")
@click.option("--chip", metavar="NAME", help="What the file calls the chip.  [default: the device's own name]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of data and order.")
@click.option("--resume", is_flag=True, help="Add to the file what it lacks.")
@click.option("--html", type=FILE, metavar="FILE", help="Also write a report.")
@click.option("--svg", type=FILE, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(**options: Any) -> int:
    """Time products, attention, memory sweeps, launches and collectives on this machine's GPU, NPU or processor.

    The file is what `superpod calibrate` reads. Needs PyTorch (the extra `measure`). Ctrl-C keeps what was measured.
    """
    check_places({"--out": options["path"], "--html": options["html"], "--svg": options["svg"]})
    asked = question(options)

    from superpod.catalog.load import Catalogue
    from superpod.measure.session import measure

    with progress() as told:
        outcome = measure(asked, Catalogue(), told)
    if outcome is None:
        return 0
    deliver("measure", {"outcome": outcome}, lambda _full: summary(outcome), shared.outputs(options))
    return INTERRUPTED if outcome.interrupted else 0


def question(options: dict[str, Any]) -> Question:
    """Return what the options ask; raise a usage error where they contradict each other."""
    from superpod.calibrate.measurements import COLLECTIVES
    from superpod.measure.case import KINDS
    from superpod.measure.collectives import started_by_torchrun
    from superpod.measure.grid import kinds_named
    from superpod.measure.session import Question

    try:
        kinds = KINDS if options["kinds"] is None else kinds_named(words(options["kinds"]))
    except ValueError as error:
        raise click.UsageError(f"--kinds knows no {str(error)!r}; it knows {WORDS}") from None
    if not kinds:
        raise click.UsageError(f"--kinds names none; it knows {WORDS}")
    dtypes = formats(options["dtypes"])
    ranks = group_sizes(options["ranks"])
    together = [kind for kind in kinds if kind in COLLECTIVES]
    if ranks and not together:
        raise click.UsageError("--ranks is for collectives, which --kinds leaves out")
    if options["kinds"] and together and not ranks and not started_by_torchrun():
        raise click.UsageError("collectives need --ranks N, or torchrun")
    if started_by_torchrun() and not together:
        raise click.UsageError("under torchrun (RANK, WORLD_SIZE, MASTER_ADDR) only collectives are measured")
    return Question(
        path=options["path"],
        device=options["device"] or "",
        kinds=kinds,
        dtypes=dtypes,
        grid=options["grid"],
        budget_s=options["budget"],
        ranks=ranks,
        chip=options["chip"] or "",
        seed=options["seed"],
        resume=options["resume"],
    )


def words(text: str) -> tuple[str, ...]:
    """Return the words between commas, each once."""
    return tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))


def formats(text: str) -> tuple[str, ...]:
    """Return the number formats of `--dtypes`; raise a usage error for none, unknown ones, and two in one column."""
    dtypes = words(text)
    unknown = [word for word in dtypes if word not in DTYPES]
    if not dtypes:
        raise click.UsageError(f"--dtypes names none; it knows {', '.join(DTYPES)}")
    if unknown:
        raise click.UsageError(f"--dtypes knows no {', '.join(map(repr, unknown))}; it knows {', '.join(DTYPES)}")
    if {"bf16", "fp16"} <= set(dtypes):
        raise click.UsageError("--dtypes takes bf16 or fp16: the file has one column for both")
    return dtypes


def group_sizes(text: str | None) -> tuple[int, ...]:
    """Return the numbers of `--ranks`; raise a usage error for anything else, and for fewer than two."""
    parts = words(text or "")
    if text is not None and not (parts and all(part.isdecimal() and int(part) > 1 for part in parts)):
        raise click.UsageError(f"--ranks takes numbers from 2 up, as 2,4,8; got {text!r}")
    return tuple(int(part) for part in parts)


@contextmanager
def progress() -> Iterator[Callable[[Event, int, int], None]]:
    """Show a bar on stderr where it is a terminal, and a line for every tenth of the work where it is not."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False, markup=False)
    if not sys.stderr.isatty():
        yield said
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def told(event: Event, place: int, total: int) -> None:
            bar.update(task, completed=place, total=total, description=str(event.case))

        yield told


def said(event: Event, place: int, total: int) -> None:
    """Say on stderr how far the work is, ten times in all."""
    if place * 10 // total > (place - 1) * 10 // total:
        click.echo(f"{place} of {total} cases: {event.case} {event.state}", err=True)


def summary(outcome: Outcome) -> Page:
    """Return what was measured by kind, and what was not."""
    columns = (
        Column(label="kind"),
        Column(label="format"),
        *(Column(label=label, right=True) for label in ("measured", "skipped", "dropped")),
        Column(label="best rate", right=True),
        Column(label="shortest", right=True),
        Column(label="spread", right=True, drop=1),
    )
    table = Table(title="", columns=columns, rows=tuple(row(tally) for tally in outcome.tallies))
    notes = [
        f"{f'{item.kind} {item.dtype}'.strip()}: {count(item.cases_count)} skipped: {item.reason}"
        for item in outcome.refusals
    ]
    if outcome.dropped_count:
        notes.append(f"{count(outcome.dropped_count)} cases had no time: --resume with a --budget adds them")
    if outcome.interrupted:
        notes.append("interrupted; --resume goes on")
    blocks: list[Block] = [table] if outcome.tallies else []
    if notes:
        blocks.append(Text(title="Left out", lines=tuple(notes), bullets=True))
    if outcome.rows_count:
        blocks.append(Text(title="Next", lines=(following(outcome),)))
    return Page(
        title=f"{outcome.chip}: {count(outcome.rows_count)} measurements",
        subtitle=outcome.software,
        blocks=tuple(blocks),
    )


def following(outcome: Outcome) -> str:
    """Return the command that fits what was measured."""
    kinds = {bool(tally.ranks_count) for tally in outcome.tallies if tally.measured_count} or {False}
    command = shlex.join(["superpod", "calibrate", str(outcome.path)])
    if False in kinds:
        command += " --chip CHIP --out FOLDER/calibration/ID.toml"
    if True in kinds:
        command += " --pod POD --link FOLDER/links/ID.toml"
    return command


def row(tally: Tally) -> tuple[str, ...]:
    """Return the line of one tally."""
    by_flop = tally.kind in {"gemm", "attention_prefill"}
    rate = quantity(tally.best_flop_per_s, "FLOP/s") if by_flop else quantity(tally.best_bytes_per_s, "B/s")
    name = f"{tally.kind}, {tally.ranks_count} ranks" if tally.ranks_count else tally.kind
    return (
        name,
        tally.dtype or tally.mode or DASH,
        count(tally.measured_count),
        count(tally.skipped_count),
        count(tally.dropped_count),
        rate,
        quantity(tally.shortest_s, "s"),
        quantity(tally.spread_frac, ""),
    )
