"""Kernels of a training step: under a steady load, on the slowest chip, of the framework's time."""

from dataclasses import replace

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.compute.cost import attention_fit, op_time
from superpod.compute.curves import steadily, throttled
from superpod.compute.device import Device, lag
from superpod.workload.blocks.gqa import core
from superpod.workload.op import gemm
from superpod.workload.phase import Partition, training_phase
from superpod.workload.precision import PRECISIONS

CATALOGUE = Catalogue()
HOPPER = CATALOGUE.calibration("nvidia-hopper")
H100 = Device(
    matrix_flop_per_s={"bf16": 989e12, "fp8": 1979e12},
    memory_bytes=80e9,
    memory_bytes_per_s=3.35e12,
    calibration=HOPPER,
)


def test_under_a_steady_load_short_products_lose_what_long_ones_lose() -> None:
    fit = HOPPER.gemm["bf16"]
    assert steadily(fit, 1e-5, "bf16") == pytest.approx(1e-5 * (1.0 + fit.power_loss_frac))
    assert throttled(fit, 1e-5) < steadily(fit, 1e-5, "bf16")
    assert throttled(fit, 1.0) == pytest.approx(steadily(fit, 1.0, "bf16"), rel=1e-3)


def test_a_fit_may_state_its_own_loss_and_a_narrow_one_without_is_as_alone() -> None:
    assert steadily(HOPPER.gemm["fp8"], 1.0, "fp8") == pytest.approx(1.0 + (HOPPER.gemm["fp8"].steady_loss_frac or 0))
    narrow = replace(HOPPER.gemm["fp8"], steady_loss_frac=None)
    assert steadily(narrow, 1.0, "fp8") == throttled(narrow, 1.0)


def test_the_slowest_of_more_chips_is_slower() -> None:
    assert lag(0.015, 1.0) == 0.0
    drawn = np.random.default_rng(7).normal(size=(4000, 64)).max(axis=1).mean()
    assert lag(1.0, 64.0) == pytest.approx(float(drawn), rel=0.02)
    assert lag(0.015, 2048.0) > lag(0.015, 64.0)


def test_all_products_wait_for_the_slowest_chip() -> None:
    product = gemm("up", rows=8192.0, columns=8192.0, depth=8192.0, dtype="bf16", element_bytes=(2.0, 2.0))
    middle = op_time(product, replace(H100, steady=True))
    assert op_time(product, replace(H100, steady=True, lag_frac=0.04)) == pytest.approx(1.04 * middle, rel=0.01)


@pytest.mark.parametrize("generation", ["triton", "flash-2"])
def test_earlier_attention_is_slower_than_the_newest(generation: str) -> None:
    phase = training_phase(1.0, 8192.0, 1.0, fused_attention=True)
    attention = CATALOGUE.model("llama-3.1-8b").layers[0].attention
    (kernel,) = core(attention, phase, Partition(), PRECISIONS["bf16"])  # type: ignore[arg-type]
    back = replace(kernel, name="attention bwd")
    old = replace(H100, attention=generation)
    assert op_time(kernel, old) > op_time(kernel, H100)
    assert attention_fit(back, old).peak_frac == HOPPER.earlier_attention[generation].backward_peak_frac
    assert attention_fit(kernel, replace(H100, attention="none such")) == HOPPER.training_attention
