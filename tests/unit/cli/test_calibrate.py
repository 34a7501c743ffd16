"""`superpod calibrate` from the outside: the whole way from measurements to an answer, and what it refuses."""

import csv
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from superpod.calibrate.fit import CURVES, predict
from superpod.calibrate.measurements import COLLECTIVES, Measurement, format_measurements
from superpod.calibrate.run import by_curve, calibrate, of_chip, pod_fabric, unit_of
from superpod.calibrate.samples import from_measurements, narrow_experts, with_quantising
from superpod.catalog.load import Catalogue
from superpod.cli import main
from superpod.errors import MeasurementError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Group
from superpod.measure.case import KINDS
from superpod.measure.grid import GRIDS, cases, collective_cases
from superpod.measure.timing import Timing

pytest.importorskip("scipy")
CATALOGUE = Catalogue()
CHIP = CATALOGUE.chip("h100-sxm")
FITS = CATALOGUE.calibration("nvidia-hopper")
RATES = {dtype: value for dtype, value in dict(CHIP.matrix_flop_per_s.items()).items() if value}
BANDWIDTH = 3.35e12
NOISE = 0.05
ONE = Timing(median_s=1.0, spread_frac=0.01, repeats_count=20)
SOFTWARE = "torch 2.9, cuda 13"


def shipped(curve: str) -> dict[str, float]:
    """Return the numbers of a shipped curve."""
    kind, _, key = curve.partition(".")
    if kind in {"elementwise", "softmax"}:
        share = FITS.memory_frac if kind == "elementwise" else FITS.softmax_memory_frac
        return {"memory_frac": share, "kernel_s": FITS.kernel_s}
    fit = getattr(FITS, kind)[key] if key else getattr(FITS, kind)
    return {item.name: max(getattr(fit, item.name), item.low) for item in CURVES[kind].parameters}


def noisy(rows: Sequence[Measurement], times_s: Sequence[float]) -> list[Measurement]:
    """Return rows with these times and noise on them."""
    draws = np.random.default_rng(len(rows)).normal(0.0, NOISE, len(rows))
    return [
        replace(row, time_s=float(time * np.exp(draw))) for row, time, draw in zip(rows, times_s, draws, strict=True)
    ]


@cache
def operators(chip: str = "h100-sxm") -> tuple[Measurement, ...]:
    """Return what the quick grid would measure on a chip that is as the catalogue says, products of experts bare."""
    grid = cases(GRIDS["quick"], KINDS, ("bf16", "fp8"), ("graph",), CATALOGUE)
    blank = [case.row(ONE, chip, SOFTWARE, "" if case.mode else "kernel") for case in grid]
    found = [row for row in blank if row.kind == "launch"]
    for curve, members in by_curve(blank).items():
        samples = from_measurements(members, curve, RATES, BANDWIDTH)
        times_s = predict(curve, shipped(curve), samples)
        if narrow_experts(curve):
            zero = replace(samples, time_s=np.zeros(len(members)))
            times_s = times_s - with_quantising(zero, curve, FITS.memory_frac, FITS.kernel_s).time_s
        found += noisy(members, times_s.tolist())
    return tuple(found)


@cache
def collectives(chip: str = "h100-sxm") -> tuple[Measurement, ...]:
    """Return the collectives that the quick grid would measure on a board of eight."""
    fabric = pod_fabric(CATALOGUE, CATALOGUE.pod("hgx-h100"), CHIP)
    chosen = [case for ranks in (2, 4, 8) for case in collective_cases(GRIDS["quick"], KINDS, ranks)]
    times_s = [
        float(collective_time(case.kind, fabric, Group(size=float(case.ranks)), float(case.bytes))) for case in chosen
    ]
    return tuple(noisy([case.row(ONE, chip, "nccl 2.29", "nccl") for case in chosen], times_s))


Asked = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Run the verb in an empty folder; return the exit code and both outputs."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run(list(words))
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run


def written(name: str, rows: Sequence[Measurement]) -> str:
    Path(name).write_text(format_measurements(rows), encoding="utf-8", newline="")
    return name


def folders() -> None:
    for name in ("mine/calibration", "mine/links"):
        Path(name).mkdir(parents=True)


