"""`superpod calibrate`: measured operators fitted to a chip's rates, with the error on shapes left out; links too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver
from superpod.cli.page import Block, Column, Page, Table, Text
from superpod.cli.wording import count
from superpod.errors import MeasurementError, ScenarioError

if TYPE_CHECKING:
    from superpod.calibrate.measurements import Measurement
    from superpod.calibrate.run import Calibrated, LinkCalibrated
    from superpod.catalog.load import Catalogue

FILE = click.Path(dir_okay=False, path_type=Path)
ID = re.compile(r"[a-z0-9][a-z0-9.-]*")
FOR_OPERATORS, FOR_LINKS = "--chip CHIP --out FILE.toml", "--pod POD --link FILE.toml"
EXAMPLES = """
\b
Examples:
  superpod calibrate h100.csv --chip h100-sxm --out mine/calibration/nvidia-hopper.toml
  superpod calibrate h100-links.csv --pod hgx-h100 --link mine/links/nvlink4.toml
  superpod serve deepseek-r1 --pod hgx-h100 --catalog mine
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One file's part of the answer: its text, what JSON says, what the page shows, and lines below it."""

    path: Path
    text: str
    answer: Mapping[str, Any]
    table: Table
    lines: Sequence[str]


@click.command("calibrate", short_help="Fit operator and link efficiencies to measurements.", epilog=EXAMPLES)
@click.argument("path", metavar="MEASUREMENTS.csv", type=FILE)
@click.option("--chip", "chip_name", metavar="CHIP", help="Whose peak and bandwidth the operators' shares are of.")
@click.option("--out", type=FILE, metavar="FILE.toml", help="The calibration of operators; its stem is the id.")
@click.option(
    "--per",
    type=click.Choice(("chip", "die")),
    help="What one measured device is.  [default: a die where pods of the catalogue have it as their rank]",
)
@click.option("--base", metavar="ID", help="Stands in where no operator was measured.  [default: the chip's own]")
@click.option("--pod", "pod_name", metavar="POD", help="Whose innermost links the collectives ran over.")
@click.option("--link", type=FILE, metavar="FILE.toml", help="The link fitted to collectives; its stem is the id.")
@click.option(
    "--folds",
    type=click.IntRange(2, 1000),
    default=10,
    show_default=True,
    help="Cross-validation: shape families are left out in so many turns.",
)
@click.option("--force", is_flag=True, help="Write over the files.")
@shared.common
def command(path: Path, **options: Any) -> None:
    """Fit the operator model, the links, or both, to a file of measurements, as files for your catalogue folder.

    Each curve's error is measured on shape families that were left out of its fit. What has too few rows is borrowed.
    Operators need --chip and --out, and scipy (the extra `calibrate`); collectives need --pod and --link.
    """
    from superpod.calibrate.measurements import COLLECTIVES, read_measurements

    check_options(path, options)
    rows = read_measurements(path)
    operators = [row for row in rows if row.kind not in COLLECTIVES]
    collectives = [row for row in rows if row.kind in COLLECTIVES]
    check_rows(path, operators, collectives, options)
    catalogue = shared.open_catalogue(options)
    made: list[Made] = []
    if options["out"] is not None:
        made.append(operator_file(catalogue, path, operators, options))
    if options["link"] is not None:
        made.append(link_file(catalogue, path, collectives, options))
    unasked = [
        f"{count(len(some))} {what} are left: {words} fits them"
        for some, what, words, option in (
            (operators, "rows of operators", FOR_OPERATORS, "out"),
            (collectives, "rows of collectives", FOR_LINKS, "link"),
        )
        if some and options[option] is None
    ]
    answer: dict[str, Any] = {}
    for item in made:
        answer |= item.answer
    answer["left"] = [*answer.get("left", ()), *unasked]
    deliver(
        "calibrate",
        answer,
        lambda _: page(path, made, unasked),
        shared.outputs(options),
        tuple((item.path, item.text) for item in made),
    )


def check_options(path: Path, options: Mapping[str, Any]) -> None:
    """Raise an error, before anything is read, for options without their partner and for places that cannot be."""
    for one, other, words in (("chip_name", "out", FOR_OPERATORS), ("pod_name", "link", FOR_LINKS)):
        if (options[one] is None) != (options[other] is None):
            raise click.UsageError(f"{words}: give both")
    for name in ("base", "per"):
        if options[name] is not None and options["out"] is None:
            raise click.UsageError(f"--{name} is for operators: give {FOR_OPERATORS} too")
    places = {f"--{name}": options[name] for name in ("out", "link", "html", "svg")}
    for option, place in places.items():
        if place is not None and place.resolve() == path.resolve():
            raise ScenarioError(
                "is the file of measurements, which is not written over",
                where=f"{option} {place}",
                hint="name another file",
            )
    check_places(places)
    for option in ("out", "link"):
        if options[option] is not None:
            refuse_place(f"--{option}", options[option], force=options["force"])


