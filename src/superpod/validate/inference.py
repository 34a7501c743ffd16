"""Published serving points predicted: static batches, decode and prefill pools, closed loops and offline runs."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superpod.catalog.load import Catalogue
from superpod.errors import NoBasisError, SuperpodError
from superpod.parallel.engine import Engine
from superpod.plan.band import Shares, log_spread, shares
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving
from superpod.result import Term, total
from superpod.serve.batching import Batching, batching, first_wave_wait, offline_time, slots
from superpod.serve.memory import weights_bytes
from superpod.serve.steady import decode, even_share, prefill
from superpod.validate.deployment import Deployment, deployment_of, precision_of
from superpod.validate.hardware import catalogue_at, place_of
from superpod.validate.model import model_of
from superpod.validate.point import Point
from superpod.validate.pools import apart, reads_apart
from superpod.validate.prediction import Prediction, parts_of, refused
from superpod.validate.programs import program_number
from superpod.validate.replay import (
    PERCENTILES,
    QUANTITIES,
    Replayed,
    closed_loop,
    config_of,
    decode_pool,
    needs_trace,
    traced,
)
from superpod.validate.software import software_of
from superpod.validate.staged import is_staged, staged
from superpod.validate.values import number, positive
from superpod.workload.build import kv_cache_bytes
from superpod.workload.one_each import one_expert_each

TIMES = {"tpot_ms": 1e-3, "tpot_mean_ms": 1e-3, "tpot_s": 1.0, "itl_median_ms": 1e-3, "itl_mean_ms": 1e-3}
ONE_EACH = re.compile("one expert (per|a) (die|rank)")
TOO_BIG = "no request fits into the memory that the weights leave"
FIRST = {"ttft_ms": 1e-3, "ttft_mean_ms": 1e-3, "ttft_median_ms": 1e-3, "ttft_s": 1.0, "prompt_latency_ms": 1e-3}
# Metrics that only a simulation request by request has, and what they are of.
REPLAYED = {f"{name}_{part}_ms": f"{name} {part}" for name in QUANTITIES for part in PERCENTILES}
REPLAYED["latency_mean_ms"] = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A point on its machine: what the engine is, how it was deployed, and the cards that were counted.

    `guess` says what is guessed of the engine's release.
    """

    point: Point
    made: Machine
    deployment: Deployment
    cards: float
    counted: float
    guess: str = ""

    @property
    def engine(self) -> Engine:
        """What decodes: experts as the point says that they were placed."""
        config = self.point.config
        if not ONE_EACH.search(str(config.get("deployment", ""))):
            return self.made.engine
        return replace(
            self.made.engine, spec=one_expert_each(self.made.spec, round(float(self.deployment.layout.expert)))
        )

    @property
    def basis(self) -> str:
        """The pod, precision and calibration that a prediction stands on, and what it borrows or guesses."""
        stands = (self.made.pod.id, self.made.precision.name, self.made.device.calibration.id)
        return ", ".join(part for part in (*stands, self.deployment.borrowed, self.guess) if part)

    def rate_per_rank(self, batch_per_s: float) -> float:
        """Return the rate of one rank where each of as many batches as there are stages has the rate `batch_per_s`."""
        layout = self.deployment.layout
        return batch_per_s / float(layout.tensor) * float(even_share(self.engine, layout))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What is predicted of a run: times in seconds, rates of one rank; None where the run does not have it.

    `times_s` are further ones by name that a simulation gives. `term` is the breakdown that the prediction rests on,
    `first_term` that of the prompts where the first token is a pass by itself, `why` the reason where nothing is
    predicted at all.
    """

    tpot_s: float | None = None
    ttft_s: float | None = None
    output_per_s: float | None = None
    input_per_s: float | None = None
    floor_s: float | None = None
    times_s: Mapping[str, float] = field(default_factory=dict)
    term: Term | None = None
    first_term: Term | None = None
    why: str = ""

    def term_of(self, what: str) -> Term | None:
        """Return the breakdown of a quantity."""
        return self.first_term or self.term if what == "ttft" else self.term


def predict(
    catalogue: Catalogue, point: Point, *, tables: str = "none", simulate: Path | None = None
) -> tuple[Prediction, ...]:
    """Return the predictions of one serving point, or why there are none; `tables` as in `Scenario`.

    `simulate` is a folder of request traces: runs of one in it, and closed loops, are simulated request by request.
    """
    try:
        run = run_of(catalogue, point, tables)
        rate = rate_of(run, simulate)
    except SuperpodError as error:
        return (refused(point, error.message),)
    found = [_compared(run, rate, point.metric, point.value)]
    found += [
        made
        for name, stated in point.also.items()
        if (name in FIRST or name in TIMES or name in REPLAYED) and (value := positive(stated)) is not None
        for made in (_compared(run, rate, name, value),)
        if made.predicted is not None
    ]
    return tuple(found)


def run_of(catalogue: Catalogue, point: Point, tables: str = "none") -> Run:
    """Return the machine and the deployment of a point; raise NoBasisError for what is not stated or not known."""
    counted = point.chips if point.chips is not None else 1.0
    place = place_of(catalogue, point.hardware, counted)
    spec = model_of(catalogue, point.model)
    precision = precision_of(point.config, spec)
    software, guess = software_of(point.config, point.hardware)
    scenario = Scenario(
        model=spec.id,
        pod=place.pod or place.chip,
        work=Serving(),
        cards=max(round(place.cards), 1),
        software=software,
        tables=tables,
    )
    made = machine(catalogue_at(catalogue, place), scenario, spec=spec, precision=precision)
    ranks = place.cards * made.fabric.ranks_per_chip
    deployment = deployment_of(point.config, spec, ranks, made.fabric.ranks_per_chip)
    return Run(
        point=point,
        made=configured(made, point),
        deployment=deployment,
        cards=place.cards,
        counted=counted,
        guess=guess,
    )


def configured(made: Machine, point: Point) -> Machine:
    """Return the machine with the limits that the point states in place of the software's defaults."""
    tokens = number(point.config, "max_num_batched_tokens", "max_num_tokens", "chunked_prefill_size")
    sequences = number(point.config, "max_num_seqs", "max_batch", "max_num_seqs_per_dp", "max_batch_size")
    software = replace(
        made.software,
        step_tokens_count=tokens or made.software.step_tokens_count,
        sequences_count=sequences or made.software.sequences_count,
    )
    return replace(made, software=software)


