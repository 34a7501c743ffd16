"""What the steps of a serving instance cost, as tables made by one call of each formula over all their knots.

A simulation reads them millions of times (`serve.step_tables`); the formulas are those of the steady state.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from superpod.catalog.model_spec import MixtureOfExperts
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.result import Num
from superpod.serve.iteration import context_time, draft_time, pass_time, projection, token_pass
from superpod.serve.memory import cache_budget, held_weights_bytes, sequence_cache_bytes
from superpod.serve.steady import Requests, even_share
from superpod.serve.step_tables import PER_OCTAVE, Column, Tables
from superpod.workload.build import kv_cache_bytes
from superpod.workload.phase import Partition, chunk_phase, decode_phase, prefill_phase

FEW = 1.0 / 64.0  # the least of a mean over groups that a table tells apart
MANY = 2.0**14  # equal chunks of a pass, so many that launches and a first wave of tiles are nothing
POWERS = np.linspace(1.0, 3.0, 81)  # exponents tried for joining chunks
TRIED = (2.0, 8.0, 32.0)  # chunks of a pass by which the exponent is chosen
LONGEST = 2.0**20  # tokens of context that tables reach; they go on straight beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """One instance: `groups_count` attention groups of `ranks_count` ranks in all, whose steps `tables` price.

    With p pipeline stages each group has p batches in flight, and each of them counts as a group here: its step goes
    through all stages. `groups_together`: they wait for each other in every layer. `capacity_tokens`: what one of them
    can hold in its caches, 0 where the weights leave no room; `sequences_max_count` and `step_max_tokens` (query tokens
    and prompts together) are its limits. `token_bytes`: the cache of a token of a whole request, over all layers and
    ranks, `state_bytes` what a request has of it whatever its length.
    """

    tables: Tables
    groups_count: float
    ranks_count: float
    groups_together: bool
    capacity_tokens: float
    sequences_max_count: float
    step_max_tokens: float
    token_bytes: float
    state_bytes: float

    @property
    def emitted_tokens(self) -> float:
        """Tokens that a decode step gives a sequence, accepted drafts included."""
        return self.tables.emitted_tokens

    @property
    def mixed(self) -> bool:
        """Whether prompts ride along in decode steps; else they take turns."""
        return self.tables.mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an engine was started, where it is not as its release is by default.

    `capacity_tokens`: what an engine says it can hold in the caches of a group (its blocks x tokens of a block).
    `typical_tokens`: the context at which the cache of layers with windows or states is spread over tokens.
    """

    draft_tokens: int = 0
    acceptance_frac: float = 0.0
    capacity_tokens: float | None = None
    step_max_tokens: float | None = None
    sequences_max_count: float | None = None
    typical_tokens: float = 8192.0


DEFAULTS = Settings()


def step_costs(engine: Engine, layout: Layout, settings: Settings = DEFAULTS) -> StepCosts:
    """Return the costs of one instance of a layout of numbers; see `docs/theory/serving.md`.

    Every column is one call of a formula of `serve.iteration` over its knots, made not to fall where work grows. With p
    stages of ceil(L / p) layers every batch waits for the fullest stage: all times x p ceil(L / p) / L.
    """
    sequences, tokens = limits(engine, layout, settings)
    drafting = Requests(
        prompt_tokens=0.0,
        output_tokens=0.0,
        draft_tokens=settings.draft_tokens,
        acceptance_frac=settings.acceptance_frac,
    )
    tables = scaled(_tables(engine, layout, drafting, sequences, tokens), 1.0 / float(even_share(engine, layout)))
    token_bytes, state_bytes = request_bytes(engine, settings.typical_tokens)
    return StepCosts(
        tables=tables,
        groups_count=float(layout.data * layout.pipeline),
        ranks_count=float(layout.tensor * layout.context * layout.data * layout.pipeline),
        groups_together=bool(layout.expert > 1 and layout.data > 1),
        capacity_tokens=capacity(engine, layout, settings),
        sequences_max_count=sequences,
        step_max_tokens=tokens,
        token_bytes=token_bytes,
        state_bytes=state_bytes,
    )


def limits(engine: Engine, layout: Layout, settings: Settings) -> tuple[float, float]:
    """Return (sequences, tokens a step) of one batch; the batches in flight share the engine's limit of sequences."""
    software = engine.software
    sequences = settings.sequences_max_count or software.sequences_count
    return max(sequences / float(layout.pipeline), 1.0), settings.step_max_tokens or software.step_tokens_count


def capacity(engine: Engine, layout: Layout, settings: Settings, held_bytes: Num | None = None) -> float:
    """Return the tokens that one batch can hold: as the engine says, or what is left to caches / cache of a token.

    `held_bytes`: the weights of a rank, where they are not those of the whole layout.
    """
    if settings.capacity_tokens is not None:
        return settings.capacity_tokens / float(layout.pipeline)
    drafts = settings.draft_tokens > 0
    if held_bytes is None:
        held_bytes = held_weights_bytes(engine, layout, drafts=drafts)
    one = sequence_cache_bytes(engine, layout, settings.typical_tokens, drafts=drafts)
    return max(float(cache_budget(engine, held_bytes) / one) * settings.typical_tokens, 0.0)


def request_bytes(engine: Engine, typical_tokens: float) -> tuple[float, float]:
    """Return the cache of a whole request over all ranks: (bytes a token, bytes whatever its length)."""
    state, whole = (
        kv_cache_bytes(engine.spec, tokens, Partition(), engine.precision) for tokens in (0.0, typical_tokens)
    )
    return float(whole - state) / typical_tokens, float(state)


