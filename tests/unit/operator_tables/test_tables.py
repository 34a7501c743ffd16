"""Operator tables of a small package made here: exact, between, beyond, monotone, never under the roofline."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samples import DEVICES
from superpod.compute.cost import op_time, roofline_time
from superpod.compute.device import Device
from superpod.errors import NoBasisError, UnknownNameError
from superpod.operator_tables import choose, locate
from superpod.operator_tables.bounds import Measured, held
from superpod.operator_tables.grid import build, read
from superpod.operator_tables.locate import Backend, Layout, Quantising, System, system
from superpod.operator_tables.tables import MeasuredTables
from superpod.workload.blocks.moe import operators as expert_operators
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, FULL, AttentionShape, Op, backward, elementwise, gemm
from superpod.workload.phase import Partition, decode_phase
from superpod.workload.precision import PRECISIONS

SLOWER = 1.7  # how much slower than their roofline the kernels of the small package are
ROWS, WIDTHS = (1, 2, 4, 8, 16, 64, 256, 1024, 4096), (256, 1024, 4096)
SEQUENCES, TOKENS, HEADS = (1, 4, 16), (64, 256, 1024, 4096), (8, 16, 32)


def device() -> Device:
    return DEVICES["nvidia-hopper"]


def product(rows: Any, columns: Any = 1024.0, depth: Any = 4096.0) -> Op:
    return gemm("product", rows=rows, columns=columns, depth=depth, dtype="bf16", element_bytes=(2.0, 2.0))


def decode(sequences: Any, keys: Any, heads: Any = 32.0, query_tokens: float = 1.0) -> Op:
    return Op(
        name="attention",
        kind=DECODE_ATTENTION,
        dtype="bf16",
        flop=4.0 * sequences * query_tokens * keys * heads * 128.0,
        traffic_bytes=sequences * (keys * 8.0 * 256.0 * 2.0 + query_tokens * heads * 256.0 * 2.0),
        attention=AttentionShape(
            form=FULL,
            sequences=sequences,
            query_tokens=query_tokens,
            keys=keys,
            context=keys,
            heads=heads,
            kv_heads=8.0,
            head_dim=128.0,
            value_dim=128.0,
            causal=False,
        ),
    )


def seconds(op: Op) -> float:
    return SLOWER * float(roofline_time(op, device())) + 2e-6


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> MeasuredTables:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    root: Path = tmp_path_factory.mktemp("package")

    def write(family: str, name: str, rows: list[dict[str, Any]], engine: str = "one") -> None:
        path = root / "chip" / family / engine / "1.0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    shapes = [(m, n, k) for m in ROWS for n in WIDTHS for k in WIDTHS if m * n * k < 4096 * 4096 * 1024]
    for engine, factor in (("one", 1.0), ("two", 1.2), ("three", 3.0)):
        products = [
            {"gemm_dtype": "bfloat16", "m": m, "n": n, "k": k, "latency": factor * seconds(product(m, n, k)) * 1e3}
            for m, n, k in shapes
        ]
        write("gemm", "gemm_perf.parquet", products, engine)
    attention = [
        {
            "batch_size": b,
            "step": t - 1,
            "num_heads": h,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "window_size": 0,
            "kv_cache_dtype": "bfloat16",
            "attn_dtype": "bfloat16",
            "latency": seconds(decode(b, t, h)) * 1e3,
        }
        for b in SEQUENCES
        for t in TOKENS
        for h in HEADS
    ]
    for row in attention:  # as kernels of one query head for each key-value head can be
        row["latency"] *= 2.0 if row["num_heads"] == 8 else 1.0
    write("attention", "generation_attention_perf.parquet", attention)
    experts = [
        {
            "moe_dtype": "bfloat16",
            "num_tokens": tokens,
            "hidden_size": 4096,
            "inter_size": 1536,
            "topk": 8,
            "num_experts": 128,
            "moe_tp_size": 1,
            "moe_ep_size": ep,
            "distribution": "balanced",
            "latency": 0.02 + 0.001 * tokens / ep + 3.0 / ep,
        }
        for tokens in (1, 8, 64, 512, 4096)
        for ep in (1, 8, 64)
    ]
    write("moe", "moe_perf.parquet", experts)
    known = Layout(
        package="small 1.0",
        version="1.0",
        root=root,
        chips={"some-chip": "chip"},
        relatives={"cousin": "chip"},
        backends={name: Backend(id=name, name=name.title(), releases=("1.0",)) for name in ("one", "two", "three")},
        dtypes={"bf16": "bfloat16"},
    )
    return MeasuredTables(system=system("some-chip", "one", known))


@pytest.fixture
def every_engine(tables: MeasuredTables) -> MeasuredTables:
    place = tables.system
    engines = tuple(Backend(id=name, name=name.title(), releases=("1.0",)) for name in ("one", "two", "three"))
    return MeasuredTables(system=type(place)(**{**fields(place), "backends": engines}))


def fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def asked(tables: MeasuredTables, op: Op) -> tuple[Any, Any]:
    """Return (seconds, measured share)."""
    times, known = tables.times((op,), (op_time(op, device()),), device())
    return times[0], known[0] / times[0]


@pytest.mark.parametrize("op", [product(64.0), product(1024.0, 256.0, 256.0), decode(4.0, 1024.0), decode(1.0, 64.0)])
def test_what_was_measured_is_answered_verbatim(tables: MeasuredTables, op: Op) -> None:
    time_s, share = asked(tables, op)
    assert time_s == pytest.approx(seconds(op), rel=1e-12)
    assert share == 1.0


@pytest.mark.parametrize("op", [product(100.0), product(64.0, 2000.0), product(3.0, 512.0, 2048.0), decode(8.0, 700.0)])
def test_between_measurements_it_stays_near_them(tables: MeasuredTables, op: Op) -> None:
    time_s, share = asked(tables, op)
    assert time_s == pytest.approx(seconds(op), rel=0.25)
    assert share == 1.0


@pytest.mark.parametrize("make", [product, lambda rows: decode(rows, 1000.0), lambda keys: decode(5.0, keys)])
def test_times_are_continuous_and_never_fall_with_work(tables: MeasuredTables, make: Any) -> None:
    sizes = np.geomspace(0.2, 1e6, 4001)
    time_s, share = asked(tables, make(sizes))
    assert np.all(np.diff(time_s) >= -1e-12 * time_s[1:])
    assert np.all(np.abs(np.diff(np.log(time_s))) < 0.05)
    assert share[0] < 1.0
    assert share[-1] == 0.0


@pytest.mark.parametrize(
    "make",
    [
        lambda columns: product(300.0, columns),
        lambda depth: product(300.0, 700.0, depth),
        lambda heads: decode(5.0, 900.0, np.maximum(heads, 8.0)),
    ],
)
def test_times_never_fall_along_the_other_axes(tables: MeasuredTables, make: Any) -> None:
    time_s, _ = asked(tables, make(np.geomspace(2.0, 65536.0, 2001)))
    assert np.all(np.diff(time_s) >= -1e-12 * time_s[1:])


def test_far_outside_the_analytic_model_answers(tables: MeasuredTables) -> None:
    for op in (product(1e6), product(64.0, 1e6), decode(4.0, 1e6), decode(4.0, 1024.0, query_tokens=8.0)):
        time_s, share = asked(tables, op)
        assert share == 0.0
        assert time_s == pytest.approx(float(op_time(op, device())), rel=1e-12)


def test_what_was_never_timed_is_analytic(tables: MeasuredTables) -> None:
    odd = Op(name="scores", kind=ATTENTION, dtype="bf16", flop=1e9, traffic_bytes=1e6)
    weights = backward(product(1024.0))[1]
    narrow = gemm("p", rows=8.0, columns=1024.0, depth=1024.0, dtype="fp8", element_bytes=(1.0, 1.0), scaling="block")
    for op in (odd, weights, narrow, elementwise("norm", 1e6)):
        time_s, share = asked(tables, op)
        assert share == 0.0
        assert time_s == op_time(op, device())


def test_no_kernel_beats_the_roofline(tables: MeasuredTables) -> None:
    rows = np.geomspace(0.1, 1e6, 500)
    for op in (product(rows), product(rows, 17.0, 33.0), decode(rows, 300.0), decode(2.0, rows)):
        assert np.all(asked(tables, op)[0] >= roofline_time(op, device()) * (1.0 - 1e-12))


def test_columns_are_rows(tables: MeasuredTables) -> None:
    rng = np.random.default_rng(3)
    rows, columns, depth = np.exp(rng.uniform(-1.0, 11.0, (3, 60)))
    batch = asked(tables, product(rows, columns, depth))
    for place in range(60):
        single = asked(tables, product(float(rows[place]), float(columns[place]), float(depth[place])))
        assert batch[0][place] == pytest.approx(single[0], rel=1e-12)
        assert batch[1][place] == pytest.approx(single[1], rel=1e-9, abs=1e-12)


def test_engines_answer_by_their_median(tables: MeasuredTables, every_engine: MeasuredTables) -> None:
    op = product(64.0)
    assert asked(every_engine, op)[0] == pytest.approx(1.2 * seconds(op), rel=1e-9)
    only_one = decode(4.0, 1024.0)  # the others did not time attention
    assert asked(every_engine, only_one)[0] == pytest.approx(seconds(only_one), rel=1e-9)


def bounds(*pairs: tuple[float, float]) -> list[Measured]:
    return [
        Measured(floor=np.array(low), ceiling=np.array(high), share_frac=np.array(0.9 - 0.1 * place))
        for place, (low, high) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (bounds((3.0, 3.0)), (3.0, 0.9)),
        (bounds((-9.0, 9.0)), (0.0, 0.0)),
        (bounds((1.0, 9.0)), (1.0, 0.9)),
        (bounds((3.0, 3.0), (1.0, 1.0), (2.0, 2.0)), (2.0, 0.7)),
        (bounds((3.0, 3.0), (-9.0, 9.0), (-9.0, 9.0)), (3.0, 0.9)),  # who was not timed there does not count
        (bounds((3.0, 3.0), (1.0, 1.0)), (1.0, 0.8)),  # between two the analytic model decides
        (bounds((3.0, 3.0), (-1.0, -1.0)), (0.0, 0.0)),
    ],
)
def test_engines_and_the_analytic_model_by_their_median(answers: list[Measured], expected: tuple[float, float]) -> None:
    assert held(answers, 1.0) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


def narrow(rows: Any, columns: Any = 1024.0, depth: Any = 4096.0, scaling: str = "block") -> Op:
    sizes = {"rows": rows, "columns": columns, "depth": depth}
    return gemm("narrow", **sizes, dtype="fp8", element_bytes=(1.0, 1.0), scaling=scaling)


@pytest.fixture(scope="module")
def quantising(tmp_path_factory: pytest.TempPathFactory) -> System:
    """Return tables of narrow products that were timed with quantising, of 1 us + 1 ps an element by the engine."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    root: Path = tmp_path_factory.mktemp("narrow")

    def write(family: str, name: str, rows: list[dict[str, Any]]) -> None:
        path = root / "chip" / family / "one" / "1.0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    shapes = [(m, n, k) for m in ROWS for n in WIDTHS for k in WIDTHS]
    products = [
        {"gemm_dtype": word, "m": m, "n": n, "k": k, "latency": (seconds(narrow(m, n, k)) + by_engine(m, k)) * 1e3}
        for m, n, k in shapes
        for word in ("fp8", "fp8_block")
    ]
    write("gemm", "gemm_perf.parquet", products)
    for name, part in (("find.parquet", 0.25), ("scale.parquet", 0.75)):
        inputs = [
            {"quant_dtype": "fp8", "m": m, "k": k, "latency": part * by_engine(m, k) * 1e3}
            for m in ROWS
            for k in WIDTHS
        ]
        write("quantize", name, inputs)
    known = Layout(
        package="small 1.0",
        version="1.0",
        root=root,
        chips={"some-chip": "chip"},
        relatives={},
        backends={"one": Backend(id="one", name="One", releases=("1.0",))},
        dtypes={"fp8 tensor": "fp8", "fp8 block": "fp8_block"},
        quantising={
            "fp8": Quantising(element_bytes=5.0, kernels_count=2.0, timed={"one": ("find.parquet", "scale.parquet")}),
            "fp8_block": Quantising(element_bytes=3.0, kernels_count=1.0),
        },
    )
    return system("some-chip", "one", known)