def rate_of(run: Run, simulate: Path | None = None) -> Rate:
    """Return what the point's own question asks: by how it was run, simulated where a folder of traces is given."""
    config, asked = run.point.config, run.deployment
    if simulate is not None:
        found = replayed(run, simulate)
        if found is not None:
            return simulated_rate(run, found)
    if needs_trace(run.point) or is_staged(config):
        named = config.get("trace", "its stages")
        raise NoBasisError(f"only a simulation of its requests predicts it: {named}", where="config.trace")
    words = str(config.get("deployment", "")).lower()
    if number(config, "tokens_per_chip_batch", "tokens_per_gpu_batch") is not None:
        return prefill_rate(run)
    if "static" in words:
        return static_rate(run)
    if asked.requests_count is not None:
        return offline_rate(run, asked.requests_count)
    if "pool" in words or number(config, "kv_len") is not None:
        return decode_rate(run)
    return loop_rate(run)


def replayed(run: Run, folder: Path) -> Replayed | None:
    """Return a run simulated request by request; None where it has neither a trace at hand, nor stages, nor a loop."""
    config, asked, engine = config_of(run.point), run.deployment, run.engine
    if is_staged(config):
        return staged(engine, asked, config)
    if "trace" in config and (needs_trace(run.point) or (folder / str(config["trace"])).exists()):
        return traced(engine, asked, config, folder)
    if asked.held_count is None or asked.requests.output_tokens < 1.0 or number(config, "kv_len") is not None:
        return None
    return looped(run, config)


def looped(run: Run, config: Mapping[str, Any]) -> Replayed | None:
    """Return a closed loop: a decode pool, alone or with those that read for it, or an instance that does both."""
    words = str(config.get("deployment", "")).lower()
    if "decode pool" in words and reads_apart(config):
        return apart(run.made, run.engine, run.deployment, config)
    if "decode pool" in words:
        return decode_pool(run.engine, run.deployment)
    if "pool" in words or number(config, "concurrency", "silicon_concurrency") is None:
        return None
    return closed_loop(run.engine, run.deployment, config)