def knots(low: float, first: float, top: float) -> Column:
    """Return `low`, then `first` x 2^(k / PER_OCTAVE) up to `top` or just above."""
    count = max(int(np.ceil(PER_OCTAVE * np.log2(top / first) - 1e-9)), 1)
    return np.concatenate([[low], first * 2.0 ** (np.arange(count + 1) / PER_OCTAVE)])


def rising(values: Num, shape: tuple[int, ...]) -> Column:
    """Return a table that nowhere falls along its axes."""
    table = np.broadcast_to(np.asarray(values, dtype=float), shape)
    for axis in range(len(shape)):
        table = np.maximum.accumulate(table, axis=axis)
    return table


def scaled(tables: Tables, factor: float) -> Tables:
    """Return the tables with every time x `factor`."""
    return tables._replace(**{name: getattr(tables, name) * factor for name in tables._fields if name.endswith("_s")})


def _tables(engine: Engine, layout: Layout, drafting: Requests, sequences: float, tokens: float) -> Tables:
    drafts = drafting.draft_tokens
    most = 2.0 * max(tokens, sequences * (1.0 + drafts))
    batch, context = knots(FEW, 1.0, sequences), knots(1.0, 16.0, LONGEST)
    rows = knots(FEW, 1.0, 2.0 * sequences * (1.0 + drafts))
    chunk, behind = knots(1.0, 16.0, tokens), knots(0.0, 16.0, LONGEST)
    software, layers = engine.software, engine.spec.layers
    asked = prefill_phase(rows, 1.0)
    return Tables(
        batch_count=batch,
        context_tokens=context,
        **_decoding(engine, layout, drafts, batch, context),
        **_passing(engine, layout, knots(1.0, 2.0, most)),
        rows_count=rows,
        projection_s=rising(projection(engine, layout, asked), rows.shape),
        chunk_tokens=chunk,
        behind_tokens=behind,
        **_reading(engine, layout, chunk, behind),
        launch_s=engine.spec.layers_count * software.layer_s,
        gap_s=software.gap_s,
        sequence_s=software.sequence_s,
        expert_frac=sum(group.count for group in layers if isinstance(group.ffn, MixtureOfExperts))
        / engine.spec.layers_count,
        overlap_tax_frac=engine.fabric.tiers[-1].link.overlap_tax_frac,
        query_count=1.0 + drafts,
        emitted_tokens=drafting.tokens_per_step,
        mixed=software.scheduling == "mixed",
    )


def _decoding(engine: Engine, layout: Layout, drafts: int, batch: Column, context: Column) -> dict[str, Any]:
    """Return the columns by batch and context, row by row."""
    shape = (len(batch), len(context))
    phase = decode_phase(batch[:, None], context[None, :], 1.0 + drafts)
    half = replace(phase, sequences=phase.sequences / 2.0, tokens=phase.tokens / 2.0)
    draft = draft_time(engine, layout, phase, drafts).time_s
    found = {
        "decode_s": pass_time(engine, layout, phase).time_s + draft,
        "attend_s": context_time(engine, layout, phase),
        "halves_attend_s": 2.0 * context_time(engine, layout, half),
        "draft_s": draft,
    }
    return {name: rising(values, shape).ravel() for name, values in found.items()}


def _passing(engine: Engine, layout: Layout, tokens: Column) -> dict[str, Any]:
    """Return the columns by tokens of a pass."""
    found = token_pass(engine, layout, prefill_phase(1.0, tokens, layout.context))
    columns = {name: rising(getattr(found, name), tokens.shape) for name in found.__dataclass_fields__}
    return {"pass_tokens": tokens, **columns}


def _reading(engine: Engine, layout: Layout, chunk: Column, behind: Column) -> dict[str, Any]:
    """Return the columns by chunk and what lies behind it, row by row, and how chunks of one pass join.

    n equal chunks take l + ((n a)^p + w^p)^(1/p): launches, work, and a first wave of tiles that many chunks cover. a
    is what one more takes among many, l the least that a lone chunk takes beyond a, w makes a lone chunk exact, and p
    is that of `POWERS` which comes nearest to the formula.
    """
    shape = (len(chunk), len(behind))

    def equal(count: float) -> Column:
        found = context_time(engine, layout, chunk_phase(count, chunk[:, None], behind[None, :], layout.context))
        return rising(found, shape)

    one = equal(1.0)
    each = np.minimum(rising((equal(2.0 * MANY) - equal(MANY)) / MANY, shape), one)
    launch = float(np.min(one - each))
    wanted = np.stack([equal(count) for count in TRIED])
    least = np.finfo(float).tiny
    logs = [np.log(np.maximum(part, least)) for part in (one - launch, each)]
    counts = np.array(TRIED).reshape(-1, 1, 1)

    def error(power: float) -> float:
        alone, among = (np.exp(power * part) for part in logs)  # x^p, faster than powers
        joined = counts**power * among + np.maximum(alone - among, 0.0)
        return float(np.mean(np.abs((launch + np.exp(np.log(np.maximum(joined, least)) / power)) / wanted - 1.0)))

    best = float(min(POWERS, key=error))
    first = np.maximum((one - launch) ** best - each**best, 0.0) ** (1.0 / best)
    return {
        "read_s": each.ravel(),
        "first_s": first.ravel(),
        "read_launch_s": launch,
        "read_power": best,
    }