def by_engine(rows: float, depth: float) -> float:
    return 1e-6 + 1e-12 * rows * depth


def test_quantising_that_was_timed_by_itself_is_taken_out(quantising: System) -> None:
    op = narrow(1024.0, scaling="tensor")
    assert asked(MeasuredTables(system=quantising), op)[0] == pytest.approx(seconds(op), rel=1e-9)


@pytest.mark.parametrize("rows", [1.0, 256.0, 4096.0])
def test_quantising_that_was_not_is_an_elementwise_kernel(quantising: System, rows: float) -> None:
    op = narrow(rows)
    spent = float(op_time(elementwise("quantise", 3.0 * rows * 4096.0), device()))
    expected = seconds(op) + by_engine(rows, 4096.0) - spent
    assert asked(MeasuredTables(system=quantising), op)[0] == pytest.approx(expected, rel=1e-9)


def test_a_row_of_quantising_keeps_a_quarter(quantising: System) -> None:
    how = {"fp8_block": Quantising(element_bytes=3000.0, kernels_count=1.0)}
    tables = MeasuredTables(system=System(**{**fields(quantising), "quantising": how}))
    op = narrow(64.0)
    held = locate.choice("least_left_frac") * (seconds(op) + by_engine(64.0, 4096.0))
    assert asked(tables, op)[0] == pytest.approx(max(held, float(roofline_time(op, device()))), rel=1e-9)


