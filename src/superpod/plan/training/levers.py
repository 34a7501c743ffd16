"""What a machine a tenth better in one respect buys: the layouts near the best are priced again on it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from superpod.fabric.tiers import FabricTier
from superpod.plan.machine import Machine
from superpod.plan.report import Lever
from superpod.plan.scenario import Training
from superpod.plan.training.screen import screened_s
from superpod.plan.training.space import Space

MORE = 1.1


def levers(machine: Machine, work: Training, near: Space) -> tuple[Lever, ...]:
    """Return the levers from the strongest on; none where no layout is near."""
    if not near.rows_count:
        return ()
    base = screened_s(machine, work, near)
    changed = {name: change(machine) for name, change in CHANGES.items() if applies(name, machine)}
    gains = {name: base / screened_s(better, work, near) - 1.0 for name, better in changed.items()}
    made = [Lever(name=name, gain_frac=gain) for name, gain in gains.items() if np.isfinite(gain)]
    return tuple(sorted(made, key=lambda lever: -lever.gain_frac))


def applies(name: str, machine: Machine) -> bool:
    """Return whether a machine has what a lever changes: only several pods have a scale-out network."""
    return name != "scale-out bandwidth" or machine.fabric.tiers[-1].scale_out


def _device(**changes: Callable[[Machine], object]) -> Callable[[Machine], Machine]:
    def better(machine: Machine) -> Machine:
        made = {name: change(machine) for name, change in changes.items()}
        return replace(machine, device=replace(machine.device, **made))  # type: ignore[arg-type]

    return better


def _tiers(change: Callable[[FabricTier], FabricTier]) -> Callable[[Machine], Machine]:
    def better(machine: Machine) -> Machine:
        return replace(machine, fabric=replace(machine.fabric, tiers=tuple(change(t) for t in machine.fabric.tiers)))

    return better


def _wider(*, scale_out: bool) -> Callable[[FabricTier], FabricTier]:
    def change(tier: FabricTier) -> FabricTier:
        return replace(tier, bytes_per_s=tier.bytes_per_s * MORE) if tier.scale_out == scale_out else tier

    return change


def _nearer(tier: FabricTier) -> FabricTier:
    steps = tuple(replace(regime, step_s=regime.step_s / MORE) for regime in tier.link.regimes)
    return replace(tier, latency_s=tier.latency_s / MORE, link=replace(tier.link, regimes=steps))


CHANGES: dict[str, Callable[[Machine], Machine]] = {
    "matrix FLOP/s": _device(
        matrix_flop_per_s=lambda made: {name: rate * MORE for name, rate in made.device.matrix_flop_per_s.items()}
    ),
    "memory bandwidth": _device(memory_bytes_per_s=lambda made: made.device.memory_bytes_per_s * MORE),
    "memory capacity": _device(memory_bytes=lambda made: made.device.memory_bytes * MORE),
    "scale-up bandwidth": _tiers(_wider(scale_out=False)),
    "scale-out bandwidth": _tiers(_wider(scale_out=True)),
    "latency a tenth lower": _tiers(_nearer),
}
