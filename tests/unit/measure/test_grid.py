"""Which cases are measured, and in which order."""

from collections import Counter
from itertools import pairwise

import pytest

from superpod.calibrate.fit import CURVES
from superpod.calibrate.measurements import COLLECTIVES, GEMM
from superpod.calibrate.samples import curve_of
from superpod.catalog.load import Catalogue
from superpod.measure.case import EAGER, GRAPH, KINDS, Case, row_key
from superpod.measure.grid import GRIDS, bit_reversed, cases, collective_cases, kinds_named, spread
from superpod.measure.timing import Timing

ALL = cases(GRIDS["quick"], KINDS, ("bf16", "fp8", "int8"), (EAGER, GRAPH), Catalogue())


@pytest.mark.parametrize("name", list(GRIDS))
def test_every_kind_has_cases_and_none_comes_twice(name: str) -> None:
    alone = cases(GRIDS[name], KINDS, ("bf16",), (EAGER,), Catalogue())
    together = collective_cases(GRIDS[name], KINDS, 8)
    assert {case.kind for case in (*alone, *together)} == set(KINDS)
    keys = Counter(case.key() for case in (*alone, *together))
    assert max(keys.values()) == 1


def test_products_reach_from_one_row_to_long_prefill_and_hold_model_shapes() -> None:
    products = [case for case in ALL if case.kind == GEMM]
    assert {1, 16384} <= {case.rows for case in products}
    assert (8192, 3584) in {(case.columns, case.depth) for case in products}  # Llama-3.1-70B's down product, one of 8
    assert any(case.groups > 1 for case in products)


def test_messages_divide_among_ranks() -> None:
    for ranks in (2, 3, 6, 8, 12, 72):
        found = collective_cases(GRIDS["quick"], COLLECTIVES, ranks)
        assert all(case.bytes % (4 * ranks) == 0 for case in found)
        assert len(found) == len(COLLECTIVES) * len(GRIDS["quick"].messages)


def test_the_quick_grid_carries_the_fits_that_it_feeds() -> None:
    """Enough families that the rows left, whichever of them is held out, outnumber the numbers of the curve."""
    assert len(ALL) == pytest.approx(700, rel=0.06)  # as the guide says
    families: dict[str, Counter[tuple[int, ...]]] = {}
    for case in ALL:
        row = case.row(Timing(median_s=1.0, spread_frac=0.0, repeats_count=3), "chip", "software", "kernel")
        curve = curve_of(row)
        shape = (case.columns, case.depth) if case.kind == GEMM else (case.heads, case.kv_heads, case.head_dim)
        families.setdefault(curve, Counter())[shape if any(shape) else (case.bytes,)] += 1
    families.pop("")
    for curve, counts in families.items():
        assert len(counts) >= 4, curve
        assert counts.total() - max(counts.values()) > len(CURVES[curve.partition(".")[0]].parameters), curve


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100])
@pytest.mark.parametrize("seed", [0, 5])
def test_the_order_visits_everything_once_and_the_smallest_first(count: int, seed: int) -> None:
    order = bit_reversed(count, seed)
    assert sorted(order) == list(range(count))
    assert order[:1] == [0][:count]


@pytest.mark.parametrize("share", [0.15, 0.3, 0.6])
def test_every_beginning_covers_kinds_and_sizes(share: float) -> None:
    ordered = spread(ALL, seed=3)
    assert sorted(map(str, ordered)) == sorted(map(str, ALL))
    kept = ordered[: round(share * len(ordered))]
    assert {case.stratum for case in kept} == {case.stratum for case in ALL}
    for dtype in ("bf16", "fp8", "int8"):
        sizes = sorted(case.work_flop for case in ALL if case.kind == GEMM and case.dtype == dtype)
        held = sorted(case.work_flop for case in kept if case.kind == GEMM and case.dtype == dtype)
        thirds = [sizes[len(sizes) // 3], sizes[2 * len(sizes) // 3]]
        edges = [0.0, *thirds, 1e99]
        counts = [sum(low <= size < high for size in held) for low, high in pairwise(edges)]
        assert min(counts) >= 0.2 * len(held)


def test_seeds_drop_different_cases() -> None:
    assert set(spread(ALL, 0)[:100]) != set(spread(ALL, 1)[:100])


def test_words_name_kinds() -> None:
    assert kinds_named(("attention", "copy")) == ("attention_prefill", "attention_decode", "copy")
    assert set(kinds_named(("collectives",))) == set(COLLECTIVES)
    with pytest.raises(ValueError, match="gem"):
        kinds_named(("gem",))


@pytest.mark.parametrize("case", [ALL[0], *{case.kind: case for case in ALL}.values(), Case(kind="launch", mode=GRAPH)])
def test_a_row_knows_its_case(case: Case) -> None:
    row = case.row(Timing(median_s=1.0, spread_frac=0.0, repeats_count=3), "chip", "software", "kernel")
    assert row_key(row) == case.key()


def test_half_precision_is_recorded_as_sixteen_bits() -> None:
    case = Case(kind=GEMM, dtype="fp16", groups=1, rows=2, columns=3, depth=4)
    row = case.row(Timing(median_s=1.0, spread_frac=None, repeats_count=1), "chip", "software", "mm fp16")
    assert (row.dtype, row.software) == ("bf16", "software; mm fp16")
    assert row_key(row) == case.key()


def test_work_of_a_case() -> None:
    product = Case(kind=GEMM, dtype="fp8", groups=2, rows=3, columns=5, depth=7)
    assert product.work_flop == 2 * 2 * 3 * 5 * 7
    assert product.moved_bytes == 2 * (7 * (3 + 5) * 1 + 3 * 5 * 2)
    decode = next(case for case in ALL if case.kind == "attention_decode")
    caches = decode.sequences * decode.keys * decode.kv_heads * 2 * decode.head_dim * 2
    assert caches < decode.moved_bytes < 1.1 * caches
