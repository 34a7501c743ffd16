"""`superpod fabric`: what a fabric is made of, how far it reaches, and how long traffic takes on it."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver_report
from superpod.errors import ScenarioError
from superpod.plan.fabric.question import FabricQuestion, GraphFile, JobQuestion, MatrixFile, checked_question

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue
    from superpod.plan.fabric.result import FabricReport

COLLECTIVES = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "broadcast",
    "all_to_all",
    "p2p",
    "dispatch",
    "combine",
)
ROUTINGS = ("auto", "spray", "weighted", "dor", "single", "ecmp", "detour")
LEVELS = ("auto", "L0", "L1", "L2")
PODS = click.IntRange(1, 1_000_000)
SEED = click.IntRange(0, 2**31 - 1)
FILE_BYTES_MAX = 2**29
READ = click.Path(exists=True, dir_okay=False, path_type=Path)
WRITE = click.Path(dir_okay=False, path_type=Path)
JOB = re.compile(r"([\w.\-]+)=(\w+):([^:]+):(\d{1,9})\+(\d{1,9})(?:\*(\d{1,9}))?(?:@(.+))?")
JOB_FORM = "NAME=KIND:BYTES:FIRST+COUNT[*STRIDE][@START], e.g. a=all_reduce:1GB:0+64 or b=p2p:64MB:64+8*8@1ms"
FAULTS = """
\b
Faults, each a --fail; N counts from 0, parts in brackets may be left out:
  switch:TIER:[PLANE:]N   a switch            rank:N[-M]         cards or dies
  plane:TIER:P            a whole plane       instance:TIER:N    a tray, node, rack
  cable:TIER:N            a cable, its links  links:TIER:SHARE   random cables
  module:TIER:N           one end of a cable
\b
Examples:
  superpod fabric cloudmatrix384
  superpod fabric gb200-nvl72 --collective all_reduce --bytes 64MB --fail switch:rack:3
  superpod fabric hgx-h100 --pods 4 --job a=all_reduce:1GB:0+16 --job b=all_to_all:64MB:0+32
  superpod fabric ./my-pod.toml --traffic matrix.csv --heat-map links.svg
"""


@click.command("fabric", short_help="Parts, reach and transfers of a fabric; faults; jobs at once.", epilog=FAULTS)
@click.argument("pod", required=False, default="")
@click.option("--pods", type=PODS, metavar="N", help="Use this many pods.")
@click.option("--collective", type=click.Choice(COLLECTIVES), help="Run this collective.")
@click.option("--bytes", "size", type=shared.SIZE, default="1GB", show_default=True, help="What each rank holds.")
@click.option("--ranks", type=click.IntRange(min=2), metavar="N", help="Members of the collective; all by default.")
@click.option("--stride", type=shared.COUNT, default=1, show_default=True, metavar="K", help="Every K-th rank.")
@click.option("--algorithm", default="", metavar="NAME", help="Pin the way: ring, direct, double_tree …")
@click.option("--traffic", type=READ, metavar="FILE", help="Run a traffic matrix: CSV (src,dst,bytes) or npz.")
@click.option("--fail", "faults", multiple=True, metavar="FAULT", help="Break something first; see below. Repeatable.")
@click.option("--job", "jobs", multiple=True, metavar="JOB", help="NAME=KIND:BYTES:FIRST+COUNT[*STRIDE][@START].")
@click.option("--routing", type=click.Choice(ROUTINGS), default="auto", show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of random faults and hashes.")
@click.option("--level", type=click.Choice(LEVELS), default="auto", show_default=True, help="Of detail; auto: all.")
@click.option(
    "--batch-frac",
    type=click.FloatRange(0.0, 0.1),
    callback=shared.finite,
    default=1e-3,
    show_default=True,
    metavar="SHARE",
    help="Ends of flows closer than this share of the time are one event.",
)
@click.option("--graph", type=READ, metavar="FILE", help="Links from a .graphml or NCCL .xml file; POD is optional.")
@click.option("--export", type=WRITE, metavar="FILE", help="Write the links: .graphml, or one node for NCCL as .xml.")
@click.option("--heat-map", type=WRITE, metavar="FILE", help="Draw how full the links are: .png, .svg or .html.")
@shared.common
def command(pod: str, **options: Any) -> None:
    """Show what the fabric of POD is made of, how far it reaches, and how long transfers take on it.

    POD is a catalogue name, or the path of a TOML file that describes a pod of your own. Every time names its level: L0
    closed form, L1 classes of equal flows, L2 flow by flow.
    """
    from superpod.cli.fabric_page import fabric_page
    from superpod.plan.fabric.report import fabric_report

    asked, chosen = question(pod, options), shared.outputs(options)
    for name in ENDINGS:
        checked_ending(options[name], name)
    places = {"--heat-map": options["heat_map"], "--export": options["export"]}
    check_places({**places, "--html": chosen.html, "--svg": chosen.svg})
    catalogue = shared.open_catalogue(options)
    report = fabric_report(catalogue, asked)
    files, notes = own_files(catalogue, asked, report, options)
    deliver_report("fabric", catalogue, report, fabric_page, chosen, files)
    for note in notes:
        click.echo(f"note: {note}", err=True)


ENDINGS = {"heat_map": (".png", ".svg", ".html"), "export": (".graphml", ".xml")}


def checked_ending(path: Path | None, name: str) -> None:
    """Raise ScenarioError for a file that no writer knows, before anything is computed."""
    if path is not None and path.suffix.lower() not in ENDINGS[name]:
        raise ScenarioError(
            f"cannot write {path.name!r}",
            where=f"--{name.replace('_', '-')}",
            hint=f"the name ends in {' or '.join(ENDINGS[name])}",
        )


def question(pod: str, options: dict[str, Any]) -> FabricQuestion:
    """Return the question that the options ask."""
    traffic, graph = options["traffic"], options["graph"]
    if not pod and graph is None:
        raise click.UsageError("name a POD, or give --graph FILE")
    asked = FabricQuestion(
        pod=pod,
        graph=None if graph is None else GraphFile(name=str(graph), text=read_text(graph)),
        pods=options["pods"],
        collective=options["collective"] or "",
        message_bytes=options["size"],
        ranks=options["ranks"],
        stride=options["stride"],
        algorithm=options["algorithm"],
        traffic=None if traffic is None else MatrixFile(name=str(traffic), content=read_bytes(traffic)),
        faults=tuple(options["faults"]),
        jobs=parse_jobs(options["jobs"]),
        routing=options["routing"],
        seed=options["seed"],
        level=options["level"],
        batch_frac=options["batch_frac"],
    )
    return checked_question(asked)


def read_bytes(path: Path) -> bytes:
    """Return a file's content; raise ScenarioError where it cannot be read, is no plain file, or is too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ScenarioError("is no plain file", where=str(path), hint="devices and pipes are not read")
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1) if path.stat().st_size <= FILE_BYTES_MAX else None
    except OSError as error:
        raise ScenarioError(f"cannot read the file: {error.strerror or error}", where=str(path)) from None
    if content is None or len(content) > FILE_BYTES_MAX:
        raise ScenarioError(f"is larger than {FILE_BYTES_MAX:,} bytes", where=str(path), hint="a smaller file")
    return content


