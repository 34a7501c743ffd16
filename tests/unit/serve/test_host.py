"""What the host adds to a step."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
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


def test_a_faster_thread_takes_its_times_shorter() -> None:
    """Measured at 2.0e9, on a host of 2.5e9: all three times x 0.8; as they are where nobody named the host."""
    named = replace(EAGER, thread_op_per_s=2.0e9)
    made = named.on(2.5e9)
    assert (made.layer_s, made.gap_s, made.sequence_s) == pytest.approx((0.24e-3, 3.2e-3, 0.8e-5))
    assert named.on(2.0e9) == named
    assert replace(EAGER, thread_op_per_s=None).on(2.5e9).layer_s == EAGER.layer_s


def on_pod(pod: str, software: str) -> tuple[float, float, bool]:
    """Return launches a layer and the gap on a pod, and whether the answer cites the rating of its host."""
    made = machine(Catalogue(), Scenario(model="llama-3.1-70b", pod=pod, work=Serving(), software=software))
    cited = any(fact.where == f"pods/{pod}:host.thread_op_per_s" for fact in made.facts)
    return made.software.layer_s, made.software.gap_s, cited


def test_one_release_on_two_servers_waits_by_the_ratings_of_their_hosts() -> None:
    old, new = on_pod("hgx-a100", "eager-2023"), on_pod("hgx-h100", "eager-2023")
    ratings = [Catalogue().pod(pod).host.thread_op_per_s for pod in ("hgx-a100", "hgx-h100")]
    assert ratings[0] is not None
    assert ratings[1] is not None
    assert old[0] / new[0] == pytest.approx(ratings[1] / ratings[0])
    assert old[1] / new[1] == pytest.approx(ratings[1] / ratings[0])
    assert (old[2], new[2]) == (True, True)


@pytest.mark.parametrize(
    ("pod", "software"), [("gb200-nvl72", "eager-2023"), ("hgx-h100", "vllm-1"), ("hgx-a100", "vllm-1")]
)
def test_times_stay_where_a_rating_is_not_known(pod: str, software: str) -> None:
    release = Catalogue().software(software)
    assert on_pod(pod, software) == (release.layer_s, release.gap_s, False)