def test_from_a_file_of_both_kinds_to_an_answer(ask: Asked) -> None:
    folders()
    rows = written("h100.csv", [*operators(), *collectives()])
    out, link = "mine/calibration/nvidia-hopper.toml", "mine/links/nvlink4.toml"
    both = ("--chip", "h100-sxm", "--out", out, "--pod", "hgx-h100", "--link", link)
    code, text, err = ask("calibrate", rows, *both, "--folds", "5", "--json")
    assert code == 0, err
    answer = json.loads(text)
    assert {"gemm.bf16", "gemm.fp8", "experts.bf16", "experts.fp8", "attention", "decode"} <= set(answer["curves"])
    assert all(fit["median_frac"] < 0.12 for fit in answer["curves"].values())
    assert set(answer["collectives"]) == set(COLLECTIVES)
    assert all(error["median_frac"] < 0.1 for error in answer["collectives"].values())
    assert "h100-sxm" in answer["used_by"]
    assert "hgx-h100" in answer["link_used_by"]
    mine = Catalogue(folders=(*CATALOGUE.folders, Path("mine").resolve()))
    made, relative = mine.calibration("nvidia-hopper"), CATALOGUE.calibration("nvidia-hopper")
    assert not made.borrowed_from
    assert made.band_frac >= relative.band_frac
    assert made.note == f"fitted to h100.csv: {SOFTWARE}; a device is a chip"
    assert "quantising the inputs" in made.facts["experts.fp8.peak_frac"].note
    assert made.facts["training_attention.peak_frac"].note.startswith("borrowed from")
    assert made.earlier_attention == relative.earlier_attention
    assert made.chip_spread_frac == relative.chip_spread_frac
    assert mine.link("nvlink4").efficiency_frac == pytest.approx(CATALOGUE.link("nvlink4").efficiency_frac, rel=0.1)
    code, text, err = ask("serve", "llama-3.1-70b", "--pod", "hgx-h100", "--catalog", "mine", "--json")
    assert code == 0, err
    assert "h100.csv on H100 SXM" in text


def test_who_will_use_a_file_is_told(ask: Asked) -> None:
    rows = written("links.csv", collectives("my chip"))
    code, text, _ = ask("calibrate", rows, "--pod", "hgx-h100", "--link", "mine.toml")
    assert code == 0
    said = " ".join(text.split())
    assert "no pod names mine; call it nvlink4.toml" in said
    assert "in no folder named links" in said
    assert "the file calls its chip 'my chip'" in said
    tree = tomllib.loads(Path("mine.toml").read_text(encoding="utf-8"))
    assert tree["borrowed_from"] == "nvlink4"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "give --chip CHIP --out FILE.toml --pod POD --link FILE.toml"),
        ("--chip h100-sxm", "give both"),
        ("--link x.toml", "give both"),
        ("--pod hgx-h100 --link x.toml --per die", "--per is for operators"),
        ("--chip h200-sxm --out x.toml", "another chip of the catalogue"),
        ("--chip h100-sxm --out x.toml --pod hgx-h200 --link y.toml", "holds h200-sxm"),
        ("--chip h100-sxm --out x.toml --html in.csv", "not written over"),
        ("--chip h100-sxm --out in.csv --force", "not written over"),
        ("--chip h100-sxm --out X.toml", "expected lower-case letters"),
        ('--chip h100-sxm --out a"b.toml', "expected lower-case letters"),
        ("--chip h100-sxm --out x.csv", "no TOML file by its name"),
        ("--chip h100-sxm --out x.toml --pod hgx-h100 --link x.toml", "the same file"),
    ],
)
def test_what_cannot_be_is_one_error_and_writes_nothing(ask: Asked, words: str, says: str) -> None:
    some = [*operators()[:40], *collectives()[:20]]
    rows = written("in.csv", some)
    code, text, err = ask("calibrate", rows, *words.split())
    assert (code, text) == (2, "")
    assert says in " ".join(err.split())
    assert [item.name for item in Path().iterdir()] == ["in.csv"]
    assert Path("in.csv").read_text(encoding="utf-8") == format_measurements(some).replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("rows", "words", "says"),
    [
        (operators, "--pod hgx-h100 --link x.toml", "expected collectives for --link"),
        (collectives, "--chip h100-sxm --out x.toml", "expected operators for --out"),
    ],
)
def test_a_file_without_the_kind_that_is_asked_for(
    ask: Asked, rows: Callable[[], tuple[Measurement, ...]], words: str, says: str
) -> None:
    code, _, err = ask("calibrate", written("in.csv", rows()), *words.split())
    assert code == 2
    assert says in err