def check_rows(
    path: Path, operators: Sequence[Measurement], collectives: Sequence[Measurement], options: Mapping[str, Any]
) -> None:
    """Raise an error where the options ask for what the file does not hold, or for nothing of what it holds."""
    holds = " and ".join(
        f"{count(len(some))} {what}"
        for some, what in ((operators, "rows of operators"), (collectives, "rows of collectives"))
        if some
    )
    needed = " ".join(words for some, words in ((operators, FOR_OPERATORS), (collectives, FOR_LINKS)) if some)
    if options["out"] is None and options["link"] is None:
        raise click.UsageError(f"{path} holds {holds}: give {needed}")
    for some, option, what in ((operators, "out", "operators"), (collectives, "link", "collectives")):
        if options[option] is not None and not some:
            raise MeasurementError(f"holds {holds}, expected {what} for --{option}", where=str(path), hint=needed)


def refuse_place(option: str, out: Path, *, force: bool) -> None:
    """Raise ScenarioError for a file that is there already, or whose name no catalogue would find."""
    where = f"{option} {out}"
    if out.suffix != ".toml":
        raise ScenarioError("is no TOML file by its name", where=where, hint="name it ID.toml")
    if not ID.fullmatch(out.stem):
        raise ScenarioError(
            f"found the id {out.stem!r}, expected lower-case letters, digits, dots and hyphens",
            where=where,
            hint="the file's stem is the id",
        )
    if out.exists() and not force:
        raise ScenarioError("is there already", where=where, hint="--force writes over it")


def operator_file(
    catalogue: Catalogue, path: Path, measured: Sequence[Measurement], options: Mapping[str, Any]
) -> Made:
    """Return the calibration of a chip's operators."""
    from superpod.calibrate.run import base_of, calibrate, chips_of, of_chip, unit_of
    from superpod.calibrate.write import Provenance, calibration_text

    out = options["out"]
    chip = catalogue.chip(options["chip_name"])
    rows, said = of_chip(measured, chip, catalogue)
    base = base_of(catalogue, chip, options["base"] or "")
    unit = unit_of(catalogue, chip, options["per"] or "")
    made = calibrate(rows, chip, options["folds"], unit, catalogue.calibration(base))
    device = f"a device is a {unit.word}" + (f", {unit.devices_count:g} a chip" if unit.word == "die" else "")
    software = ", ".join(software_words(rows))
    text = calibration_text(
        name=out.stem,
        title=f"{chip.name}, measured",
        version="1",
        note=f"fitted to {path.name}" + (f": {software}" if software else "") + f"; {device}",
        fitted=made.fitted,
        provenance=Provenance(kind="benchmark", source="own-measurements", words=f"{path.name} on {chip.name}"),
        base=catalogue.tree("calibration", base),
        lender=base,
        ranges=made.ranges,
    )
    used = chips_of(catalogue, out.stem)
    users = used_by(out, "calibration", used, f"no chip names {out.stem}; call it {chip.calibration}.toml")
    left = [*said, *made.left]
    lines = (
        "Errors are of predictions for shape families that were left out of the fit.",
        f"What is not listed is borrowed from {base}.",
        f"In rates and bandwidth, {device}.",
        *on_bounds(made),
        *left,
        *users,
    )
    answer = {"chip": chip.id, "per": unit.word, "base": base, "file": str(out), "used_by": used, "curves": told(made)}
    return Made(path=out, text=text, answer={**answer, "left": left}, table=curves_table(made), lines=lines)


