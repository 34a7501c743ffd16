"""Flows that share links max-min fairly: rates, and the time at which each flow ends.

At every instant the rates are the max-min fair ones: no flow can gain without taking from one that has no more
(Bertsekas & Gallager 1992, section 6.5.2). They are found by progressive filling: the link with the least share a flow
freezes its flows at that share, and so on. They change when a flow begins or ends. A flow that is spread over several
paths has one rate, of which each link carries its share.

Two engines give the same numbers: compiled loops (the extra `fast`, `flow_compiled.py`) and numpy, below. No queues, no
loss, no protocol: an efficiency per transport stands for them.
"""

from dataclasses import dataclass, field

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.route import Incidence, has_compiler
from superpod.fabric.topology import BoolArray, FloatArray, IntArray

SAME_FRAC = 1e-9
"""Events closer than this, as a share of the time, are one."""
ENGINES = ("auto", "compiled", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """What flows carry, and when they may begin: a pair (a, b) in `after` lets flow a begin when flow b has arrived."""

    size_bytes: FloatArray
    start_s: FloatArray | None = None
    after: IntArray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowResult:
    """When flows ended, and what limited them.

    `bottleneck` is the link that set a flow's last rate; `bound_s` the volume bound, max over links of bytes over rate;
    `batch_frac` the share of it within which ends were treated as one event.
    """

    finish_s: FloatArray
    rate_bytes_per_s: FloatArray
    bottleneck: IntArray
    link_bytes: FloatArray
    bound_s: float
    solves_count: int
    batch_frac: float
    engine: str

    @property
    def makespan_s(self) -> float:
        """When the last flow arrived."""
        return float(self.finish_s.max(initial=0.0))


def simulate(
    paths: Incidence,
    bytes_per_s: FloatArray,
    transfers: Transfers,
    *,
    batch_frac: float = 0.0,
    engine: str = "auto",
) -> FlowResult:
    """Return when each flow arrives: its last byte sent, plus the latency of its path.

    `batch_frac` > 0 treats ends within that share of the volume bound as one event, each keeping its own predicted end:
    bandwidth that becomes free is used only after the last of them, so times come out long rather than short.
    Raises ScenarioError for sizes that are negative or not finite, and for flows that wait for each other.
    """
    _checked(paths, transfers, engine)
    load = np.bincount(paths.link, weights=_bytes(paths, transfers), minlength=paths.links_count).astype(np.float64)
    bound = float(np.max(load / bytes_per_s, initial=0.0))
    chosen = ("compiled" if has_compiler() else "numpy") if engine == "auto" else engine
    start = np.zeros(len(paths)) if transfers.start_s is None else transfers.start_s
    window = batch_frac * bound
    if chosen == "compiled":
        from superpod.fabric import flow_compiled  # noqa: PLC0415  (numba takes half a second to import)

        found = flow_compiled.run(paths, bytes_per_s, transfers.size_bytes, start, transfers.after, window)
    else:
        found = run_numpy(paths, bytes_per_s, transfers.size_bytes, start, transfers.after, window)
    finish, rate, bottleneck, solves = found
    return FlowResult(
        finish_s=finish,
        rate_bytes_per_s=rate,
        bottleneck=bottleneck,
        link_bytes=load,
        bound_s=bound,
        solves_count=solves,
        batch_frac=batch_frac,
        engine=chosen,
    )


def _bytes(paths: Incidence, transfers: Transfers) -> FloatArray:
    return paths.share_frac * np.repeat(transfers.size_bytes, np.diff(paths.start))


def _checked(paths: Incidence, transfers: Transfers, engine: str) -> None:
    """Raise for what has no meaning."""
    size, start = transfers.size_bytes, transfers.start_s
    if engine not in ENGINES:
        raise ScenarioError(f"unknown engine {engine!r}", where="flows", hint=f"one of {', '.join(ENGINES)}")
    if engine == "compiled" and not has_compiler():
        raise ScenarioError("numba is not installed", where="flows", hint="pip install 'superpod[fast]'")
    if len(size) != len(paths):
        raise ScenarioError(f"{len(size)} sizes for {len(paths)} flows", where="flows")
    for name, column in (("bytes", size), ("start", start)):
        if column is not None and not (column.min(initial=0.0) >= 0.0 and np.isfinite(column.max(initial=0.0))):
            worst = int(np.flatnonzero(~(np.isfinite(column) & (column >= 0)))[0])
            raise ScenarioError(
                f"found {column[worst]:g} for flow {worst}, expected a finite number from 0 up", where=f"flows: {name}"
            )
    empty = paths.start[1:] == paths.start[:-1]
    if empty.any() and np.any(empty & (size > 0)):
        raise ScenarioError("a flow without links", where="flows", hint="its two ends are the same node")


def run_numpy(
    paths: Incidence,
    bytes_per_s: FloatArray,
    size_bytes: FloatArray,
    start_s: FloatArray,
    after: IntArray,
    window_s: float,
) -> tuple[FloatArray, FloatArray, IntArray, int]:
    """Return (finish, last rate, bottleneck, solves); every event solves all flows that are under way anew."""
    state = _Waiting(start_s, after)
    left, rate = size_bytes.astype(float), np.zeros(len(paths))
    finish, bottleneck = np.full(len(paths), np.inf), np.full(len(paths), -1)
    active = np.zeros(len(paths), dtype=bool)
    now, solves = 0.0, 0
    while True:
        due = np.where(active, now + left / np.where(rate > 0, rate, 1.0), np.inf)
        first = min(float(due.min(initial=np.inf)), state.next_s())
        if not np.isfinite(first):
            break
        reach = first + max(SAME_FRAC * first, window_s)
        ended = due <= reach
        then = float(due[ended].max()) if ended.any() else first
        left = np.where(active, np.maximum(left - rate * (then - now), 0.0), left)
        now = then
        finish[ended] = due[ended]
        left[ended] = 0.0
        active &= ~ended
        begun = state.begin(np.flatnonzero(ended), finish + paths.latency_s, now)
        empty = begun[size_bytes[begun] <= 0.0]
        while len(empty):
            finish[empty] = now
            active[begun] = True
            active[empty] = False
            begun = state.begin(empty, finish + paths.latency_s, now)
            empty = begun[size_bytes[begun] <= 0.0]
        active[begun] = True
        if active.any():
            rate, bottleneck = max_min(paths, bytes_per_s, active, rate, bottleneck)
            solves += 1
    state.all_begun()
    return finish + paths.latency_s, rate, bottleneck, solves


class _Waiting:
    """Flows that have not begun: by time, and by the flows they wait for."""

    def __init__(self, start_s: FloatArray, after: IntArray) -> None:
        self.start_s = start_s.copy()
        self.pending = np.bincount(after[:, 0], minlength=len(start_s))
        self.after = after[np.argsort(after[:, 1], kind="stable")]
        self.waits = np.ones(len(start_s), dtype=bool)

    def next_s(self) -> float:
        """Return when the next flow may begin."""
        ready = self.waits & (self.pending == 0)
        return float(self.start_s[ready].min(initial=np.inf))

    def begin(self, arrived: IntArray, arrival_s: FloatArray, now: float) -> IntArray:
        """Release what waited for the arrived flows, and return the flows that begin now."""
        low, high = (np.searchsorted(self.after[:, 1], arrived, side=side) for side in ("left", "right"))
        for first, last, whom in zip(low, high, arrived, strict=True):
            who = self.after[first:last, 0]
            np.subtract.at(self.pending, who, 1)
            np.maximum.at(self.start_s, who, arrival_s[whom])
        begun = np.flatnonzero(self.waits & (self.pending == 0) & (self.start_s <= now * (1.0 + SAME_FRAC)))
        self.waits[begun] = False
        return begun

    def all_begun(self) -> None:
        """Raise where flows still wait for each other."""
        if self.waits.any():
            raise ScenarioError(
                f"{int(self.waits.sum())} flows wait for each other",
                where=f"flows: after, flow {int(np.flatnonzero(self.waits)[0])}",
                hint="a flow may only wait for flows that do not wait for it",
            )


def max_min(
    paths: Incidence, bytes_per_s: FloatArray, active: BoolArray, rate: FloatArray, bottleneck: IntArray
) -> tuple[FloatArray, IntArray]:
    """Return the max-min fair rates of the active flows, and the link that limits each; others keep theirs."""
    rate, bottleneck = rate.copy(), bottleneck.copy()
    flow, kept = paths.flow, np.repeat(active, np.diff(paths.start))
    flow, link, share = flow[kept], paths.link[kept], paths.share_frac[kept]
    left = bytes_per_s.astype(float)
    while len(flow):
        load = np.bincount(link, weights=share, minlength=paths.links_count)
        used = load > 0
        level = np.full(paths.links_count, np.inf)
        level[used] = np.maximum(left[used], 0.0) / load[used]
        least = level.min()
        tight = level <= least * (1.0 + 1e-12)
        held = tight[link]
        frozen = np.zeros(len(paths), dtype=bool)
        frozen[flow[held]] = True
        rate[frozen] = least
        bottleneck[flow[held]] = link[held]
        gone = frozen[flow]
        left = left - least * np.bincount(link[gone], weights=share[gone], minlength=paths.links_count)
        flow, link, share = flow[~gone], link[~gone], share[~gone]
    return rate, bottleneck
