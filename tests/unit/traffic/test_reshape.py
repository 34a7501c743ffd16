"""Rates, windows and repetition of streams; statistics of streams against plain sums."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpod.errors import TrafficError
from superpod.traffic.arrivals import poisson
from superpod.traffic.describe import describe
from superpod.traffic.generate import generated
from superpod.traffic.lengths import Independent, Lognormal, fixed
from superpod.traffic.requests import Trace, joined, pieces_of, starts, trace
from superpod.traffic.reshape import first, repeated, shares, stretched, thinned, window
from superpod.traffic.servegen import is_servegen, servegen
from superpod.traffic.sessions import Sessions, conversations
from superpod.traffic.words import arrivals_of, distribution_of

CHAT = Sessions(turns=fixed(4), question=fixed(100), output=fixed(50), think_s=5.0, block_tokens=32)
SHORT = Independent(prompt=fixed(100), output=fixed(10))


def chat(count: int = 5000) -> Trace:
    return joined(conversations(poisson(5.0), CHAT, seed=1, requests_count=count))


def test_stretching_keeps_requests_and_hits() -> None:
    before, after = describe([chat()]), describe(stretched(pieces_of(chat(), 700), 0.25))
    assert after.rate_per_s == pytest.approx(4 * before.rate_per_s)
    assert after.interval_cv_ratio == pytest.approx(before.interval_cv_ratio)
    assert (after.requests_count, after.block_hit_frac) == (before.requests_count, before.block_hit_frac)


def test_thinning_keeps_sessions_whole_and_times() -> None:
    whole = chat(40_000)
    part = joined(thinned(pieces_of(whole, 999), 0.3, seed=2))
    assert part.requests_count == pytest.approx(0.3 * 40_000, rel=0.05)
    kept = np.isin(whole.session, np.unique(part.session))
    np.testing.assert_array_equal(whole.arrival_s[kept], part.arrival_s)
    np.testing.assert_array_equal(whole.kept(kept).blocks, part.blocks)
    again = joined(thinned(pieces_of(whole), 0.3, seed=2))
    np.testing.assert_array_equal(part.arrival_s, again.arrival_s)


def test_thinned_poisson_is_poisson() -> None:
    found = describe(thinned(generated(poisson(10.0), SHORT, seed=1, requests_count=200_000), 0.2, seed=5))
    assert found.rate_per_s == pytest.approx(2.0, rel=0.02)
    assert found.interval_cv_ratio == pytest.approx(1.0, abs=0.02)


def test_shares_are_spread_evenly() -> None:
    counts, _ = np.histogram(shares(np.arange(100_000), 3), bins=20, range=(0, 1))
    assert abs(counts - 5000).max() < 350


def test_window_and_first() -> None:
    whole = trace(np.arange(100), np.arange(100) + 1, np.ones(100))
    part = joined(window(pieces_of(whole, 7), 10.0, 20.0))
    assert part.arrival_s.tolist() == list(range(10))
    assert part.prompt_tokens.tolist() == list(range(11, 21))
    assert joined(first(pieces_of(whole, 7), 15)).arrival_s.tolist() == list(range(15))
    assert joined(first(pieces_of(whole, 7), 1000)).requests_count == 100


@given(st.integers(1, 60), st.integers(1, 200), st.integers(1, 13))
@settings(max_examples=40, deadline=None)
def test_repetition_has_identities_of_its_own(count: int, wanted: int, piece: int) -> None:
    whole = chat(count)
    again = joined(repeated(lambda: pieces_of(whole, piece), wanted))
    assert again.requests_count == wanted
    turns = np.arange(wanted) // count
    for turn in range(turns[-1]):
        assert again.session[turns == turn].max() < again.session[turns == turn + 1].min()
    hits, before = describe([again]), describe([whole])
    if wanted % count == 0:
        assert hits.block_hit_frac == pytest.approx(before.block_hit_frac)


def test_repetition_of_nothing_and_bad_factors_are_refused() -> None:
    nothing: list[Trace] = []
    for stream in (
        repeated(lambda: iter(nothing), 5),
        stretched(iter(nothing), 0.0),
        thinned(iter(nothing), 1.5, seed=0),
        window(iter(nothing), 5.0, 5.0),
    ):
        with pytest.raises(TrafficError):
            list(stream)


@given(st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=25), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_hits_are_those_of_a_plain_cache(requests: list[list[int]], piece: int) -> None:
    rows = len(requests)
    whole = Trace(
        arrival_s=np.arange(rows, dtype=np.float64),
        prompt_tokens=np.array([max(1, 16 * len(item)) for item in requests]),
        output_tokens=np.ones(rows, dtype=np.int64),
        session=np.full(rows, -1),
        block_start=starts(np.array([len(item) for item in requests])),
        blocks=np.array([block for item in requests for block in item], dtype=np.int64),
        block_tokens=16,
    )
    cache: set[int] = set()
    hits = 0
    for item in requests:
        for block in item:
            if block not in cache:
                break
            hits += 1
        cache.update(item)
    found = describe(pieces_of(whole, piece))
    assert found.block_hit_frac == pytest.approx(hits / max(len(whole.blocks), 1))
    assert found.distinct_blocks_count == len(cache)


def test_statistics_are_those_of_numpy() -> None:
    lengths = Independent(prompt=Lognormal(median_tokens=800, sigma=1.2), output=fixed(7))
    whole = joined(generated(poisson(3.0), lengths, seed=9, requests_count=30_000))
    found = describe(pieces_of(whole, 777))
    for percent, value in ((50, found.prompt.p50_tokens), (95, found.prompt.p95_tokens), (99, found.prompt.p99_tokens)):
        assert value == np.percentile(whole.prompt_tokens, percent, method="inverted_cdf")
    gaps = np.diff(whole.arrival_s)
    assert found.interval_cv_ratio == pytest.approx(gaps.std() / gaps.mean())
    assert found.busiest_minute_per_s * 60 == np.bincount((whole.arrival_s // 60).astype(int)).max()
    assert found.output.mean_tokens == 7


def test_a_description_of_nothing_is_zero() -> None:
    found = describe([trace([], [], [])])
    assert (found.requests_count, found.rate_per_s, found.prompt.most_tokens) == (0, 0.0, 0)
    assert describe([trace([1.0, 1.0], [5, 5], [1, 1])]).interval_cv_ratio == 0


def write_client(folder: Path, number: int, rows: list[str], lengths: dict[str, object] | None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"chunk-{number}-trace.csv").write_text("\n".join(rows) + "\n")
    if lengths is not None:
        (folder / f"chunk-{number}-dataset.json").write_text(json.dumps(lengths))


def client(folder: Path) -> Path:
    """Write a folder of two clients, the second of several media."""
    plain = {"input_tokens": "{45: 0.25, 50: 0.75}", "output_tokens": "{7: 1.0}", "reason_ratio": "{0.5: 1.0}"}
    empty = {"input_tokens": "{}", "output_tokens": "{}"}
    write_client(
        folder, 0, ["0,1.5,2.0,Gamma,0.25,9", "600,0,0,,0,0", "1200,1,1,Weibull,1.0,1"], {"0": plain, "600": empty}
    )
    media = {
        "text_tokens": "{10: 1.0}",
        "image_tokens": "{100: 1.0}",
        "image_count": "{0: 0.5, 2: 0.5}",
        "output_tokens": "{3: 1.0}",
    }
    write_client(folder, 12, ["0,0.5,1,Gamma,1,1", "600,0,0,,0,0", "1200,0,0,,0,0"], {"0": media})
    return folder


def joined_servegen(folder: Path, **options: float) -> Trace:
    stream: Iterator[Trace] = servegen(folder, seed=1, **options)  # type: ignore[arg-type]
    return joined(stream)


def test_clients_send_as_published(tmp_path: Path) -> None:
    folder = client(tmp_path / "clients")
    assert is_servegen(folder)
    requests = joined_servegen(folder)
    assert requests.requests_count == 900 + 300 + 600
    assert set(np.unique(requests.prompt_tokens)) == {45, 50, 10, 210}
    assert (requests.output_tokens == 7).sum() == 1500
    assert not ((requests.arrival_s >= 600) & (requests.arrival_s < 1200)).any()
    one = requests.arrival_s[(requests.output_tokens == 7) & (requests.arrival_s < 600)]
    gaps = np.diff(one)
    assert gaps.std() / gaps.mean() == pytest.approx(2.0, rel=0.2)
    late = joined_servegen(folder, start_s=1200.0, rate_factor=2.0)
    assert late.requests_count == 1200
    assert late.arrival_s[-1] < 600


BAD = {
    "a field short": (["0,1,1,Gamma,1"], None, r"chunk-0-trace.csv:1: found '0,1,1,Gamma,1'"),
    "no number": (["0,0,0,,0,0", "600,x,1,Gamma,1,1"], None, r"chunk-0-trace.csv:2: found"),
    "negative rate": (["0,-1,1,Gamma,1,1"], None, r"trace.csv:1: start 0, rate -1"),
    "starts that fall": (["0,1,1,Gamma,1,1", "0,1,1,Gamma,1,1"], None, r"trace.csv:2: start 0.0; expected one after"),
    "unknown family": (["0,1,1,Pareto,1,1"], None, r"trace.csv:1: family 'Pareto'"),
    "no shape": (["0,1,1,Gamma,0,1"], None, r"trace.csv:1: family 'Gamma' with shape 0"),
    "no lengths": (["0,1,1,Gamma,1,1"], None, r"no lengths of clients 0\n"),
    "code": (
        ["0,1,1,Gamma,1,1"],
        {"0": {"input_tokens": "__import__('os').system('true')", "output_tokens": "{1: 1}"}},
        r"dataset.json: window 0: input_tokens: found .__import__",
    ),
    "negative length": (
        ["0,1,1,Gamma,1,1"],
        {"0": {"input_tokens": "{-1: 1}", "output_tokens": "{1: 1}"}},
        r"lengths and probabilities",
    ),
    "no start": (
        ["0,1,1,Gamma,1,1"],
        {"x": {"input_tokens": "{1: 1}", "output_tokens": "{1: 1}"}},
        r"window x: expected a start",
    ),
    "no fields": (["0,1,1,Gamma,1,1"], {"0": {"input_tokens": "{1: 1}"}}, r"window 0: expected output_tokens"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_clients_are_clear_errors(tmp_path: Path, name: str) -> None:
    rows, lengths, message = BAD[name]
    write_client(tmp_path / "c", 0, rows, lengths)  # type: ignore[arg-type]
    with pytest.raises(TrafficError, match=message):
        joined_servegen(tmp_path / "c")


def test_lengths_stand_in_for_clients_without(tmp_path: Path) -> None:
    write_client(tmp_path / "c", 0, ["0,1,1,Gamma,1,1"], None)
    assert joined(servegen(tmp_path / "c", seed=0, lengths=SHORT)).requests_count == 600
    with pytest.raises(TrafficError, match="no chunk"):
        servegen(tmp_path, seed=0)
    assert not is_servegen(tmp_path)


@pytest.mark.parametrize(
    ("text", "rate", "cv"),
    [
        ("20", 20.0, 1.0),
        ("poisson:0.5", 0.5, 1.0),
        (" Gamma:20, cv=2 ", 20.0, 2.0),
        ("uniform:3", 3.0, 0.0),
        ("diurnal:20,peak=1.6,at=14,cv=1.5", 20.0, 1.5),
        ("diurnal:20,hours=1/2/3", 20.0, 1.0),
        ("bursts:50,on=10,off=40", 10.0, 1.0),
    ],
)
def test_arrivals_in_words(text: str, rate: float, cv: float) -> None:
    arrivals = arrivals_of(text)
    assert arrivals.rate_per_s == pytest.approx(rate)
    assert arrivals.cv_ratio == cv


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("1024", 1024.0),
        ("fixed:7", 7.0),
        ("uniform:10-20", 15.0),
        ("lognormal:median=800,sigma=0", 800.0),
        ("lognormal:mean=1155,p95=3000,max=1000000", 1155.0),
    ],
)
def test_lengths_in_words(text: str, mean: float) -> None:
    assert distribution_of(text).draw(np.random.default_rng(1), 100_000).mean() == pytest.approx(mean, rel=0.02)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("poison:20", "'poison' is none of poisson.*did you mean 'poisson'"),
        ("", "none of"),
        ("poisson", "poisson lacks its number"),
        ("poisson:x", "poisson 'x'; expected a number"),
        ("poisson:nan", "expected a number"),
        ("poisson:-1", "expected finite ones, one above 0"),
        ("gamma:20", "gamma lacks cv"),
        ("gamma:20,cv=2,cv=3", "found 'cv=3'"),
        ("gamma:20,2", "found '2'"),
        ("poisson:20,cv=2", "poisson knows no 'cv'"),
        ("diurnal:20,hours=1/a", "numbers joined by /"),
    ],
)
def test_arrivals_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(TrafficError, match=message):
        arrivals_of(text, "--rate")


@pytest.mark.parametrize("text", ["fixed:1.5", "fixed:0", "uniform:5", "uniform:9-5", "lognormal:median=5", "length:5"])
def test_lengths_that_make_no_sense(text: str) -> None:
    with pytest.raises(TrafficError, match=r"lengths|prompt") as caught:
        distribution_of(text)
    assert caught.value.where
