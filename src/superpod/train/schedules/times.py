"""Seconds of one micro-batch, stage by stage and chunk by chunk."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from superpod.errors import ScenarioError
from superpod.result import Num
from superpod.train.schedules.schedule import Schedule

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTimes:
    """Seconds of one micro-batch on each chunk, shape (stages, chunks, *rows); rows are replayed side by side.

    `backward_s` is the gradient of the inputs with recompute and exposed communication, `weight_s` that of the weights.
    A hop is the delay between the end of a chunk and the start of the next one on another stage; the sender goes on
    meanwhile. A column of hops has shape (stages, *rows) (or (1, *rows)): boundary i lies between stages i and i + 1,
    the last one between the last stage and the first. `pair_s[stage, chunk]` is the forward of `chunk` together with
    the whole backward of the stage's other chunk (DualPipe); without it, F + B + W, no gain.
    """

    forward_s: Seconds
    backward_s: Seconds
    weight_s: Seconds
    forward_hop_s: Num = 0.0
    backward_hop_s: Num = 0.0
    pair_s: Seconds | None = None

    def __post_init__(self) -> None:
        shapes = {np.shape(self.forward_s), np.shape(self.backward_s), np.shape(self.weight_s)}
        shapes |= set() if self.pair_s is None else {np.shape(self.pair_s)}
        if len(shapes) > 1 or len(next(iter(shapes))) < 2:
            raise ScenarioError(
                f"got shapes {sorted(shapes)}, expected one shape (stages, chunks, rows...)",
                where="times of chunks",
                hint="broadcast the columns against each other first",
            )

    @property
    def stages_count(self) -> int:
        """Stages p."""
        return int(self.forward_s.shape[0])

    @property
    def chunks_count(self) -> int:
        """Chunks that each stage holds."""
        return int(self.forward_s.shape[1])

    @property
    def rows(self) -> tuple[int, ...]:
        """Shape of what is replayed side by side."""
        return tuple(self.forward_s.shape[2:])

    def together_s(self) -> Seconds:
        """Return the seconds of each forward with the whole backward of the stage's other chunk."""
        if self.pair_s is not None:
            return self.pair_s
        return self.forward_s + (self.backward_s + self.weight_s)[:, ::-1]


def even_times(
    schedule: Schedule,
    stages: tuple[int, int],
    seconds: tuple[Num, Num, Num],
    hop_s: Num = 0.0,
) -> ChunkTimes:
    """Return equal chunks on equal stages: `stages` = (p, v), `seconds` = (F, B, W) of a micro-batch on a stage."""
    chains = schedule.chains(*stages)
    held = schedule.parts(*stages).shape
    rows = np.broadcast_shapes(*(np.shape(value) for value in seconds))
    forward, backward, weight = (
        np.broadcast_to(np.asarray(value, dtype=np.float64) * len(chains) / held[1], held + rows) for value in seconds
    )
    return ChunkTimes(
        forward_s=forward, backward_s=backward, weight_s=weight, forward_hop_s=hop_s, backward_hop_s=hop_s
    )
