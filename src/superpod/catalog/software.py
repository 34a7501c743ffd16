"""What a release of an engine or a framework does between kernels; a prediction names the one it assumes."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal

from superpod.catalog.provenance import Fact
from superpod.catalog.record import record


@record
class Software:
    """A serving engine or training framework in one release: what the host costs, and its defaults.

    Kernels that are not replayed as a captured graph are launched one by one, `layer_s` a layer of a forward pass, and
    the device waits where that takes longer than the kernels. `gap_s` passes between two steps with the device idle,
    `sequence_s` more for each sequence of the batch. `graphs` says whether decode steps are captured, `scheduling`
    whether prompts ride along in decode steps (`mixed`) or take turns with them (`alternate`), `own_collectives`
    whether small collectives inside a node run in the engine's own kernels, `reserves_output` whether a request is
    admitted only when its whole output fits, `memory_of` what `memory_frac` is a share of: `all` memory, or what
    weights leave `free`. `band_frac` is how far releases of one engine lie apart. `tables` names the engine in tables
    of measured operators, `attention` which earlier generation of attention kernels training runs, the chip's newest
    where empty. `stops_recompute` says whether full recompute leaves out a layer's last product, of whose output no
    gradient needs anything. `gradient_copy_bytes` are moved for each parameter when its gradient is reduced over data
    ranks, beside the reduction. `thread_op_per_s` is the rating of one thread of the host on which the times were
    measured, None where whoever measured does not name it.
    """

    id: str
    version: str
    name: str
    phase: Literal["serving", "training"]
    scheduling: Literal["mixed", "alternate"]
    graphs: bool
    own_collectives: bool
    reserves_output: bool
    memory_of: Literal["all", "free"]
    layer_s: float
    gap_s: float
    sequence_s: float
    step_tokens_count: float
    sequences_count: float
    memory_frac: float
    band_frac: float
    thread_op_per_s: float | None = None
    tables: str = ""
    attention: str = ""
    stops_recompute: bool = False
    gradient_copy_bytes: float = 0.0
    aliases: tuple[str, ...] = ()
    note: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)

    def on(self, thread_op_per_s: float) -> "Software":
        """Return the release on a host of another rating: its times x rating where measured / rating of that host.

        As it is where nobody has said on which host its times were measured. Assumes that launching, scheduling and
        sampling are the work of one thread.
        """
        if self.thread_op_per_s is None:
            return self
        slower = self.thread_op_per_s / thread_op_per_s
        return replace(
            self,
            layer_s=self.layer_s * slower,
            gap_s=self.gap_s * slower,
            sequence_s=self.sequence_s * slower,
        )
