"""Published training points predicted: every metric as seconds of one step, and peak memory where it is printed."""

import math
import re
from dataclasses import dataclass, replace

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import DenseFeedForward
from superpod.errors import NoBasisError, SuperpodError
from superpod.parallel.layout import Layout
from superpod.plan.band import log_spread, shares
from superpod.plan.machine import Machine, machine
from superpod.plan.public_record import least_spread
from superpod.plan.scenario import Scenario, Training
from superpod.plan.training.search import trained
from superpod.train.memory import MemoryRecipe, TrainingMemory, training_memory
from superpod.train.step import StepTime
from superpod.validate.hardware import catalogue_at, place_of
from superpod.validate.model import model_of
from superpod.validate.point import Point
from superpod.validate.prediction import Prediction, parts_of, refused
from superpod.validate.software import trainer, unfused
from superpod.validate.training_layout import MICRO_BATCH, layout_of, precision_of
from superpod.validate.values import SECONDS, number, positive

STEP = re.compile(r"^(iteration_time|step_time|time_per_step|time_per_iteration|s_per_(step|iteration)|train_step)")
MEMORY = re.compile(r"memory.*_(gib|gb|mib|mb)$")
SIZES = {"gib": 2.0**30, "gb": 1e9, "mib": 2.0**20, "mb": 1e6}
TERA = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A point priced on its own layout."""

    point: Point
    made: Machine
    work: Training
    layout: Layout
    step: StepTime
    memory: TrainingMemory
    cards: float


def predict(catalogue: Catalogue, point: Point) -> tuple[Prediction, ...]:
    """Return the predictions of a training point, step seconds first, or why there are none."""
    try:
        run = run_of(catalogue, point)
        measured = step_seconds(run)
    except SuperpodError as error:
        return (refused(point, error.message, what="step"),)
    rows = [_step(run, measured)]
    printed = {point.metric: point.value, **point.also}
    for name, value in printed.items():
        unit, size = MEMORY.search(name), positive(value)
        if unit and size is not None:
            rows.append(_memory(run, size * SIZES[unit[1]]))
    return tuple(rows)


def run_of(catalogue: Catalogue, point: Point) -> Run:
    """Return a point priced on its own layout; raise NoBasisError for what it does not state."""
    if point.chips is None:
        raise NoBasisError("the number of chips is not stated", where="chips")
    place = place_of(catalogue, point.hardware, point.chips, point.title)
    if not place.pod:
        raise NoBasisError(f"only the bare chip {place.chip} is in the catalogue", where="hardware")
    spec = model_of(catalogue, point.model)
    work = work_of(point)
    software = trainer(point.title, point.table, spec.name).software
    scenario = Scenario(model=spec.id, pod=place.pod, work=work, cards=max(round(place.cards), 1), software=software)
    precision = precision_of(point.config)
    made = machine(catalogue_at(catalogue, place), scenario, spec=spec, precision=precision)
    old = unfused(made.device.calibration.id)
    ranks = place.cards * made.fabric.ranks_per_chip
    layout = layout_of(point, spec, ranks, old_kernels=old)
    trainee = trained(made, work, layout)
    step, memory = trainee.step, trainee.memory
    return Run(point=point, made=made, work=work, layout=layout, step=step, memory=memory, cards=place.cards)


def work_of(point: Point) -> Training:
    """Return sequences and tokens of one step."""
    tokens, batch = number(point.config, "seq", "sequence"), number(point.config, "gbs", "global_batch")
    if tokens is None:
        raise NoBasisError("no sequence length", where="config.seq")
    if batch is None:
        batch = batch_of(point, tokens)
    return Training(batch_sequences=round(batch), sequence_tokens=round(tokens))


def batch_of(point: Point, tokens: float) -> float:
    """Return the sequences of a step from its tokens, or from a data rank's micro-batches; raise NoBasisError."""
    config = point.config
    whole, each = number(config, "tokens_per_step"), number(config, *MICRO_BATCH)
    if whole is not None:
        return whole / tokens
    ranks = number(config, "dp")
    if each is None or ranks is None:
        raise NoBasisError("no global batch", where="config.gbs")
    return each * ranks * (number(config, "grad_accum") or 1.0)