def test_times_in_another_unit_are_refused(ask: Asked) -> None:
    rows = [replace(row, time_s=row.time_s * 1e3) for row in operators() if row.kind in {"copy", "softmax", "gemm"}]
    links = [replace(row, time_s=row.time_s * 1e3) for row in collectives() if row.kind == "all_gather"]
    name = written("ms.csv", [*rows, *links])
    code, _, err = ask("calibrate", name, "--chip", "h100-sxm", "--out", "x.toml", "--folds", "3")
    assert code == 2
    assert "memory_frac is at the low end of its search" in err
    assert "times are in seconds" in err
    code, _, err = ask("calibrate", name, "--pod", "hgx-h100", "--link", "x.toml")
    assert code == 2
    assert "all_gather: not used: efficiency_frac would be" in err
    assert not Path("x.toml").exists()


def test_why_a_curve_is_refused_is_kept(ask: Asked) -> None:
    fast = [replace(row, time_s=row.time_s / 1e3) for row in operators() if row.kind == "gemm" and row.dtype == "bf16"]
    rows = [*fast, *(row for row in operators() if row.kind == "softmax")]
    code, text, _ = ask("calibrate", written("in.csv", rows), "--chip", "h100-sxm", "--out", "x.toml", "--json")
    assert code == 0
    assert any("rows lie below their roofline" in line for line in json.loads(text)["left"])


def test_control_characters_of_the_file_are_quoted(ask: Asked) -> None:
    odd = [replace(row, software='x"\x07\x7f\ny; kernel') for row in operators() if row.kind == "softmax"]
    code, _, err = ask("calibrate", written("in.csv", odd), "--chip", "h100-sxm", "--out", "x.toml")
    assert code == 0, err
    tree = tomllib.loads(Path("x.toml").read_text(encoding="utf-8"))
    assert tree["note"] == 'fitted to in.csv: x"\x07\x7f\ny; a device is a chip'
    with Path("in.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["software"].endswith("; kernel")


@pytest.mark.parametrize(
    ("chip", "asked", "word", "per_chip"),
    [
        ("h100-sxm", "", "chip", 1.0),
        ("b200-sxm", "", "chip", 1.0),
        ("ascend-910c", "", "die", 2.0),
        ("ascend-910c", "chip", "chip", 1.0),
    ],
)
def test_a_device_is_what_pods_rank(chip: str, asked: str, word: str, per_chip: float) -> None:
    unit = unit_of(CATALOGUE, CATALOGUE.chip(chip), asked)
    assert (unit.word, unit.devices_count) == (word, per_chip)


def test_shares_are_of_a_die_where_a_device_is_one() -> None:
    chip = CATALOGUE.chip("ascend-910c")
    bandwidth = chip.memory.bandwidth_bytes_per_s or 0.0
    rows = [
        Measurement(kind="copy", bytes=2.0**size, time_s=2e-6 + 2.0**size / (0.8 * bandwidth / 2.0), chip="npu")
        for size in range(14, 31)
    ]
    made = calibrate(rows, chip, 5, unit_of(CATALOGUE, chip, ""))
    assert made.fitted["elementwise"].values["memory_frac"] == pytest.approx(0.8, rel=0.02)


def test_rows_of_other_chips_are_counted_or_refused() -> None:
    row = Measurement(kind="launch", time_s=1e-6, chip="H100 SXM")
    rows, said = of_chip([row, replace(row, chip="other")], CHIP, CATALOGUE)
    assert (len(rows), said) == (1, ["1 rows of 'other': another chip"])
    with pytest.raises(MeasurementError, match="another chip of the catalogue"):
        of_chip([replace(row, chip="MI300X")], CHIP, CATALOGUE)
    with pytest.raises(MeasurementError, match="expected 'h100-sxm' in some rows"):
        of_chip([replace(row, chip="a"), replace(row, chip="b")], CHIP, CATALOGUE)


@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "0.5"])
def test_an_imbalance_that_is_none_is_refused(ask: Asked, value: str) -> None:
    code, _, err = ask("serve", "llama-3.1-8b", "--pod", "hgx-h100", "--imbalance", value)
    assert code == 2
    assert "--imbalance" in err
