"""`superpod calibrate`: measured operators fitted to a chip's rates, with the error on shapes left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from superpod.cli import options as shared
from superpod.cli.deliver import check_places, deliver
from superpod.cli.page import Block, Column, Page, Table, Text
from superpod.cli.wording import count
from superpod.errors import ScenarioError

if TYPE_CHECKING:
    from superpod.calibrate.run import Calibrated

FILE = click.Path(dir_okay=False, path_type=Path)
EXAMPLES = """
\b
Examples:
  superpod calibrate h100.csv --chip h100-sxm --out mine/calibration/nvidia-hopper.toml
  superpod serve deepseek-r1 --pod hgx-h100 --catalog mine
"""


@click.command("calibrate", short_help="Fit operator efficiencies to measurements.", epilog=EXAMPLES)
@click.argument("path", metavar="MEASUREMENTS.csv", type=FILE)
@click.option("--chip", "chip_name", required=True, metavar="CHIP", help="Whose peak and bandwidth shares are of.")
@click.option("--out", required=True, type=FILE, metavar="FILE.toml", help="The calibration; its stem is the id.")
@click.option("--base", metavar="ID", help="Stands in where no row was measured.  [default: the chip's own]")
@click.option(
    "--folds",
    type=click.IntRange(2, 1000),
    default=10,
    show_default=True,
    help="Cross-validation: shape families are left out in so many turns.",
)
@click.option("--force", is_flag=True, help="Write over the file.")
@shared.common
def command(path: Path, chip_name: str, out: Path, **options: Any) -> None:
    """Fit the operator model to a file of measurements and write a calibration for your catalogue folder.

    Each curve's error is measured on shape families that were left out of its fit. What has too few rows is borrowed.
    Needs scipy (the extra `calibrate`).
    """
    from superpod.calibrate.measurements import read_measurements
    from superpod.calibrate.run import base_of, calibrate, of_chip
    from superpod.calibrate.write import Provenance, calibration_text

    check_places({"--out": out, "--html": options["html"], "--svg": options["svg"]})
    refuse_place(out, force=options["force"])
    catalogue = shared.open_catalogue(options)
    chip = catalogue.chip(chip_name)
    base = base_of(catalogue, chip, options["base"] or "")
    rows = of_chip(read_measurements(path), chip)
    made = calibrate(rows, chip, options["folds"])
    software = ", ".join(sorted({row.software for row in rows if row.software}))
    text = calibration_text(
        name=out.stem,
        title=f"{chip.name}, measured",
        version="1",
        note=f"fitted to {path.name}" + (f": {software}" if software else ""),
        fitted=made.fitted,
        provenance=Provenance(kind="benchmark", source="own-measurements", words=f"{path.name} on {chip.name}"),
        base=catalogue.tree("calibration", base),
        lender=base,
        ranges=made.ranges,
    )
    answer = {"chip": chip.id, "base": base, "file": str(out), "curves": told(made), "left": list(made.left)}
    deliver("calibrate", answer, lambda _: page(made, chip.name, base), shared.outputs(options), ((out, text),))


def refuse_place(out: Path, *, force: bool) -> None:
    """Raise ScenarioError for a file that is there already, or whose name no catalogue would find."""
    if out.suffix != ".toml":
        raise ScenarioError("is no TOML file by its name", where=f"--out {out}", hint="name it ID.toml")
    if out.exists() and not force:
        raise ScenarioError("is there already", where=f"--out {out}", hint="--force writes over it")


def told(made: Calibrated) -> dict[str, dict[str, Any]]:
    """Return each curve's numbers and errors."""
    return {
        curve: {
            "values": dict(fit.values),
            "rows_count": fit.rows_count,
            "refused_count": fit.refused_count,
            "families_count": fit.families_count,
            "folds_count": fit.folds_count,
            "median_frac": fit.median_frac,
            "p90_frac": fit.p90_frac,
        }
        for curve, fit in made.fitted.items()
    }


def page(made: Calibrated, chip: str, base: str) -> Page:
    """Return the table of fits, with what was left aside below."""
    columns = (
        Column(label="curve"),
        Column(label="rows", right=True),
        Column(label="refused", right=True),
        Column(label="families", right=True),
        Column(label="median error", right=True),
        Column(label="P90", right=True),
    )
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
    blocks: list[Block] = [Table(title="", columns=columns, rows=rows)]
    lines = (
        "Errors are of predictions for shape families that were left out of the fit.",
        f"What is not listed is borrowed from {base}.",
        *made.left,
    )
    blocks.append(Text(title="", lines=lines, tone="faint"))
    return Page(title=f"Operators of {chip}, fitted", subtitle="", blocks=tuple(blocks))