@pytest.mark.parametrize("scaling", ["tensor", "block"])
def test_narrow_products_never_fall_with_work_nor_beat_the_roofline(quantising: System, scaling: str) -> None:
    op = narrow(np.geomspace(0.2, 1e6, 4001), 700.0, 3000.0, scaling)
    time_s, _ = asked(MeasuredTables(system=quantising), op)
    assert np.all(np.diff(time_s) >= -1e-12 * time_s[1:])
    assert np.all(np.abs(np.diff(np.log(time_s))) < 0.05)
    assert np.all(time_s >= roofline_time(op, device()) * (1.0 - 1e-12))


def test_what_has_nothing_to_do_takes_none_and_leaves_its_column_alone(tables: MeasuredTables) -> None:
    op = product(np.array([0.0, 64.0]))
    analytic = np.where(np.array([0.0, 64.0]) > 0.0, op_time(op, device()), 0.0)
    times, known = tables.times((op,), (analytic,), device())
    alone = asked(tables, product(64.0))
    assert times[0].tolist() == [0.0, pytest.approx(alone[0], rel=1e-12)]
    assert known[0].tolist() == [0.0, pytest.approx(alone[0], rel=1e-12)]


def test_kernels_held_at_the_roofline_are_not_measured(tables: MeasuredTables) -> None:
    op = product(1024.0)
    fast = MeasuredTables(system=tables.system)
    slow = device()
    held_device = Device(**{**fields(slow), "matrix_flop_per_s": {"bf16": slow.matrix_flop_per_s["bf16"] / 10.0}})
    times, known = fast.times((op,), (op_time(op, held_device),), held_device)
    assert times[0] == pytest.approx(float(roofline_time(op, held_device)))
    assert known[0] == 0.0


