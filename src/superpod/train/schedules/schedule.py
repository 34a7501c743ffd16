"""What a pipeline schedule is: who holds which part of the model, and what each stage does in what order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from superpod.result import Num

Column = npt.NDArray[np.signedinteger[Any]]
Flag = bool | npt.NDArray[np.bool_]

FORWARD = 0
BACKWARD = 1  # gradient of the inputs
WEIGHT = 2  # gradient of the weights
FULL = 3  # both gradients as one; the next stage waits for both
KINDS = ("F", "B", "W", "BW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What one stage does, in its order. A `joined` event runs together with the one before it."""

    kind: Column
    chunk: Column
    micro_batch: Column
    joined: npt.NDArray[np.bool_]

    def keep(self, chosen: Column | npt.NDArray[np.bool_]) -> "Events":
        """Return the chosen events in the same order."""
        return Events(
            kind=self.kind[chosen],
            chunk=self.chunk[chosen],
            micro_batch=self.micro_batch[chosen],
            joined=self.joined[chosen],
        )


def _none(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return no micro-batches."""
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A pipeline schedule of p stages, v chunks a stage and m micro-batches a step.

    - `legal(p, v, m)`: where the schedule is defined.
    - `chains(p, v)`: the ways of a micro-batch through the model, shape (chains, parts, 2), each row a (stage, chunk);
      micro-batches are dealt to them in turn.
    - `order(p, v, m, stage)`: what a stage does.
    - `bubble_s(F, B, W, p, v, m)`: seconds of a step in which a stage waits. F, B, W are the seconds of one micro-batch
      on a whole stage, the slowest: forward, gradient of the inputs, gradient of the weights.
    - `in_flight_count(p, v, m, stage)`: the most micro-batches whose activations of a whole stage are held at once,
      each from the start of F to the end of W.
    - `hops_count(p, v, m)`: hops that nothing hides, for equal stages and hops that are short against F, B and W.
    - `period_count(p, v)`: micro-batches after which the order repeats.
    - `paired_count(p, v, m)`: micro-batches whose forward runs together with another one's backward.
    - `copies_count`: copies of the parameters.
    - `across_steps`: the bubble is what the paper says only where no stage's optimizer waits for another stage
      (post-validation, arXiv 2401.10241, section 4).
    - `affine`: every time is affine in m, from the second micro-batch on.
    """

    name: str
    legal: Callable[[Num, Num, Num], Flag]
    chains: Callable[[int, int], Column]
    order: Callable[[int, int, int, int], Events]
    bubble_s: Callable[[Num, Num, Num, Num, Num, Num], Num]
    in_flight_count: Callable[[Num, Num, Num, Num], Num]
    hops_count: Callable[[Num, Num, Num], Num]
    period_count: Callable[[int, int], int]
    paired_count: Callable[[Num, Num, Num], Num] = _none
    copies_count: float = 1.0
    across_steps: bool = False
    affine: bool = False

    def step_s(
        self,
        seconds: tuple[Num, Num, Num],
        sizes: tuple[Num, Num, Num],
        hop_s: Num = 0.0,
        pair_s: Num | None = None,
    ) -> Num:
        """Return the closed form of a step: `seconds` = (F, B, W) of the slowest stage, `sizes` = (p, v, m).

        m (F + B + W) + bubble + hops not hidden - pairs x (F + B + W - F&B). `pair_s` = F&B is the forward of a
        micro-batch on a whole stage together with the backward of another. The three say where they are exact.
        """
        whole = seconds[0] + seconds[1] + seconds[2]
        gained = 0.0 if pair_s is None else self.paired_count(*sizes) * (whole - pair_s)
        return sizes[2] * whole + self.bubble_s(*seconds, *sizes) + self.hops_count(*sizes) * hop_s - gained

    def parts(self, stages_count: int, chunks_count: int) -> Column:
        """Return which part of the model each stage's chunk holds, shape (stages, chunks); part 0 has the embedding."""
        chains = self.chains(stages_count, chunks_count)
        held = np.zeros((stages_count, int(chains[..., 1].max()) + 1), dtype=np.int64)
        held[chains[..., 0], chains[..., 1]] = np.arange(chains.shape[1])
        return held


def every(*conditions: npt.ArrayLike) -> Flag:
    """Return where all conditions hold."""
    found: Flag = np.logical_and.reduce(np.broadcast_arrays(*conditions))
    return found


def one_chunk(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Flag:
    """Return where a stage holds one chunk: all that a schedule without interleaving or folding asks for."""
    return every(stages_count >= 1, chunks_count == 1, micro_batches_count >= 1)


def ramp_hops(stages_count: Num, chunks_count: Num, micro_batches_count: Num) -> Num:
    """Return 2(p - 1), the hops in the way where only the ramps wait for them: once down and once up."""
    return 2.0 * (stages_count - 1.0) + 0.0 * micro_batches_count


def looped(stages_count: int, chunks_count: int) -> Column:
    """Return the way that visits all stages once a chunk: part k on stage k mod p (arXiv 2104.04473, section 2.2)."""
    part = np.arange(stages_count * chunks_count)
    return np.stack([part % stages_count, part // stages_count], axis=-1)[None]


def folded(stages_count: int, chunks_count: int) -> Column:
    """Return the way down the stages and back up: parts i and 2p-1-i on stage i (arXiv 2405.15362)."""
    part = np.arange(stages_count * chunks_count)
    back = part >= stages_count
    return np.stack([np.where(back, 2 * stages_count - 1 - part, part), back.astype(np.int64)], axis=-1)[None]


def by_key(*tables: tuple[int, Column, Column, npt.NDArray[np.floating[Any]]]) -> Events:
    """Return events in the order of their keys; each table is (kind, chunks, micro-batches, keys)."""
    key = np.concatenate([table[3] for table in tables])
    place = np.argsort(key, kind="stable")
    kind = np.concatenate([np.full(len(table[3]), table[0], dtype=np.int64) for table in tables])
    chunk = np.concatenate([np.broadcast_to(table[1], table[3].shape) for table in tables])
    micro_batch = np.concatenate([table[2] for table in tables])
    return Events(
        kind=kind[place],
        chunk=chunk[place],
        micro_batch=micro_batch[place],
        joined=np.zeros(len(place), dtype=np.bool_),
    )
