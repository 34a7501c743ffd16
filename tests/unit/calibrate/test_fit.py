"""Fits: known curves are found again, held-out errors are honest, rows that cannot be true are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from superpod.calibrate.fit import fit_curve, predict
from superpod.calibrate.measurements import Measurement, format_measurements
from superpod.calibrate.run import calibrate, worthless
from superpod.calibrate.samples import bound_s, curve_of, from_measurements
from superpod.calibrate.write import band_frac
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
    "power_loss_frac": 1e-3,
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


def test_each_fold_needs_rows_enough() -> None:
    """Two families of 8: eight rows are left to fit a curve of more numbers where one is held out."""
    narrow = [row for row in rows_of() if row.columns in {256, 1024} and row.depth == 4096]
    samples = from_measurements([*narrow, *narrow[:4]], "gemm.bf16", RATES, BANDWIDTH)
    with pytest.raises(MeasurementError, match="held out, expected"):
        fit_curve("gemm.bf16", samples, 5)


def test_numbers_on_the_end_of_their_search_are_told() -> None:
    sizes = 2.0 ** np.arange(16, 31)
    rows = [
        Measurement(kind="copy", bytes=size, time_s=2e-6 + size / (0.05 * BANDWIDTH), chip="h100-sxm") for size in sizes
    ]
    fit = fit_curve("elementwise", from_measurements(rows, "elementwise", RATES, BANDWIDTH), 5)
    assert fit.on_bounds["memory_frac"] == "low"
    assert any("low end of its search" in reason for reason in worthless(fit))


def test_a_band_is_what_readers_take_it_for() -> None:
    """Half of the time predicted is a factor of two: a band of 1, whose log1p is the error's."""
    samples = from_measurements(rows_of(), "gemm.bf16", RATES, BANDWIDTH)
    half = replace(fit_curve("gemm.bf16", samples, 2), errors_frac=np.full(10, -0.5))
    assert band_frac([half]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("row", "curve"),
    [
        (Measurement(kind="gemm", dtype="fp16", time_s=1.0, chip="c"), "gemm.bf16"),
        (Measurement(kind="gemm", dtype="fp8_block", groups=8.0, time_s=1.0, chip="c"), "experts.fp8_block"),
        (Measurement(kind="attention_prefill", head_dim=192, value_dim=128, time_s=1.0, chip="c"), "latent_attention"),
        (Measurement(kind="mla_decode", time_s=1.0, chip="c"), "latent_decode"),
        (Measurement(kind="copy", time_s=1.0, chip="c"), "elementwise"),
        (Measurement(kind="all_reduce", time_s=1.0, chip="c"), ""),
        (Measurement(kind="attention_decode", dtype="fp8", time_s=1.0, chip="c"), ""),
    ],
)
def test_each_row_has_its_curve(row: Measurement, curve: str) -> None:
    assert curve_of(row) == curve


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(MeasurementError, match="column dtype: found 'fp3'"):
        curve_of(Measurement(kind="gemm", dtype="fp3", time_s=1.0, chip="c"))


def test_rows_without_a_curve_are_left_aside_and_told() -> None:
    heads: dict[str, Any] = {"sequences": 8.0, "keys": 512.0, "heads": 32.0, "kv_heads": 8.0, "head_dim": 128.0}
    shape = {**heads, "time_s": 1e-4, "chip": "h100-sxm"}
    also = [
        Measurement(kind="launch", time_s=1e-6, chip="h100-sxm"),
        *[Measurement(kind="attention_decode", dtype="fp8", kv_dtype="fp8", **shape)] * 3,
        *[Measurement(kind="attention_prefill", dtype="bf16", kv_dtype="int8", query_tokens=512.0, **shape)] * 2,
    ]
    made = calibrate([*rows_of(), *also], CHIP, 5)
    assert set(made.fitted) == {"gemm.bf16"}
    assert list(made.left) == [
        "1 rows of launch: no operator's curve",
        "3 rows of attention_decode that computes in fp8: no operator's curve",
        "2 rows of attention_prefill over caches of int8: no operator's curve",
    ]


def test_a_narrow_cache_has_its_bytes_in_the_traffic() -> None:
    heads: dict[str, Any] = {"sequences": 8.0, "keys": 4096.0, "heads": 32.0, "kv_heads": 8.0, "head_dim": 128.0}
    rows = [
        Measurement(kind="attention_decode", dtype="bf16", kv_dtype=cache, time_s=1e-4, chip="h100-sxm", **heads)
        for cache in ("bf16", "fp8")
    ]
    (part,) = from_measurements(rows, "decode", RATES, BANDWIDTH).parts
    wide, narrow = np.asarray(part.traffic_bytes)
    assert narrow < 0.51 * wide


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
    assert made.band_frac == CATALOGUE.calibration("nvidia-hopper").band_frac  # most of it is borrowed
    assert not made.borrowed_from
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