def test_experts_are_answered_as_one(tables: MeasuredTables) -> None:
    from superpod.catalog.load import Catalogue

    spec = Catalogue().model("qwen3-235b-a22b")
    phase = decode_phase(64.0, 4096.0, 1.0)
    operators = expert_operators(spec.layers[-1].ffn, spec.hidden_count, phase, Partition(), PRECISIONS["bf16"])
    analytic = tuple(op_time(op, device()) for op in operators)
    times, known = tables.times(operators, analytic, device())
    trio = [place for place, op in enumerate(operators) if op.name.startswith("experts")]
    assert sum(times[place] for place in trio) == pytest.approx(0.001 * 64 * 1e-3 + 3.02e-3, rel=0.05)
    assert all(known[place] > 0.95 * times[place] for place in trio)


def test_a_slow_outlier_does_not_hold_up_the_bigger_ones() -> None:
    sizes = np.array([1.0, 2.0, 4.0, 8.0])
    grid = build((sizes,), np.array([1.0, 50.0, 3.0, 4.0]))
    assert grid is not None
    assert np.exp(read(grid, (sizes,)).log_time) == pytest.approx([1.0, 3.0, 3.0, 4.0])


def test_grids_know_their_holes_and_edges() -> None:
    size, other = np.array([1.0, 4.0, 1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0, 2.0, 2.0])
    grid = build((size, other), np.array([1.0, 4.0, 2.0, 4.0, 8.0]))
    assert grid is not None
    hole = read(grid, (np.array(2.0), np.array(1.0)))
    assert np.exp(hole.log_time) == pytest.approx(2.0)  # on the line between its neighbours
    beyond = read(grid, (np.array(16.0), np.array(1.0)))
    assert beyond.outside == pytest.approx(np.log(4.0))
    assert np.exp([beyond.floor, beyond.ceiling]) == pytest.approx([4.0, 64.0])  # as it was, or with the square
    assert build((np.zeros(0),), np.zeros(0)) is None


