"""Fits: known curves are found again, held-out errors are honest, rows that cannot be true are refused."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from superpod.calibrate.fit import fit_curve, predict
from superpod.calibrate.measurements import Measurement, format_measurements
from superpod.calibrate.run import calibrate
from superpod.calibrate.samples import bound_s, curve_of, from_measurements
from superpod.catalog.load import Catalogue
from superpod.cli.main import cli
from superpod.errors import MeasurementError

pytest.importorskip("scipy")
CATALOGUE = Catalogue()
CHIP = CATALOGUE.chip("h100-sxm")
RATES = {"bf16": 989e12, "fp8": 1979e12}
BANDWIDTH = 3.35e12
TRUTH = {
    "peak_frac": 0.75,
    "memory_frac": 0.85,
    "kernel_s": 3e-6,
    "rows_half_count": 20.0,
    "columns_half_count": 60.0,
    "depth_half_count": 100.0,
    "latency_depth_count": 3000.0,
    "latency_power": 0.5,
    "join_power": 2.0,
}
WIDTHS = (256, 1024, 4096, 8192, 16384)


def rows_of(noise: float = 0.0, chip: str = "h100-sxm") -> list[Measurement]:
    """Return products whose times a known curve gives, with some noise."""
    blank = [
        Measurement(kind="gemm", dtype="bf16", rows=float(m), columns=float(n), depth=float(k), time_s=1.0, chip=chip)
        for m in (1, 16, 64, 256, 1024, 4096)
        for n in WIDTHS
        for k in WIDTHS
    ]
    samples = from_measurements(blank, "gemm.bf16", RATES, BANDWIDTH)
    draws = np.random.default_rng(1).normal(0.0, noise, len(blank))
    times = predict("gemm.bf16", TRUTH, samples) * np.exp(draws)
    return [
        Measurement(
            kind="gemm",
            dtype="bf16",
            rows=row.rows,
            columns=row.columns,
            depth=row.depth,
            time_s=float(time),
            chip=chip,
            software="kit",
        )
        for row, time in zip(blank, times, strict=True)
    ]


def test_a_known_curve_is_found_again() -> None:
    samples = from_measurements(rows_of(), "gemm.bf16", RATES, BANDWIDTH)
    fit = fit_curve("gemm.bf16", samples, 5)
    assert fit.median_frac < 0.01
    assert fit.values["peak_frac"] == pytest.approx(TRUTH["peak_frac"], rel=0.05)
    assert fit.values["memory_frac"] == pytest.approx(TRUTH["memory_frac"], rel=0.05)
    assert fit.values["kernel_s"] == pytest.approx(TRUTH["kernel_s"], rel=0.1)


def test_the_error_told_is_that_of_the_noise() -> None:
    """Rows that scatter by 20 % cannot be predicted to better: the median of |normal| is 0.67 of its width."""
    samples = from_measurements(rows_of(0.2), "gemm.bf16", RATES, BANDWIDTH)
    fit = fit_curve("gemm.bf16", samples, 5)
    assert 0.09 < fit.median_frac < 0.2
    assert fit.p90_frac > 0.25


def test_a_shape_family_that_behaves_otherwise_shows_in_the_held_out_error() -> None:
    rows = rows_of()
    slow = [
        row if row.columns != 4096 else Measurement(**{**as_fields(row), "time_s": row.time_s * 3.0}) for row in rows
    ]
    samples = from_measurements(slow, "gemm.bf16", RATES, BANDWIDTH)
    fit = fit_curve("gemm.bf16", samples, 5)
    odd = np.array([row.columns == 4096 for row in slow])
    assert np.median(fit.errors_frac[odd]) < -0.5


def as_fields(row: Measurement) -> dict[str, object]:
    return {name: getattr(row, name) for name in Measurement.__dataclass_fields__}


def test_rows_below_the_roofline_are_refused() -> None:
    samples = from_measurements(rows_of(), "gemm.bf16", RATES, BANDWIDTH)
    times = samples.time_s.copy()
    times[:7] = bound_s(samples)[:7] * 0.5
    rows = [
        Measurement(**{**as_fields(row), "time_s": float(time)}) for row, time in zip(rows_of(), times, strict=True)
    ]
    fit = fit_curve("gemm.bf16", from_measurements(rows, "gemm.bf16", RATES, BANDWIDTH), 5)
    assert fit.refused_count == 7
    assert fit.rows_count == len(rows) - 7


def test_too_few_rows_are_told() -> None:
    samples = from_measurements(rows_of()[:5], "gemm.bf16", RATES, BANDWIDTH)
    with pytest.raises(MeasurementError, match="5 rows of"):
        fit_curve("gemm.bf16", samples, 5)


@pytest.mark.parametrize(
    ("row", "curve"),
    [
        (Measurement(kind="gemm", dtype="fp16", time_s=1.0, chip="c"), "gemm.bf16"),
        (Measurement(kind="gemm", dtype="fp8_block", groups=8.0, time_s=1.0, chip="c"), "experts.fp8_block"),
        (Measurement(kind="attention_prefill", head_dim=192, value_dim=128, time_s=1.0, chip="c"), "latent_attention"),
        (Measurement(kind="mla_decode", time_s=1.0, chip="c"), "latent_decode"),
        (Measurement(kind="copy", time_s=1.0, chip="c"), "elementwise"),
        (Measurement(kind="all_reduce", time_s=1.0, chip="c"), ""),
    ],
)
def test_each_row_has_its_curve(row: Measurement, curve: str) -> None:
    assert curve_of(row) == curve


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(MeasurementError, match="column dtype: found 'fp3'"):
        curve_of(Measurement(kind="gemm", dtype="fp3", time_s=1.0, chip="c"))


def test_rows_without_a_curve_are_left_aside_and_told() -> None:
    also = Measurement(kind="all_reduce", ranks=8.0, bytes=1e6, time_s=1e-4, chip="h100-sxm")
    made = calibrate([*rows_of(), also], CHIP, 5)
    assert set(made.fitted) == {"gemm.bf16"}
    assert any("all_reduce" in line for line in made.left)


def run(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli, list(arguments), obj=["calibrate"])
    return outcome.exit_code, outcome.output + str(outcome.exception or "")


def test_the_verb_writes_a_calibration_that_the_catalogue_reads(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "calibration"
    folder.mkdir(parents=True)
    rows, out = tmp_path / "rows.csv", folder / "nvidia-hopper.toml"
    rows.write_text(format_measurements(rows_of(0.05)), encoding="utf-8", newline="")
    code, said = run("calibrate", str(rows), "--chip", "h100-sxm", "--out", str(out), "--folds", "3")
    assert code == 0, said
    made = Catalogue(folders=(*CATALOGUE.folders, tmp_path / "mine")).calibration("nvidia-hopper")
    assert made.gemm["bf16"].peak_frac == pytest.approx(TRUTH["peak_frac"], rel=0.1)
    assert made.decode == CATALOGUE.calibration("nvidia-hopper").decode
    fact = made.facts["gemm.bf16.peak_frac"]
    assert fact.source == "own-measurements"
    assert "held out" in fact.note
    assert made.facts["decode.peak_frac"].note.startswith("borrowed from")
    assert 0.02 < made.band_frac < 0.2
    code, said = run("calibrate", str(rows), "--chip", "h100-sxm", "--out", str(out))
    assert "there already" in said
    code, said = run("calibrate", str(rows), "--chip", "h100-sxm", "--out", str(out), "--force", "--json")
    assert code == 0
    assert '"gemm.bf16"' in said


def test_a_bad_file_ends_in_a_clear_error(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("kind,time_s,chip\nlaunch,x,c\n", encoding="utf-8")
    _, said = run("calibrate", str(rows), "--chip", "h100-sxm", "--out", str(tmp_path / "x.toml"))
    assert "line 2, column time_s" in said
    assert not (tmp_path / "x.toml").exists()
