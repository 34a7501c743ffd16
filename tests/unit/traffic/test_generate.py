"""Drawn requests have the rate, variation and lengths asked for, the same for the same seed."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from superpod.errors import TrafficError
from superpod.traffic.arrivals import DAY_S, HOUR_S, Arrivals, bursts, diurnal, gamma, poisson, profile, uniform
from superpod.traffic.describe import describe
from superpod.traffic.generate import closed_loop, generated
from superpod.traffic.lengths import (
    Distribution,
    Empirical,
    Independent,
    Lognormal,
    Resampled,
    Uniform,
    fixed,
    lognormal_of_mean,
)
from superpod.traffic.requests import Trace, joined
from superpod.traffic.sessions import Sessions, conversations

SHORT = Independent(prompt=fixed(100), output=fixed(10))
ALIKE = 1e-3  # a true distribution fails a test with a fixed seed this rarely


def drawn(arrivals: Arrivals, count: int = 50_000, seed: int = 7) -> Trace:
    return joined(generated(arrivals, SHORT, seed=seed, requests_count=count))


def test_poisson_intervals_are_exponential() -> None:
    gaps = np.diff(drawn(poisson(20.0)).arrival_s)
    assert stats.kstest(gaps, stats.expon(scale=1 / 20).cdf).pvalue > ALIKE


@pytest.mark.parametrize("cv", [0.3, 0.8, 2.0, 5.0])
def test_gamma_intervals_are_gamma_distributed(cv: float) -> None:
    gaps = np.diff(drawn(gamma(20.0, cv), 200_000).arrival_s)
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)
    own = stats.gamma(cv**-2, scale=cv**2 / 20)
    assert stats.kstest(gaps[gaps > 1e-9], lambda x: (own.cdf(x) - own.cdf(1e-9)) / own.sf(1e-9)).pvalue > ALIKE


def test_uniform_arrivals_are_evenly_spaced() -> None:
    assert np.diff(drawn(uniform(4.0), 1000).arrival_s) == pytest.approx(0.25)


def test_a_day_follows_its_hours() -> None:
    day = diurnal(2.0, 1.8, peak_s=15 * HOUR_S)
    assert day.rate_per_s == pytest.approx(2.0)
    requests = joined(generated(day, SHORT, seed=3, duration_s=2 * DAY_S))
    hours, _ = np.histogram(requests.arrival_s, bins=48, range=(0, 2 * DAY_S))
    expected = np.array(day.rates_per_s * 2) * HOUR_S
    assert stats.chisquare(hours, expected * hours.sum() / expected.sum()).pvalue > ALIKE
    assert hours.sum() == pytest.approx(2.0 * 2 * DAY_S, rel=0.01)
    assert int(np.argmax(day.rates_per_s)) in {14, 15}


def test_bursts_are_silent_between() -> None:
    requests = drawn(bursts(50.0, 10.0, 30.0), 20_000)
    assert (requests.arrival_s % 40 <= 10).all()
    assert describe([requests]).rate_per_s == pytest.approx(12.5, rel=0.05)


@given(
    st.lists(st.tuples(st.just(0.0) | st.floats(0.01, 50), st.floats(0.1, 20)), min_size=1, max_size=6).filter(
        lambda spans: any(rate for rate, _ in spans)
    ),
    st.sampled_from([0.0, 1.0, 2.5]),
)
@settings(max_examples=60, deadline=None)
def test_time_on_the_clock_inverts_the_expected_count(spans: list[tuple[float, float]], cv: float) -> None:
    rates, lengths = zip(*spans, strict=True)
    arrivals = Arrivals(rates_per_s=rates, spans_s=lengths, cv_ratio=cv)
    mass = arrivals.rate_per_s * sum(lengths)
    passed = np.linspace(0.01, 3.7, 200) * mass
    times = arrivals.on_the_clock(passed)
    assert (np.diff(times) >= 0).all()
    edges = np.concatenate([[0], np.cumsum(lengths)])
    counts = np.concatenate([[0], np.cumsum(np.multiply(rates, lengths))])
    cycle, rest = np.divmod(times, edges[-1])
    np.testing.assert_allclose(cycle * mass + np.interp(rest, edges, counts), passed, rtol=1e-6)


@pytest.mark.parametrize(
    "made",
    [
        lambda: poisson(0.0),
        lambda: poisson(-1.0),
        lambda: poisson(float("nan")),
        lambda: gamma(1.0, -1.0),
        lambda: bursts(1.0, 0.0, 1.0),
        lambda: profile(1.0, []),
        lambda: profile(1.0, [0.0, 0.0]),
        lambda: diurnal(1.0, 3.0),
        lambda: fixed(0),
        lambda: Uniform(low_tokens=5, high_tokens=4),
        lambda: Lognormal(median_tokens=0, sigma=1),
        lambda: Lognormal(median_tokens=5, sigma=-1),
        lambda: Lognormal(median_tokens=5, sigma=1, least_tokens=5, most_tokens=4),
        lambda: lognormal_of_mean(1000, 900),
        lambda: lognormal_of_mean(1000, 4000),
        lambda: generated(poisson(1.0), SHORT, seed=0),
        lambda: generated(poisson(1.0), SHORT, seed=0, requests_count=-1),
        lambda: generated(poisson(1.0), SHORT, seed=0, duration_s=float("inf")),
        lambda: closed_loop(0, SHORT, seed=0, requests_count=5),
    ],
)
def test_what_cannot_be_drawn_is_refused(made: object) -> None:
    with pytest.raises(TrafficError):
        made()  # type: ignore[operator]


def test_lognormal_lengths() -> None:
    rng = np.random.default_rng(5)
    lengths = Lognormal(median_tokens=8000, sigma=1.2).draw(rng, 100_000)
    assert stats.kstest(lengths, stats.lognorm(1.2, scale=8000).cdf).pvalue > ALIKE
    both = lognormal_of_mean(1155, 3500).draw(rng, 400_000)
    assert both.mean() == pytest.approx(1155, rel=0.01)
    assert np.percentile(both, 95) == pytest.approx(3500, rel=0.01)
    cut = Lognormal(median_tokens=100, sigma=2, least_tokens=10, most_tokens=1000).draw(rng, 10_000)
    assert (cut.min(), cut.max()) == (10, 1000)


def test_other_lengths() -> None:
    rng = np.random.default_rng(5)
    flat = Uniform(low_tokens=3, high_tokens=12).draw(rng, 50_000)
    assert stats.chisquare(np.bincount(flat)[3:]).pvalue > ALIKE
    given_shares = Empirical(tokens=np.array([0, 5, 9]), cumulated_frac=np.cumsum([0.2, 0.0, 0.8]))
    drawn_lengths = given_shares.draw(rng, 50_000)
    assert set(np.unique(drawn_lengths)) == {1, 9}
    assert (drawn_lengths == 9).mean() == pytest.approx(0.8, abs=0.01)
    prompt, output = Resampled(prompt_tokens=np.array([1, 2]), output_tokens=np.array([10, 20])).pairs(rng, 1000)
    np.testing.assert_array_equal(output, prompt * 10)


def test_the_seed_decides_and_arrivals_leave_lengths_alone() -> None:
    lengths = Independent(prompt=Lognormal(median_tokens=100, sigma=1), output=Uniform(low_tokens=1, high_tokens=9))
    one, same, other, faster = (
        joined(generated(poisson(rate), lengths, seed=seed, requests_count=120_000))
        for rate, seed in ((5.0, 1), (5.0, 1), (5.0, 2), (9.0, 1))
    )
    for name in Trace.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.prompt_tokens, other.prompt_tokens)
    np.testing.assert_array_equal(one.prompt_tokens, faster.prompt_tokens)
    np.testing.assert_array_equal(one.output_tokens, faster.output_tokens)


def test_bounds_end_a_stream() -> None:
    assert drawn(poisson(1.0), 0).requests_count == 0
    assert drawn(poisson(1.0), 200_001).requests_count == 200_001
    timed = joined(generated(uniform(10.0), SHORT, seed=0, duration_s=5.05))
    assert timed.requests_count == 50
    both = joined(generated(uniform(10.0), SHORT, seed=0, duration_s=5.0, requests_count=7))
    assert both.requests_count == 7


def test_a_stream_without_end_is_drawn_piece_by_piece() -> None:
    stream = generated(poisson(100.0), SHORT, seed=0, requests_count=10**12)
    pieces = list(islice(stream, 3))
    assert all(piece.requests_count == 100_000 for piece in pieces)
    assert all(before.arrival_s[-1] <= after.arrival_s[0] for before, after in pairwise(pieces))


def test_a_closed_loop_hands_over_its_requests() -> None:
    loop = closed_loop(64, SHORT, seed=0, requests_count=1000, think_s=2.0)
    assert loop.concurrency_count == 64
    assert joined(loop.requests).requests_count == 1000


CHAT = Sessions(
    turns=Uniform(low_tokens=1, high_tokens=6),
    question=Lognormal(median_tokens=150, sigma=1.0),
    output=Lognormal(median_tokens=100, sigma=0.8),
    think_s=30.0,
    block_tokens=64,
    shared_tokens=200,
    most_tokens=4096,
)


def test_a_turn_s_prompt_is_all_that_was_said() -> None:
    requests = joined(conversations(poisson(5.0), CHAT, seed=4, requests_count=20_000))
    assert (np.diff(requests.arrival_s) >= 0).all()
    for session in range(200):
        rows = np.flatnonzero(requests.session == session)
        prompt, output = requests.prompt_tokens[rows], requests.output_tokens[rows]
        assert (prompt[1:] > (prompt + output)[:-1]).all()
        assert ((prompt + output)[1:] <= 4096).all()
        blocks = [requests.blocks[requests.block_start[row] : requests.block_start[row + 1]] for row in rows]
        for earlier, later in pairwise(blocks):
            np.testing.assert_array_equal(later[: len(earlier)], earlier)
        assert all(len(own) == tokens // 64 for own, tokens in zip(blocks, prompt, strict=True))
        assert all((own[:3] == [0, 1, 2]).all() for own in blocks)


def test_sessions_share_only_the_shared_blocks() -> None:
    requests = joined(conversations(poisson(5.0), CHAT, seed=4, requests_count=20_000))
    owner = np.repeat(requests.session, np.diff(requests.block_start))
    own = requests.blocks >= 3
    pairs = np.unique(np.stack([requests.blocks[own], owner[own]]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1]


def test_sessions_come_at_their_rate_and_think() -> None:
    endless = Sessions(turns=fixed(4), question=fixed(10), output=fixed(10), think_s=20.0, block_tokens=16)
    requests = joined(conversations(poisson(5.0), endless, seed=1, duration_s=20_000.0))
    assert describe([requests]).rate_per_s == pytest.approx(20.0, rel=0.02)
    order = np.lexsort((requests.arrival_s, requests.session))
    same = np.diff(requests.session[order]) == 0
    think = np.diff(requests.arrival_s[order])[same][:50_000]
    assert think.mean() == pytest.approx(20.0, rel=0.03)


def test_sessions_that_cannot_be_are_refused() -> None:
    with pytest.raises(TrafficError, match="think"):
        Sessions(turns=fixed(1), question=fixed(1), output=fixed(1), think_s=-1.0, block_tokens=16)
    with pytest.raises(TrafficError, match="blocks of 0"):
        Sessions(turns=fixed(1), question=fixed(1), output=fixed(1), think_s=1.0, block_tokens=0)


def test_a_distribution_draws_whole_tokens() -> None:
    makes: list[Distribution] = [fixed(3), Uniform(low_tokens=1, high_tokens=5), Lognormal(median_tokens=0.01, sigma=3)]
    for made in makes:
        lengths = made.draw(np.random.default_rng(0), 1000)
        assert lengths.dtype == np.int64
        assert lengths.min() >= 1