def step_seconds(run: Run) -> float:
    """Return the measured step in seconds; raise NoBasisError for a metric that does not give one.

    Rates of tokens, sequences and FLOP become seconds through the batch; a share of peak only with the source's own
    peak. Model FLOP are counted as `train.step.model_flop`; hardware FLOP of a GPT with full recompute as in
    arXiv 2104.04473, section 3.
    """
    point, chips = run.point, run.point.chips or 1.0
    name, unit, value = point.metric, point.unit, point.value
    sequences, tokens = float(run.work.batch_sequences), float(run.work.sequence_tokens)
    if STEP.search(name):
        if unit not in SECONDS:
            raise NoBasisError(f"{name} in {unit!r}", where="metric.unit")
        return value * SECONDS[unit]
    each = chips if name.endswith(("per_gpu", "per_chip", "per_npu", "per_device")) else 1.0
    if name.startswith("tokens_per_s"):
        return sequences * tokens / (each * value)
    if name.startswith(("samples_per_s", "sequences_per_s")):
        return sequences / (each * value)
    if name.startswith("model_tflops"):
        return run.step.model_flop / (each * value * TERA)
    if name.startswith("hardware_tflops"):
        return hardware_flop(run) / (each * value * TERA)
    if name == "mfu":
        peak = re.search(r"of ([\d.]+) ?TFLOP", unit)
        if peak is None:
            raise NoBasisError("a share of peak without the source's peak", where="metric.unit")
        return run.step.model_flop / (chips * value / 100.0 * float(peak[1]) * TERA)
    raise NoBasisError(f"no seconds of a step from {name!r}", where="metric.name")


def hardware_flop(run: Run) -> float:
    """Return 96 B s l h^2 (1 + s / 6h + V / 16 l h), a GPT's step with full recompute (arXiv 2104.04473, section 3)."""
    spec = run.made.spec
    plain = all(isinstance(group.ffn, DenseFeedForward) and not group.ffn.gated for group in spec.layers)
    if run.layout.recompute != "full" or not plain:
        raise NoBasisError("hardware FLOP of something else than a GPT with full recompute", where="metric.name")
    width, layers, tokens = float(spec.hidden_count), float(spec.layers_count), float(run.work.sequence_tokens)
    share = 1.0 + tokens / (6.0 * width) + spec.vocab_count / (16.0 * layers * width)
    return 96.0 * run.work.batch_sequences * tokens * layers * width**2 * share


def _step(run: Run, measured: float) -> Prediction:
    made, predicted = run.made, float(run.step.time_s)
    spread = math.exp(log_spread(made, shares(run.step.term)))
    tokens = float(run.work.batch_sequences) * run.work.sequence_tokens
    return Prediction(
        point=run.point.id,
        kind=run.point.kind,
        what="step",
        source=run.point.title,
        hardware=run.point.hardware,
        chip=made.chip.id,
        measured=measured,
        predicted=predicted,
        low=predicted / spread,
        high=predicted * spread,
        ladder=f"{run.point.title}|{made.spec.name}|{made.chip.id}",
        ladder_scale=run.cards / tokens,
        software=made.software.id,
        basis=f"{made.pod.id}, {made.precision.name}, {made.device.calibration.id}",
        work_flop=run.step.model_flop / run.cards,
        family=f"{made.device.calibration.id}|{made.precision.matmul}",
        parts=parts_of(run.step.term),
    )


def _memory(run: Run, measured: float) -> Prediction:
    """Return the peak of what tensors take, which is what frameworks print; a fused loss overwrites its logits."""
    recipe = MemoryRecipe(logit_bytes=2.0) if run.point.config.get("fused_cross_entropy") else MemoryRecipe()
    tokens, passes = float(run.work.sequence_tokens), run.step.micro_batches
    held = training_memory(run.made.spec, run.layout, tokens, passes, recipe)
    predicted, spread = float(held.allocated_bytes), math.exp(least_spread("training_memory"))
    return replace(
        _step(run, measured),
        what="memory",
        unit="B",
        predicted=predicted,
        low=predicted / spread,
        high=predicted * spread,
        ladder="",
        work_flop=None,
        parts="",
    )
