"""What the host adds to a step of a serving engine: launches that the device waits for, and the gap between steps."""

import numpy as np

from superpod.catalog.software import Software
from superpod.result import Num


def host_time(software: Software, device_s: Num, layers: Num, sequences: Num, *, captured: bool) -> Num:
    """Return max(layers x layer_s - t_device, 0) + gap_s + sequences x sequence_s.

    Kernels that are not replayed as a captured graph are launched one by one while the device works; where launching a
    pass takes longer than running it, the device waits for the difference. Between steps it is idle for the gap.
    Assumes that launches run ahead of the device, as asynchronous engines do.
    """
    launches: Num = 0.0 if captured else layers * software.layer_s
    return np.maximum(launches - device_s, 0.0) + software.gap_s + sequences * software.sequence_s