def test_bounds_never_fall_with_work_whatever_was_measured() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        sizes = np.exp(rng.integers(0, 7, (3, 60)).astype(float))
        grid = build(tuple(sizes), np.exp(rng.normal(0.0, 2.0, 60)))
        assert grid is not None
        line = np.exp(np.linspace(-2.0, 9.0, 300))
        fixed = [np.exp(rng.uniform(-1.0, 8.0)) * np.ones(300) for _ in range(2)]
        for sizes_along in ((line, *fixed), (fixed[0], line, fixed[1]), (line, line, fixed[0])):
            found = read(grid, sizes_along)
            assert np.all(np.diff(found.floor) >= -1e-9)
            assert np.all(np.diff(found.ceiling) >= -1e-9)
            assert np.all(found.floor <= found.ceiling + 1e-9)


@pytest.mark.parametrize("known", [1.0, 3.0])
def test_a_decode_step_with_drafts_lies_between_steps_without(tables: MeasuredTables, known: float) -> None:
    drafts = np.geomspace(1.0, 16.0, 500)
    time_s = np.array([asked(tables, decode(known, 1000.0, query_tokens=float(count)))[0] for count in drafts])
    assert time_s[0] == pytest.approx(asked(tables, decode(known, 1000.0))[0], rel=1e-12)
    assert np.all(np.diff(time_s) >= -1e-12 * time_s[1:])


@pytest.fixture
def fresh() -> Iterator[None]:
    locate.layout.cache_clear()
    yield
    locate.layout.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_missing_package_and_another_release_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        version = "0.13.0"

    monkeypatch.setattr(locate, "distribution", lambda _: Other())
    with pytest.raises(NoBasisError, match=r"0\.13\.0 is installed"):
        choose.chosen("auto", "h200-sxm", "", 1.0)

    def absent(name: str) -> None:
        raise locate.PackageNotFoundError(name)

    monkeypatch.setattr(locate, "distribution", absent)
    with pytest.raises(NoBasisError, match="not installed") as raised:
        choose.chosen("trtllm", "h200-sxm", "", 1.0)
    assert "superpod[tables]" in raised.value.hint


def test_without_tables_the_analytic_model_answers() -> None:
    assert choose.chosen("none", "h200-sxm", "", 1.0) is None
    assert choose.chosen("auto", "ascend-910c", "", 1.0) is None
    assert choose.chosen("auto", "h200-sxm", "", 2.0) is None