def link_file(catalogue: Catalogue, path: Path, measured: Sequence[Measurement], options: Mapping[str, Any]) -> Made:
    """Return the link that a pod's collectives were fitted to."""
    from superpod.calibrate.links import link_toml
    from superpod.calibrate.run import calibrate_link, of_chip, pod_fabric, pods_of

    out = options["link"]
    pod = catalogue.pod(options["pod_name"])
    chip = catalogue.chip(pod.chip)
    if options["chip_name"] is not None and catalogue.chip(options["chip_name"]).id != chip.id:
        raise ScenarioError(
            f"{pod.name} holds {chip.id}, expected the chip of --chip {options['chip_name']}",
            where=f"--pod {options['pod_name']}",
            hint="name a pod of that chip",
        )
    rows, said = of_chip(measured, chip, catalogue)
    fabric = pod_fabric(catalogue, pod, chip)
    made = calibrate_link(rows, fabric)
    tier = fabric.tiers[0]
    software = ", ".join(software_words(rows))
    text = link_toml(
        made.fit,
        out.stem,
        name=f"{tier.link.name} of {pod.name}, measured",
        version="1",
        measured_on=f"{path.name} on {pod.name}" + (f" ({software})" if software else ""),
    )
    used = pods_of(catalogue, out.stem)
    users = used_by(out, "links", used, f"no pod names {out.stem}; call it {tier.link.id}.toml")
    left = [*said, *made.left]
    lines = (f"Errors of {out.stem}: {made.fit.left_out}.", f"Other numbers are borrowed from {tier.link.id}.")
    answer = {
        "pod": pod.id,
        "tier": tier.name,
        "relative": tier.link.id,
        "link_file": str(out),
        "link_used_by": used,
        "link_values": dict(made.fit.values),
        "collectives": {error.kind: collective_told(error) for error in made.fit.errors},
        "link_left": left,
    }
    return Made(path=out, text=text, answer=answer, table=link_table(made), lines=(*lines, *left, *users))


def software_words(rows: Sequence[Measurement]) -> list[str]:
    """Return what ran the rows, kernels left out, each once."""
    from superpod.calibrate.measurements import software_of

    return sorted({software_of(row) for row in rows if row.software})


def used_by(out: Path, folder: str, users: Sequence[str], nobody: str) -> list[str]:
    """Return who will read a file, and where it must lie for that."""
    lines = [f"{out.name} is used by: {', '.join(users)}" if users else f"Warning: {nobody}"]
    if out.resolve().parent.name != folder:
        lines.append(
            f"Warning: {out} lies in no folder named {folder}; --catalog FOLDER reads FOLDER/{folder}/{out.name}"
        )
    return lines


def on_bounds(made: Calibrated) -> list[str]:
    """Return which numbers of which curves the search left on a bound."""
    found = {curve: fit.on_bounds for curve, fit in made.fitted.items()}
    return [
        f"{curve}: at the end of their search: "
        + ", ".join(f"{name} {made.fitted[curve].values[name]:.3g} ({end})" for name, end in ends.items())
        for curve, ends in found.items()
        if ends
    ]


def told(made: Calibrated) -> dict[str, dict[str, Any]]:
    """Return each curve's numbers and errors."""
    return {
        curve: {
            "values": dict(fit.values),
            "on_bounds": dict(fit.on_bounds),
            "rows_count": fit.rows_count,
            "refused_count": fit.refused_count,
            "families_count": fit.families_count,
            "folds_count": fit.folds_count,
            "median_frac": fit.median_frac,
            "p90_frac": fit.p90_frac,
        }
        for curve, fit in made.fitted.items()
    }


def collective_told(error: Any) -> dict[str, Any]:
    """Return a collective's errors."""
    return {name: getattr(error, name) for name in ("rows_count", "median_frac", "p90_frac")}


def curves_table(made: Calibrated) -> Table:
    """Return the table of fits."""
    labels = ("rows", "refused", "families", "median error", "P90")
    rows = tuple(
        (
            curve,
            count(fit.rows_count),
            count(fit.refused_count),
            count(fit.families_count),
            f"{fit.median_frac:.1%}",
            f"{fit.p90_frac:.1%}",
        )
        for curve, fit in made.fitted.items()
    )
    return Table(title="", columns=columns("curve", labels), rows=rows)


def link_table(made: LinkCalibrated) -> Table:
    """Return the table of collectives."""
    rows = tuple(
        (error.kind, count(error.rows_count), f"{error.median_frac:.1%}", f"{error.p90_frac:.1%}")
        for error in made.fit.errors
    )
    return Table(title="", columns=columns("collective", ("rows", "median error", "P90")), rows=rows)


def columns(first: str, others: Sequence[str]) -> tuple[Column, ...]:
    """Return a column of words, then columns of numbers."""
    return (Column(label=first), *(Column(label=label, right=True) for label in others))


def page(path: Path, made: Sequence[Made], unasked: Sequence[str]) -> Page:
    """Return the tables of fits, each with what was left aside below."""
    blocks: list[Block] = []
    for item in made:
        blocks += [item.table, Text(title="", lines=tuple(item.lines), tone="faint")]
    if unasked:
        blocks.append(Text(title="", lines=tuple(unasked), tone="faint"))
    return Page(title=f"{path.name}, fitted", subtitle="", blocks=tuple(blocks))
