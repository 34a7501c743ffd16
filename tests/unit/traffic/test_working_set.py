"""Working sets of streams, and how streams divide a memory that they share."""

import numpy as np
import pytest

from superpod.traffic.requests import Trace
from superpod.traffic.working_set import Reuse, reuse_of, shared_bytes


def stream(times: list[float], blocks: list[list[int]]) -> Trace:
    count = len(times)
    return Trace(
        arrival_s=np.array(times),
        prompt_tokens=np.array([512 * len(item) for item in blocks]),
        output_tokens=np.ones(count, dtype=np.int64),
        session=np.full(count, -1),
        block_start=np.concatenate([[0], np.cumsum([len(item) for item in blocks])]),
        blocks=np.array([name for item in blocks for name in item], dtype=np.int64),
        block_tokens=512,
    )


def test_a_block_that_is_always_wanted_is_always_held_and_a_fresh_one_for_the_window() -> None:
    times = [float(second) for second in range(11)]
    always = reuse_of(iter([stream(times, [[0]] * 11)]))
    fresh = reuse_of(iter([stream(times, [[name] for name in range(11)])]))
    assert always.held_count(5.0) == pytest.approx(1.0)
    assert fresh.held_count(1.0) == pytest.approx(1.0)
    assert fresh.held_count(2.0) == pytest.approx(1.9)  # the last but one has only a second to go


def test_pieces_of_a_stream_are_one_stream() -> None:
    times, blocks = [0.0, 1.0, 2.0, 3.0], [[0, 1], [0, 2], [0, 1], [3]]
    whole = reuse_of(iter([stream(times, blocks)]))
    parts = reuse_of(iter([stream(times[:2], blocks[:2]), stream(times[2:], blocks[2:])]))
    np.testing.assert_array_equal(whole.gaps_s, parts.gaps_s)


def test_a_shared_memory_is_full_and_goes_to_whoever_brings_more() -> None:
    slow = Reuse(gaps_s=np.full(100, 50.0), span_s=100.0)
    quick = Reuse(gaps_s=np.full(300, 50.0), span_s=100.0)
    parts = shared_bytes([slow, quick], [1.0, 1.0], 20.0)
    assert sum(parts) == pytest.approx(20.0)
    assert parts[1] == pytest.approx(3.0 * parts[0], rel=1e-6)
    alone = shared_bytes([slow], [1.0], 20.0)
    assert alone == (pytest.approx(20.0),)


def test_equal_streams_share_alike_and_nothing_wanted_is_divided_evenly() -> None:
    one = Reuse(gaps_s=np.linspace(1.0, 9.0, 50), span_s=10.0)
    assert shared_bytes([one, one], [2.0, 2.0], 10.0) == (pytest.approx(5.0), pytest.approx(5.0))
    none = Reuse(gaps_s=np.zeros(0), span_s=0.0)
    assert shared_bytes([none, none], [1.0, 1.0], 10.0) == (5.0, 5.0)