def test_unknown_engines_and_chips_are_refused(tables: MeasuredTables) -> None:
    place = tables.system
    known = Layout(
        package="small 1.0", version="1.0", root=place.folder.parent, chips={"a": "chip"}, relatives={}, backends={},
        dtypes={},
    )  # fmt: skip
    with pytest.raises(NoBasisError, match="no operator tables of b"):
        system("b", "all", known)
    with pytest.raises(UnknownNameError, match="no-engine"):
        system("a", "no-engine", known)


def small(root: Path) -> Layout:
    return Layout(
        package="small 1.0",
        version="1.0",
        root=root,
        chips={"some-chip": "chip"},
        relatives={},
        backends={"one": Backend(id="one", name="One", releases=("1.0",))},
        dtypes={"bf16": "bfloat16"},
    )


@pytest.mark.parametrize("content", [b"", b"no table at all" * 10])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "chip" / "gemm" / "one" / "1.0" / "gemm_perf.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(NoBasisError, match="not a table of operators") as raised:
        asked(MeasuredTables(system=system("some-chip", "one", small(tmp_path))), product(64.0))
    assert raised.value.where == str(path)


@pytest.mark.parametrize("folder", ["", "chip", "chip/gemm/one/0.9", "chip/gemm/other/1.0"])
def test_a_package_without_the_files_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    if folder.count("/"):
        (tmp_path / folder / "gemm_perf.parquet").touch()
    with pytest.raises(NoBasisError, match=r"no table of One 1\.0"):
        system("some-chip", "one", small(tmp_path))


def installed() -> bool:
    try:
        return locate.layout().root.is_dir() and find_spec("pyarrow") is not None
    except NoBasisError:
        return False


@pytest.mark.skipif(not installed(), reason="needs the extra `tables`")
@pytest.mark.parametrize(("scaling", "columns", "row_s"), [("tensor", 64.0, 682.7e-6), ("block", 256.0, 504.4e-6)])
def test_the_installed_package_is_read_without_quantising(scaling: str, columns: float, row_s: float) -> None:
    op = narrow(32768.0, columns, 7168.0, scaling)
    time_s, share = asked(MeasuredTables(system=system("h100-sxm", "trtllm")), op)
    assert share == 1.0
    assert time_s < 0.7 * row_s


@pytest.mark.skipif(not installed(), reason="needs the extra `tables`")
@pytest.mark.parametrize("engine", ["trtllm", "sglang", "vllm", "all"])
def test_no_installed_product_takes_longer_than_a_bigger_one(engine: str) -> None:
    tables, rng = MeasuredTables(system=system("b200-sxm", engine)), np.random.default_rng(7)
    line = np.geomspace(8.0, 65536.0, 400)
    for _ in range(10):
        rows, columns, depth = np.exp(rng.uniform(np.log(16.0), np.log(20000.0), 3))
        for sizes in ((line, columns, depth), (rows, line, depth), (rows, columns, line)):
            time_s, _ = asked(tables, narrow(*sizes, scaling="tensor"))
            assert np.all(np.diff(time_s) >= -1e-12 * time_s[1:])


@pytest.mark.skipif(not installed(), reason="needs the extra `tables`")
def test_a_scenario_says_what_it_used() -> None:
    from superpod.catalog.load import Catalogue
    from superpod.plan.evaluate import evaluate
    from superpod.plan.scenario import Scenario, Serving

    asked_for = {"model": "llama-3.1-8b", "pod": "hgx-h200", "cards": 8, "work": Serving(mode="aggregated")}
    plain = evaluate(Catalogue(), Scenario(**asked_for))
    report = evaluate(Catalogue(), Scenario(**asked_for, tables="trtllm"))
    assert any("TensorRT-LLM 1.3.0rc20" in note for note in report.notes)
    assert any(used.where == "tables/operators:time_s" for used in report.facts)
    assert report.catalogue_hash != plain.catalogue_hash
    assert 0.5 < report.headline.value / plain.headline.value < 2.0