def simulated_rate(run: Run, found: Replayed) -> Rate:
    """Return what a simulation gave, with the breakdown of the decode step that the steady state has."""
    asked = run.deployment
    held = asked.held_count
    return Rate(
        tpot_s=found.times_s["tpot"],
        ttft_s=found.times_s["ttft"],
        output_per_s=found.output_per_s,
        floor_s=None if held is None else floor_time(run, held),
        times_s=found.times_s,
        term=None if held is None else decode(run.engine, run.deployment.layout, held, run.deployment.requests).term,
    )


def prefill_rate(run: Run) -> Rate:
    """Return the rate of a prefill pool that reads so many tokens a card in one pass."""
    made, asked = run.made, run.deployment
    tokens = number(run.point.config, "tokens_per_chip_batch", "tokens_per_gpu_batch") or 0.0
    each = tokens / made.fabric.ranks_per_chip * float(asked.layout.tensor) / asked.requests.prompt_tokens
    found = prefill(run.engine, asked.layout, each, asked.requests)
    return Rate(input_per_s=float(found.tokens_per_s_rank), term=found.term)


def static_rate(run: Run) -> Rate:
    """Return prompt and decode times of a fixed batch: one pass over all prompts, then steps of all sequences."""
    asked = run.deployment
    held = asked.held_count or 1.0
    found = decode(run.engine, asked.layout, held, asked.requests)
    first = prefill(run.engine, asked.layout, held, asked.requests)
    return Rate(
        tpot_s=float(found.tpot_s),
        ttft_s=float(first.pass_s),
        output_per_s=float(found.tokens_per_s_rank),
        floor_s=floor_time(run, held),
        term=found.term,
        first_term=first.term,
    )


def decode_rate(run: Run) -> Rate:
    """Return the rate of a pool that only decodes, at the batch that the point states."""
    asked = run.deployment
    found = decode(run.engine, asked.layout, asked.held_count or 1.0, asked.requests)
    return Rate(
        tpot_s=float(found.tpot_s),
        output_per_s=float(found.tokens_per_s_rank),
        floor_s=floor_time(run, asked.held_count or 1.0),
        term=found.term,
    )


def offline_rate(run: Run, requests_count: float) -> Rate:
    """Return the rate of a run whose requests are all given at once, shared by all attention groups."""
    asked = run.deployment
    groups = asked.instances_count * float(asked.layout.data * asked.layout.pipeline)
    spent, held = offline_time(run.engine, asked.layout, asked.requests, requests_count / groups)
    if held < 1.0:
        return Rate(why=TOO_BIG)
    tokens = requests_count / groups * asked.requests.output_tokens
    state = batching(run.engine, asked.layout, asked.requests, held)
    rate = run.rate_per_rank(tokens / spent)
    return Rate(tpot_s=float(state.tpot_s), output_per_s=rate, term=loop_term(run, state))


def loop_rate(run: Run) -> Rate:
    """Return the steady state of a closed loop: as many requests at once as were sent or as fit."""
    made, asked = run.made, run.deployment
    stages = float(asked.layout.pipeline)
    held = min((asked.held_count or math.inf) / stages, float(slots(run.engine, asked.layout, asked.requests)))
    if held < 1.0:
        return Rate(why=TOO_BIG)
    groups = float(asked.layout.data) if float(asked.layout.expert) > 1.0 else 1.0
    state = batching(run.engine, asked.layout, asked.requests, held, groups_in_step=groups)
    offered = number(run.point.config, "request_rate")
    rate = run.rate_per_rank(float(state.tokens_per_s))
    if offered is not None:
        ranks = run.cards * made.fabric.ranks_per_chip
        rate = min(rate, offered * asked.requests.output_tokens / ranks)
    return Rate(
        tpot_s=float(state.tpot_s),
        # Where requests come by the clock the wait is a queue's, which a steady state does not have.
        ttft_s=None if asked.held_count is None else float(state.ttft_s) + _first_wave(run, held),
        output_per_s=rate,
        floor_s=floor_time(run, held),
        term=loop_term(run, state),
    )


