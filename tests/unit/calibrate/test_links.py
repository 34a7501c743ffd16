"""Links fitted to measured collectives: what was put in comes out, and what no row decides stays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samples import CATALOGUE, FABRICS, Level, fabric
from superpod.calibrate.links import fit_link, link_toml
from superpod.calibrate.measurements import COLLECTIVES, Measurement
from superpod.catalog.calibration import LinkCalibration
from superpod.catalog.read import build_entry, read_toml
from superpod.errors import MeasurementError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Group

MACHINE = FABRICS["switch"]
SIZES = 2.0 ** np.arange(10, 31, 2)


def slower() -> LinkCalibration:
    """Return the sample link with other latencies and rates."""
    link = MACHINE.tiers[0].link
    regimes = tuple(replace(row, base_s=1.5 * row.base_s, step_s=1.2 * row.step_s) for row in link.regimes)
    exchange = replace(link.exchange, base_s=2.0 * link.exchange.base_s, everyone_frac=0.6)
    return replace(link, regimes=regimes, exchange=exchange, efficiency_frac=0.7)


def measured(kinds: tuple[str, ...], ranks: tuple[float, ...], noise_frac: float = 0.0) -> list[Measurement]:
    """Return rows as a machine with the slower link would give them."""
    machine = replace(MACHINE, tiers=(replace(MACHINE.tiers[0], link=slower()),))
    noise = np.random.default_rng(7)
    rows = []
    for kind in kinds:
        for size in ranks:
            for message in SIZES:
                spent = float(collective_time(kind, machine, Group(size=size), float(message)))
                off = float(np.exp(noise_frac * noise.standard_normal()))
                rows.append(Measurement(kind=kind, ranks=size, bytes=float(message), time_s=spent * off, chip="sample"))
    return rows


def test_what_was_put_in_comes_out() -> None:
    fit = fit_link(measured(COLLECTIVES, (2.0, 4.0, 8.0)), MACHINE)
    assert [row.kind for row in fit.errors] == list(COLLECTIVES)
    assert all(row.median_frac < 0.03 for row in fit.errors)
    assert fit.link.efficiency_frac == pytest.approx(0.7, rel=0.05)
    assert fit.left_out == "each rank count left out in turn"


def test_one_slow_row_moves_nothing() -> None:
    rows = measured(("all_gather",), (2.0, 4.0, 8.0), noise_frac=0.02)
    clean = fit_link(rows, MACHINE)
    spoilt = fit_link([replace(rows[4], time_s=20.0 * rows[4].time_s), *rows[:4], *rows[5:]], MACHINE)
    assert spoilt.link.efficiency_frac == pytest.approx(clean.link.efficiency_frac, rel=0.03)


def test_numbers_without_rows_stay_those_of_the_relative() -> None:
    fit = fit_link(measured(("all_gather",), (8.0,)), MACHINE)
    relative = MACHINE.tiers[0].link
    assert fit.link.exchange == relative.exchange
    assert fit.link.expert_latency == relative.expert_latency
    assert fit.left_out == "every other size left out"


def test_a_written_link_is_read_back(tmp_path: Path) -> None:
    fit = fit_link(measured(("all_reduce", "all_to_all"), (2.0, 8.0)), MACHINE)
    text = link_toml(fit, "mine", name='My "links"', version="2026-11", measured_on="8 samples, NCCL 2.29")
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    made = build_entry("links", LinkCalibration, read_toml(path), path, {}, estimates=False)
    assert made.borrowed_from == fit.link.id
    assert made.regimes == fit.link.regimes
    assert made.exchange == fit.link.exchange
    assert made.peer_kernels == fit.link.peer_kernels
    assert made.band_frac == pytest.approx(fit.band_frac)
    assert "NCCL 2.29" in made.facts["regimes.LL.base_s"].note
    assert made.facts["expert_latency.dispatch_s"].note.startswith(f"borrowed from {fit.link.id}")


def test_shares_stay_shares() -> None:
    """Rows faster than the links cannot make a share larger than 1."""
    rows = [replace(row, time_s=row.time_s / 10.0) for row in measured(("all_gather", "all_to_all"), (4.0, 8.0))]
    fit = fit_link(rows, MACHINE)
    assert all(value <= 1.0 for path, value in fit.values.items() if path.endswith("_frac"))


def test_rows_that_cannot_be_fitted_are_refused() -> None:
    copy = Measurement(kind="copy", bytes=1e6, time_s=1e-6, chip="sample")
    with pytest.raises(MeasurementError, match="no row is a collective"):
        fit_link([copy], MACHINE)
    with pytest.raises(MeasurementError, match="expected 2 to 8"):
        fit_link([replace(copy, kind="all_reduce", ranks=16.0)], MACHINE)
    two = fabric(Level(structure="switch", arity=8), Level(structure="clos", arity=4))
    with pytest.raises(MeasurementError, match="expected 2 to 8"):
        fit_link([replace(copy, kind="all_reduce", ranks=16.0)], two)


@pytest.mark.parametrize("name", ["nvlink5", "ub1"])
def test_links_of_the_catalogue_can_be_written(name: str, tmp_path: Path) -> None:
    tier = replace(MACHINE.tiers[0], link=CATALOGUE.link(name))
    fit = fit_link(measured(("all_gather",), (8.0,)), replace(MACHINE, tiers=(tier,)))
    path = tmp_path / "mine.toml"
    path.write_text(link_toml(fit, "mine", name="mine", version="1", measured_on="samples"), encoding="utf-8")
    build_entry("links", LinkCalibration, read_toml(path), path, {}, estimates=False)
