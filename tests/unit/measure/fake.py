"""A device whose clock moves as the test says."""

from collections.abc import Callable
from dataclasses import dataclass, field

from superpod.errors import MeasurementError
from superpod.measure.backend import Prepared
from superpod.measure.case import Case


@dataclass
class FakeBackend:
    """Calls take `seconds(case)`; `host_s` passes with each case beside them; `refuses` says why one cannot run."""

    seconds: Callable[[Case], float] = lambda case: 1e-6 + case.work_flop / 1e14 + case.moved_bytes / 1e12
    refuses: Callable[[Case], str] = lambda case: ""
    host_s: float = 0.0
    jitter: tuple[float, ...] = (1.0,)
    chip: str = "fake"
    software: str = "fake 1"
    modes: tuple[str, ...] = ("eager", "graph")
    clock_s: float = 0.0
    prepared: list[Case] = field(default_factory=list)

    def now_s(self) -> float:
        return self.clock_s

    def prepare(self, case: Case) -> Prepared:
        self.prepared.append(case)
        self.clock_s += self.host_s
        if reason := self.refuses(case):
            raise MeasurementError(reason)
        turns = 0

        def burst(count: int) -> float:
            nonlocal turns
            took_s = self.seconds(case) * count * self.jitter[turns % len(self.jitter)]
            turns += 1
            self.clock_s += took_s
            return took_s

        return Prepared(burst_s=burst, how="kernel")