def _first_wave(run: Run, held: float) -> float:
    """Return what the first wave of a closed loop, sent all at once, adds to the mean time to a first token."""
    config, asked = run.point.config, run.deployment
    together = number(config, "concurrency", "silicon_concurrency")
    if together is None:
        return 0.0
    sent = number(config, "num_prompts") or program_number("closed_loop.rounds_count") * together
    wait = first_wave_wait(run.engine, asked.layout, asked.requests, held * float(asked.layout.pipeline))
    return float(wait) * min(together / sent, 1.0)


def loop_term(run: Run, state: Batching) -> Term:
    """Return the breakdown of a decode step at the batch that decodes, what reading prompts adds to it beside it."""
    found = decode(run.engine, run.deployment.layout, float(state.decoding_count), run.deployment.requests)
    added = Term(name="prompts in between", time_s=max(float(state.step_s - state.plain_s), 0.0))
    return total(found.term.name, *found.term.parts, added)


def floor_time(run: Run, held: float) -> float:
    """Return the pure memory bound of a decode step: weights and caches over the printed bandwidth."""
    made, asked = run.made, run.deployment
    context = asked.requests.prompt_tokens + asked.requests.output_tokens / 2.0
    cache = kv_cache_bytes(run.engine.spec, context, asked.layout.partition, made.precision)
    read = weights_bytes(run.engine.spec, asked.layout, made.precision) + held * cache
    return float(read) / made.device.memory_bytes_per_s


def _compared(run: Run, rate: Rate, metric: str, value: float) -> Prediction:
    """Return a measured number beside the predicted one, in seconds or tokens/s."""
    what, measured, predicted, scale = _quantity(run, rate, metric, value)
    if predicted is None:
        reason = rate.why or f"no prediction of {metric} for such a run"
        return replace(refused(run.point, reason, what=what), measured=value)
    term = rate.term_of(what)
    waits = Shares(kernels_frac=1.0, links_frac=0.0, host_frac=0.0) if term is None else shares(term)
    made, spread = run.made, math.exp(log_spread(run.made, waits))
    return Prediction(
        point=run.point.id,
        kind=run.point.kind,
        what=what,
        source=run.point.title,
        hardware=run.point.hardware,
        chip=made.chip.id,
        measured=measured,
        predicted=predicted,
        unit="s" if scale is None else "token/s",
        low=predicted / spread,
        high=predicted * spread,
        ladder=f"{run.point.title}|{made.spec.name}|{made.chip.id}|{what}",
        software=made.software.id,
        basis=run.basis,
        floor=rate.floor_s if what == "tpot" else None,
        parts=parts_of(term) if term is not None else "",
        more_is_better=scale is not None,
    )


def _quantity(run: Run, rate: Rate, metric: str, value: float) -> tuple[str, float, float | None, float | None]:
    """Return (what, measured, predicted, ranks of the rate or None for a time) in SI units."""
    if metric in TIMES:
        return "tpot", value * TIMES[metric], rate.tpot_s, None
    if metric in FIRST:
        return "ttft", value * FIRST[metric], rate.ttft_s, None
    if metric in REPLAYED:
        return REPLAYED[metric], value * 1e-3, rate.times_s.get(REPLAYED[metric]), None
    ranks = ranks_of(run, metric)
    if ranks is None:
        return metric, value, None, None
    each = rate.input_per_s if metric.startswith("input") else rate.output_per_s
    what = "input rate" if metric.startswith("input") else "output rate"
    return what, value, None if each is None else each * ranks, ranks


def ranks_of(run: Run, metric: str) -> float | None:
    """Return the ranks that a rate is of: all, or those of one counted chip or of a node."""
    whole = run.cards * run.made.fabric.ranks_per_chip
    if "tokens_per_s" not in metric:
        return None
    if metric.endswith(("per_gpu", "per_npu", "per_chip", "per_card")):
        return whole / run.counted
    if metric.endswith("per_node"):
        return float(run.made.fabric.tiers[0].ranks_count)
    return whole
