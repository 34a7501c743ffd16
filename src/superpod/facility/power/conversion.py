"""Losses between the grid and the load: each stage is a line, so that its efficiency is a curve of the load."""

from collections.abc import Sequence
from dataclasses import dataclass

from superpod.result import Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One conversion: what it takes with no load, and the efficiency of what comes on top."""

    name: str
    fixed_w: Num
    efficiency_frac: Num

    def input_w(self, output_w: Num) -> Num:
        """Return (output + fixed) / efficiency, W: the affine loss of ExaDigiT/RAPS (its `config/frontier.yaml`)."""
        return (output_w + self.fixed_w) / self.efficiency_frac


def through(stages: Sequence[Stage], output_w: Num) -> Num:
    """Return what a chain of stages takes from its source to deliver `output_w` at its end; the first is the last."""
    for stage in stages:
        output_w = stage.input_w(output_w)
    return output_w
