"""What a trace refuses, and that slicing and joining keep it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpod.errors import TrafficError
from superpod.traffic.requests import Trace, joined, pieces_of, starts, trace


def with_blocks(sizes: list[int], block_tokens: int = 16) -> Trace:
    """Return a trace whose requests have that many blocks."""
    rows = len(sizes)
    return Trace(
        arrival_s=np.arange(rows, dtype=np.float64),
        prompt_tokens=np.maximum(np.array(sizes, dtype=np.int64) * block_tokens, 1),
        output_tokens=np.arange(rows) + 1,
        session=np.arange(rows),
        block_start=starts(np.array(sizes, dtype=np.int64)),
        blocks=np.arange(sum(sizes)),
        block_tokens=block_tokens,
    )


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (([0.0, 1.0, 0.5], [1, 1, 1], [1, 1, 1]), "request 2"),
        (([0.0, float("nan")], [1, 1], [1, 1]), "request 1"),
        (([0.0, float("inf")], [1, 1], [1, 1]), "finite"),
        (([0.0, 1.0], [1, 0], [1, 1]), "prompt_tokens 0"),
        (([0.0, 1.0], [1, 1], [-3, 1]), "output_tokens -3"),
        (([0.0, 1.0], [1], [1, 1]), "prompt_tokens is of 1 requests"),
        (([0.0, 1.0], [1, 1], [1, 1], [0, -2]), "session -2"),
    ],
)
def test_requests_that_cannot_be_are_refused(columns: tuple[list[float], ...], found: str) -> None:
    with pytest.raises(TrafficError, match=found):
        trace(*columns)


def test_more_blocks_than_the_prompt_fills_are_refused() -> None:
    good = with_blocks([2, 1])
    with pytest.raises(TrafficError, match="request 0: blocks 2"):
        Trace(
            **{name: getattr(good, name) for name in Trace.__slots__ if name != "prompt_tokens"},
            prompt_tokens=np.array([16, 16]),
        )


def test_blocks_need_their_tokens() -> None:
    with pytest.raises(TrafficError, match="block_tokens 0"):
        with_blocks([1, 0], block_tokens=0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 7))
def test_pieces_join_to_the_whole(sizes: list[int], piece: int) -> None:
    whole = with_blocks(sizes)
    again = joined(pieces_of(whole, piece))
    for name in Trace.__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_kept_requests_keep_their_blocks(rows: list[tuple[int, bool]]) -> None:
    whole = with_blocks([size for size, _ in rows])
    keep = np.array([kept for _, kept in rows], dtype=bool)
    part = whole.kept(keep)
    assert part.requests_count == keep.sum()
    for new, old in enumerate(np.flatnonzero(keep)):
        np.testing.assert_array_equal(
            part.blocks[part.block_start[new] : part.block_start[new + 1]],
            whole.blocks[whole.block_start[old] : whole.block_start[old + 1]],
        )
