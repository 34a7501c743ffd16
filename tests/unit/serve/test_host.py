"""What the host adds to a step."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.serve.host import host_time

EAGER = replace(Catalogue().software("eager-2023"), layer_s=0.3e-3, gap_s=4e-3, sequence_s=1e-5)


def test_launches_hide_behind_kernels_and_show_beyond_them() -> None:
    """80 layers x 0.3 ms = 24 ms of launches beside 10 ms and 30 ms of kernels, and 4 ms of gap."""
    assert host_time(EAGER, 10e-3, 80.0, 0.0, captured=False) == pytest.approx(14e-3 + 4e-3)
    assert host_time(EAGER, 30e-3, 80.0, 0.0, captured=False) == pytest.approx(4e-3)


def test_a_captured_graph_needs_no_launches() -> None:
    assert host_time(EAGER, 1e-3, 80.0, 0.0, captured=True) == pytest.approx(4e-3)


def test_sequences_cost_in_proportion() -> None:
    one, many = (host_time(EAGER, 1.0, 80.0, batch, captured=True) for batch in (1.0, 101.0))
    assert many - one == pytest.approx(100 * 1e-5)


def test_a_step_never_gets_shorter_with_more_kernel_time() -> None:
    device = np.linspace(0.0, 50e-3, 200)
    step = device + host_time(EAGER, device, 80.0, 8.0, captured=False)
    assert np.all(np.diff(step) >= -1e-15)
