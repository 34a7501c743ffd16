"""What every pass over a model needs besides its layout and its phase."""

from dataclasses import dataclass

from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.software import Software
from superpod.compute.cost import op_time
from superpod.compute.device import Device
from superpod.fabric.tiers import Fabric
from superpod.result import Num
from superpod.workload.op import Op
from superpod.workload.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """A rank's share of the host's memory, and what moves there or back, one direction; 0 where nobody says.

    Of the disks of the hosts likewise: room, and the rate of reading, where a question is about them.
    """

    memory_bytes: float = 0.0
    bytes_per_s: float = 0.0
    disk_bytes: float = 0.0
    disk_bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A model in a number format on ranks of one kind, joined by one fabric, run by one release of software.

    Serving, `redundant_count` places for experts of each layer are held beyond one each.
    """

    spec: ModelSpec
    device: Device
    fabric: Fabric
    precision: Precision
    software: Software
    host: HostMemory = HostMemory()
    redundant_count: float = 0.0

    def seconds(self, operators: tuple[Op, ...]) -> Num:
        """Return the time of kernels that run one after another on one rank."""
        return self._sums(operators)[0]

    def measured_seconds(self, operators: tuple[Op, ...]) -> Num:
        """Return the part of that time that measured tables answer for; the rest is the analytic model's."""
        return self._sums(operators)[1]

    def _sums(self, operators: tuple[Op, ...]) -> tuple[Num, Num]:
        times = tuple(op_time(op, self.device) for op in operators)
        table, known = self.device.table, tuple[Num, ...]()
        if table is not None:
            times, known = table.times(operators, times, self.device)
        return sum(times, 0.0), sum(known, 0.0)
