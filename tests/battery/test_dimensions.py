"""Formulas called with quantities that carry units: a latency without its seconds, or flop over bytes, cannot pass.

Each float field gets the unit that its name ends with; the result must have the unit that the function promises. A
literal that hides a unit (two flop for each multiply-add) is matched by giving that unit to the size it multiplies.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pint
import pytest

from samples import CATALOGUE, FABRICS
from superpod.catalog.calibration import (
    AttentionFit,
    Calibration,
    Exchange,
    ExpertKernels,
    GemmFit,
    InNetwork,
    LinkCalibration,
    Regime,
)
from superpod.compute import cost
from superpod.compute.device import Device
from superpod.fabric.collectives import COLLECTIVES, LOWER_BOUNDS, exchange
from superpod.fabric.collectives.choice import candidates
from superpod.fabric.collectives.levels import Level, levels
from superpod.fabric.tiers import Fabric, FabricTier, Group
from superpod.parallel.axes import context, data, pipeline, tensor
from superpod.parallel.layout import Layout
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, ELEMENTWISE, GEMM, Op

REGISTRY: Any = pint.UnitRegistry(None)
for line in ("second = [time]", "octet = [data]", "flop = [work]"):
    REGISTRY.define(line)

SECOND, BYTE, FLOP = REGISTRY.second, REGISTRY.octet, REGISTRY.flop
UNITS = {
    "_flop_per_s": FLOP / SECOND,
    "_bytes_per_s": BYTE / SECOND,
    "_bytes": BYTE,
    "_flop": FLOP,
    "_s": SECOND,
}
COLUMN = np.array([2.0, 4.0, 16.0])


def unit_of(name: str) -> Any:
    """Return the unit that a name ends with, or None."""
    return next((unit for suffix, unit in UNITS.items() if f"_{name}".endswith(suffix)), None)


def with_units(value: Any, name: str = "") -> Any:
    """Return `value` with each number in it multiplied by the unit of its field."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in fields(value) if item.name != "facts"]
        return replace(value, **{item: with_units(getattr(value, item), item) for item in names})
    if isinstance(value, Mapping):
        return {key: with_units(item, name) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(with_units(item, name) for item in value)
    unit = unit_of(name)
    return value * unit if isinstance(value, float) and unit is not None else value


def device() -> Device:
    """Return a device with units; one step along the depth of a product is counted as flop."""
    plain = Device(
        matrix_flop_per_s={"bf16": 1e15},
        memory_bytes=80e9,
        memory_bytes_per_s=3e12,
        calibration=CATALOGUE.calibration("nvidia-hopper"),
    )
    made = with_units(plain)
    fit = made.calibration.gemm["bf16"]
    deep = replace(
        fit,
        depth_half_count=fit.depth_half_count * FLOP,
        latency_depth_count=fit.latency_depth_count * FLOP,
        join_power=2.0,  # a root of a power that is rounded is not quite a second
    )
    return replace(made, calibration=replace(made.calibration, gemm={"bf16": deep}))


def operator(kind: str, name: str = "sample") -> Op:
    """Return an operator with units."""
    plain = Op(
        name=name,
        kind=kind,
        dtype="bf16",
        flop=0.0,
        traffic_bytes=1e6,
        rows=COLUMN,
        columns=64.0,
        depth=64.0,
        groups=2.0,
    )
    return replace(
        plain, flop=1e9 * COLUMN * FLOP, traffic_bytes=1e6 * COLUMN * BYTE, depth=64.0 * FLOP if kind == GEMM else 64.0
    )


def holds(value: Any, unit: Any) -> None:
    """Assert that `value` is a quantity of that unit."""
    assert isinstance(value, REGISTRY.Quantity), f"{value!r} has no unit"
    assert value.dimensionality == (1 * unit).dimensionality, f"{value.dimensionality} is not {unit}"
    assert np.all(np.isfinite(value.magnitude))


@pytest.mark.parametrize("kind", [GEMM, ATTENTION, DECODE_ATTENTION, ELEMENTWISE])
@pytest.mark.parametrize("formula", [cost.op_time, cost.roofline_time])
def test_operator_times_are_seconds(formula: Callable[[Op, Device], Any], kind: str) -> None:
    holds(formula(operator(kind), device()), SECOND)


def test_backward_attention_is_seconds() -> None:
    holds(cost.op_time(operator(ATTENTION, "attention bwd"), device()), SECOND)


def sized_fabric(name: str) -> Fabric:
    """Return a sample fabric with units."""
    made: Fabric = with_units(FABRICS[name])
    return made


@pytest.mark.parametrize("formula", [*COLLECTIVES.items(), *LOWER_BOUNDS.items()], ids=lambda row: row[0])
@pytest.mark.parametrize("name", FABRICS)
def test_collective_times_are_seconds(name: str, formula: tuple[str, Callable[..., Any]]) -> None:
    machine = sized_fabric(name)
    for group in (Group(size=4.0), Group(size=np.array([2.0, 5.0, 8.0]))):
        holds(formula[1](machine, group, 1e6 * BYTE), SECOND)


@pytest.mark.parametrize("kind", COLLECTIVES)
def test_the_parts_of_collectives_are_seconds(kind: str) -> None:
    machine = sized_fabric("adding switch+adding clos")
    group = Group(size=COLUMN)
    for item in candidates(kind, levels(machine, group), group.size, 1e6 * BYTE):
        holds(item.latency_s, SECOND)
        holds(item.wire_s, SECOND)


def test_expert_traffic_is_seconds() -> None:
    for forwarded in (False, True):
        found = exchange.priced(
            "dispatch", sized_fabric("switch+clos"), Group(size=COLUMN), 1e6 * BYTE, 1e5 * BYTE, forwarded=forwarded
        )
        holds(found, SECOND)


def test_the_parts_of_a_level_have_their_units() -> None:
    for level in levels(sized_fabric("switch+clos"), Group(size=COLUMN)):
        for rate in (level.neighbour_bytes_per_s, level.everyone_bytes_per_s, level.pair_bytes_per_s):
            holds(rate, BYTE / SECOND)
        holds(level.far_s, SECOND)
        for regime in level.tier.link.regimes:
            holds(level.step_s(regime), SECOND)


def test_axis_times_are_seconds() -> None:
    """Here the literal is the bytes of an element, so the counted tokens and parameters carry the byte."""
    machine, group = sized_fabric("switch+clos"), Group(size=COLUMN)
    tokens, attention = 4096.0 * BYTE, CATALOGUE.model("llama-3.1-70b").layers[0].attention
    holds(pipeline.hop_time(machine, group, tokens, 8192, 1.0), SECOND)
    holds(context.layer_time(machine, group, attention, tokens, 1.0), SECOND)
    for sequence_parallel in (False, True):
        _, after = tensor.block_times(machine, group, tokens, 8192, sequence_parallel=sequence_parallel)
        holds(after, SECOND)
    holds(tensor.gather_time(machine, group, tokens, 8192), SECOND)
    for zero in ("0", "1", "2", "3"):
        holds(data.traffic(machine, group, 1e9 * BYTE, Layout(zero=zero)).reduce_s, SECOND)


def test_a_unit_mistake_is_caught() -> None:
    """The test itself: seconds forgotten on a latency, and flop over bytes a second."""
    level: Level = levels(sized_fabric("switch"), Group(size=COLUMN))[0]
    with pytest.raises(pint.DimensionalityError):
        level.step_s(replace(level.tier.link.regimes[0], step_s=1e-6))
    with pytest.raises(pint.DimensionalityError):
        cost.op_time(operator(GEMM), replace(device(), memory_bytes_per_s=1e15 * FLOP / SECOND))


@pytest.mark.parametrize(
    "cls",
    [
        Device,
        FabricTier,
        Level,
        Regime,
        Exchange,
        ExpertKernels,
        InNetwork,
        GemmFit,
        AttentionFit,
        LinkCalibration,
        Calibration,
    ],
)
def test_every_number_of_the_formulas_has_its_unit(cls: type[Any]) -> None:
    """A suffix that has no unit here would pass unseen."""
    for item in fields(cls):
        if item.type is float:
            assert unit_of(item.name) is not None or item.name.endswith(("_frac", "_count", "_power")), item.name
