"""What a simulation tells: requests, instances, and what happened over time."""

from dataclasses import dataclass

import numpy as np

from superpod.serve.simulation import columns as c
from superpod.serve.simulation.columns import Reals, Whole

STATUS = ("finished", "refused", "too long", "failed", "cut off")
SERIES = (
    "queued",
    "in_flight",
    "memory_tokens",
    "decode_busy_s",
    "prompt_busy_s",
    "mixed_busy_s",
    "arrivals",
    "finishes",
    "output_tokens",
    "prompt_tokens",
    "transfer_bytes",
    "swap_bytes",
    "peer_bytes",
    "host_bytes",
    "disk_bytes",
    "instances_up",
)
DOINGS = ("idle", "decodes", "reads", "reads and decodes", "receives")
MEANS = ("queued", "in_flight", "memory_tokens", "instances_up")
"""Series that are means over a bin; the others are sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Requests that ended, one a row, by the order in which they ended or, joined, in which they arrived.

    `status` is a place in `STATUS`. Times are -1 where they did not come: `admitted_s` to memory, `first_token_s`.
    `reader` and `decoder` are instances; the latter is -1 for a request that was refused.
    """

    number: Whole
    status: Whole
    arrival_s: Reals
    admitted_s: Reals
    first_token_s: Reals
    finish_s: Reals
    prompt_tokens: Whole
    output_tokens: Whole
    hit_tokens: Whole
    preempted_count: Whole
    reader: Whole
    decoder: Whole

    @property
    def finished(self) -> "Served":
        """Those that came to their end."""
        return self.rows(np.flatnonzero(self.status == c.FINISHED))

    @property
    def ttft_s(self) -> Reals:
        """Time to first token."""
        return self.first_token_s - self.arrival_s

    @property
    def latency_s(self) -> Reals:
        """Time from arrival to the last token."""
        return self.finish_s - self.arrival_s

    @property
    def tpot_s(self) -> Reals:
        """Time between tokens after the first; 0 for outputs of one token."""
        return (self.finish_s - self.first_token_s) / np.maximum(self.output_tokens - 1, 1)

    def rows(self, which: Whole) -> "Served":
        """Return some rows."""
        return Served(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceUse:
    """What one instance did: seconds it was up and busy by phase, requests it ended, tokens it read and put out."""

    up_s: float
    decode_s: float
    prompt_s: float
    mixed_s: float
    finished_count: int
    prompt_tokens: int
    output_tokens: int

    @property
    def busy_s(self) -> float:
        """Seconds of all phases."""
        return self.decode_s + self.prompt_s + self.mixed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """What instances did in a window, one span a row, in order of end.

    `doing` is a place in `DOINGS`. `steps_count` is how many steps a span has; `amount_count` the sequences that decode
    in them, or the bytes of a cache that comes to the instance.
    """

    instance: Whole
    doing: Whole
    begin_s: Reals
    end_s: Reals
    steps_count: Whole
    amount_count: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """The answer of `simulate`.

    `served` is None where a sink took the pieces. `series` are columns of bins of `bin_s`, named in `SERIES`: means
    over a bin for those in `MEANS`, sums for the others. `counts` is by `STATUS`. `interrupted`: stopped
    before its end.
    """

    served: Served | None
    series: dict[str, Reals]
    bin_s: float
    makespan_s: float
    counts: dict[str, int]
    instances: tuple[InstanceUse, ...]
    events_count: int
    engine: str
    interrupted: bool
    spans: Spans | None = None


def joined(pieces: list[Served]) -> Served:
    """Return pieces as one, in order of arrival."""
    names = Served.__dataclass_fields__
    whole = Served(**{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})
    return whole.rows(np.argsort(whole.number, kind="stable"))
