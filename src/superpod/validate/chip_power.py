"""Measured power of chips while serving, beside what they did: what power shares are fitted to and held against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from superpod.catalog.facility_parts import ChipPower
from superpod.catalog.load import Catalogue
from superpod.errors import SuperpodError
from superpod.facility.power.chip import Activity, chip_w
from superpod.plan.machine import Machine
from superpod.plan.power.phases import Sums, decode_activity, is_routed, sums
from superpod.plan.power.site import family
from superpod.validate.inference import run_of
from superpod.validate.point import Point
from superpod.validate.values import positive
from superpod.workload.build import head, layer
from superpod.workload.phase import Partition, decode_phase

ENERGY = "energy_per_token_j"
RATE = "output_tokens_per_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One operating point: what the mean chip did by the measured rate, and what it drew."""

    point: str
    model: str
    chip: str
    activity: Activity
    limit_w: float
    measured_w: float
    shares: ChipPower

    @property
    def predicted_w(self) -> float:
        """The power by the catalogue's shares."""
        return float(chip_w(self.shares, self.limit_w, self.activity))

    @property
    def error_frac(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted_w / self.measured_w - 1.0


# Workloads of questions and of chats, whose prompts are short beside what is computed for their answers (an example of
# the benchmark's guide has 245 tokens). Prompts of code completion are whole files of no published length: of 638 ms
# that a token takes there on eight B200, the median step takes 47, so that the chips mostly read prompts.
SHORT_PROMPTS = ("gpqa", "lm-arena-chat")


def drawn(catalogue: Catalogue, points: Iterable[Point], prompt_tokens: float) -> tuple[Drawn, ...]:
    """Return the points that state energy a token and a rate, of workloads with short prompts of `prompt_tokens` each.

    The step takes batch / rate as it was measured, so that only the power is predicted, not the time. Prompts are read
    in the same time: their products count, their attention does not.
    """
    found: list[Drawn] = []
    for point in points:
        energy, rate = positive(point.also.get(ENERGY)), positive(point.also.get(RATE))
        if energy is None or rate is None or point.chips is None or point.config.get("workload") not in SHORT_PROMPTS:
            continue
        try:
            found.append(_drawn(catalogue, point, energy * rate / point.chips, rate, prompt_tokens))
        except SuperpodError:
            continue  # a model, a format or a chip that the catalogue does not have
    return tuple(found)


def _drawn(catalogue: Catalogue, point: Point, measured_w: float, rate: float, prompt: float) -> Drawn:
    config, chips = point.config, point.chips or 1.0
    read = run_of(catalogue, replace(point, config=with_degrees(config, chips, prompt)))
    made, layout = read.made, read.deployment.layout
    batch, output = float(config["avg_batch"]), float(config["mean_osl"])
    groups = chips / float(layout.tensor)
    part = replace(layout.partition, sequence_parallel=False)
    every = decode_sums(made, part, batch / groups, prompt + output / 2.0)
    grown = replace(every, at_peak_s=every.at_peak_s * (1.0 + prompt / output))
    activity = decode_activity(grown, batch / rate, 0.0, routed=is_routed(made.spec))
    return Drawn(
        point=point.id,
        model=made.spec.name,
        chip=made.chip.id,
        activity=activity,
        limit_w=float(made.chip.power.max_w or 0.0),
        measured_w=measured_w,
        shares=family(catalogue, made.chip.calibration),
    )


def decode_sums(made: Machine, part: Partition, sequences: float, context: float) -> Sums:
    """Return the kernels of one decode step of a rank."""
    engine, phase = made.engine, decode_phase(sequences, context, 1.0)
    every = sums(engine, head(engine.spec, phase, part, engine.precision))
    for group in engine.spec.layers:
        work = layer(engine.spec, group, phase, part, engine.precision)
        every = every.plus(sums(engine, work.operators), float(group.count))
    return every


def with_degrees(config: Mapping[str, Any], chips: float, prompt_tokens: float) -> dict[str, Any]:
    """Return a configuration with its degrees where readers look for them.

    vLLM counts the ranks of one data-parallel group as tensor ranks of attention, whatever the experts do.
    """
    stated = config.get("parallel")
    degrees: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
    data = float(degrees.get("data_parallel") or 1.0)
    own = {
        "tp": chips / data,
        "dp": data,
        "ep": float(degrees.get("expert_parallel") or 1.0),
        "isl": prompt_tokens,
        "osl": config.get("mean_osl"),
    }
    return {**own, **config}