def read_text(path: Path) -> str:
    """Return a file's text; raise ScenarioError where it is none."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScenarioError("is no UTF-8 text", where=str(path), hint="expected GraphML or NCCL XML") from None


def parse_jobs(texts: tuple[str, ...]) -> tuple[JobQuestion, ...]:
    """Return the jobs; raise ScenarioError for one that cannot be read, or whose name is there twice."""
    jobs: dict[str, JobQuestion] = {}
    for text in texts:
        job = parse_job(text)
        if job.name in jobs:
            raise ScenarioError(f"two jobs are called {job.name!r}", where="--job", hint="give each its own name")
        jobs[job.name] = job
    return tuple(jobs.values())


def parse_job(text: str) -> JobQuestion:
    """Return one job.

    >>> parse_job("a=all_reduce:1GB:0+64").ranks_count
    64
    """
    match = JOB.fullmatch(text.strip())
    size = shared.parse_size(match[3]) if match else None
    start = shared.parse_duration(match[7]) if match and match[7] else 0.0
    if match is None or size is None or start is None:
        raise ScenarioError(f"cannot read {text!r}", where="--job", hint=f"write {JOB_FORM}")
    if match[2] not in COLLECTIVES:
        raise ScenarioError(
            f"unknown collective {match[2]!r}", where=f"--job {match[1]}", hint=f"one of {', '.join(COLLECTIVES)}"
        )
    return JobQuestion(
        name=match[1],
        kind=match[2],
        message_bytes=size,
        first=int(match[4]),
        ranks_count=int(match[5]),
        stride=int(match[6] or 1),
        start_s=start,
    )


def own_files(
    catalogue: Catalogue, asked: FabricQuestion, report: FabricReport, options: dict[str, Any]
) -> tuple[list[tuple[Path, str | bytes]], list[str]]:
    """Return the heat map and the exported links where they are asked for, and what their formats cannot say.

    What is exported is the fabric after its faults.
    """
    files: list[tuple[Path, str | bytes]] = []
    notes: list[str] = []
    heat_map, export = options["heat_map"], options["export"]
    if heat_map is not None:
        from superpod.cli.heat_map import drawn_map

        files.append((heat_map, drawn_map(report, heat_map, shared.outputs(options).command)))
    if export is not None:
        from superpod.plan.fabric.graph_parts import written, written_note
        from superpod.plan.fabric.report import topology_of

        topology, tier = topology_of(catalogue, asked)
        files.append((export, written(topology, tier, export.name)))
        note = written_note(topology, tier, export.name)
        notes += [f"{export}: {note}"] if note else []
    return files, notes
