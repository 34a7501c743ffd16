"""How much of a memory that several streams share each comes to hold: their working sets over one common window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.traffic.requests import Trace

Reals = npt.NDArray[np.float64]
HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """References to the blocks of a stream: seconds to the next one of the same block, or to the end; and the span."""

    gaps_s: Reals
    span_s: float

    def held_count(self, window_s: float) -> float:
        """Return the mean working set: distinct blocks among the references of the last `window_s`.

        W(T) = sum of min(gap, T) / span over the references (Denning and Schwartz 1972, doi:10.1145/361268.361281).
        """
        return float(np.minimum(self.gaps_s, window_s).sum()) / self.span_s if self.span_s > 0.0 else 0.0


def reuse_of(stream: Iterator[Trace]) -> Reuse:
    """Return how soon the blocks of a stream are wanted again."""
    times, names = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for piece in stream:
        times.append(np.repeat(piece.arrival_s, np.diff(piece.block_start)))
        names.append(piece.blocks)
    when, what = np.concatenate(times), np.concatenate(names)
    if not len(when):
        return Reuse(gaps_s=when, span_s=0.0)
    order = np.lexsort((when, what))
    when, what = when[order], what[order]
    after = np.append(when[1:], when.max())
    last = np.append(what[1:] != what[:-1], True)
    return Reuse(gaps_s=np.where(last, when.max(), after) - when, span_s=float(when.max() - when.min()))


def shared_bytes(streams: Sequence[Reuse], block_bytes: Sequence[float], capacity_bytes: float) -> tuple[float, ...]:
    """Return what each stream holds of a memory that all share and that drops what was used least recently.

    All streams see one characteristic time T, at which their working sets fill the memory: sum of W_i(T) x block =
    capacity (Che et al. 2002, doi:10.1109/JSAC.2002.801752). What never fills goes in proportion to what is held, so
    that the parts add up to the capacity; alike for all where nothing is held.
    """

    def held(window_s: float) -> Reals:
        return np.array([item.held_count(window_s) * size for item, size in zip(streams, block_bytes, strict=True)])

    low, high = 0.0, max((item.span_s for item in streams), default=0.0)
    if held(high).sum() > capacity_bytes:
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if held(middle).sum() < capacity_bytes else (low, middle)
    parts = held(high)
    whole = float(parts.sum())
    shares = parts / whole if whole > 0.0 else np.full(len(streams), 1.0 / max(len(streams), 1))
    return tuple(float(share) * capacity_bytes for share in shares)
