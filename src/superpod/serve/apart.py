"""Attention and feed-forward on ranks of their own (AFD): a batch is cut up, and its parts take turns on both sides.

MegaScale-Infer (arXiv 2504.02263) and Step-3 (arXiv 2507.19427) serve so.
"""

from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import LayerGroup, MixtureOfExperts
from superpod.errors import ScenarioError
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Group
from superpod.parallel.axes import expert, tensor
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.result import Num, Term, total
from superpod.serve.costs import DEFAULTS, Settings, StepCosts, capacity, rising, step_costs
from superpod.serve.iteration import hosted, layer_part, projection
from superpod.serve.memory import ServingMemory, attention_bytes, deeper, feed_forward_bytes, sequence_cache_bytes
from superpod.serve.steady import Apart, Decode, Requests, held_tokens
from superpod.workload.phase import Partition, Phase, decode_phase, prefill_phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The ranks of one side: attention groups of `tensor` ranks, or ranks that share the experts."""

    engine: Engine
    layout: Layout

    @property
    def ranks_count(self) -> Num:
        """All ranks of the side."""
        return self.layout.tensor * self.layout.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Seconds of one layer for one part of the batch: attention, the way there, feed-forward, the way back."""

    attention_s: Num
    there_s: Num
    feed_forward_s: Num
    back_s: Num

    @property
    def chain_s(self) -> Num:
        """All four, one after another."""
        return self.attention_s + self.there_s + self.feed_forward_s + self.back_s

    @property
    def slowest_s(self) -> Num:
        """The longest of the four, at which a full pipe takes parts in."""
        sides = np.maximum(self.attention_s, self.feed_forward_s)
        return np.maximum(sides, np.maximum(self.there_s, self.back_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """Seconds of all layers: what a step waits for in `waits`, how long each place works in `works`, and the fill.

    Where the pipe is full a layer waits for its slowest place alone, else for each of the four in turn.
    """

    waits: Turn
    works: Turn
    fill_s: Num

    @property
    def time_s(self) -> Num:
        """All layers."""
        return self.waits.chain_s + self.fill_s


def disaggregated_costs(
    attention: Side, feed_forward: Side, micro_batches_count: int, settings: Settings = DEFAULTS
) -> StepCosts:
    """Return the costs of an instance whose attention groups send every layer's tokens to the ranks of the other side.

    Decode steps cut the batch of each group into m parts that follow each other (`pipe`); passes that read prompts
    take the chain, uncut: instances like this one decode, others read. Transfers run over the fabric of the attention
    side, whose pools are taken to be evenly spread over it; the caches are on its ranks alone.

    Raises ScenarioError for two models, pipeline stages, or no part.
    """
    _check(attention, feed_forward, micro_batches_count)
    engine, drafts = attention.engine, settings.draft_tokens
    plain = step_costs(engine, attention.layout, settings)
    tables = plain.tables
    batch, context = tables.batch_count[:, None], tables.context_tokens[None, :]
    shape = (batch.size, context.size)
    phase = decode_phase(batch, context, 1.0 + drafts)
    step = step_term(attention, phase, pipe(attention, feed_forward, phase, micro_batches_count))
    draft = draft_time(attention, feed_forward, phase, drafts)
    nothing = 0.0 * tables.own_s
    chain = sum(
        (
            group.count
            * turn(attention, feed_forward, group, prefill_phase(1.0, tables.pass_tokens), looking=False).chain_s
            for group in engine.spec.layers
        ),
        nothing,
    )
    held = attention_bytes(engine, attention.layout) * deeper(engine.spec, drafts=drafts > 0)
    return replace(
        plain,
        tables=tables._replace(
            decode_s=rising(step.time_s + draft, shape).ravel(),
            draft_s=rising(draft, shape).ravel(),
            own_s=rising(chain, nothing.shape),
            routed_s=nothing,
            expert_own_s=nothing,
            halves_kernel_s=nothing,
            halves_routed_s=nothing,
            halves_wait_s=nothing,
            expert_frac=0.0,
        ),
        ranks_count=float(attention.ranks_count + feed_forward.ranks_count),
        groups_together=True,
        capacity_tokens=capacity(engine, attention.layout, settings, held),
    )


def decode_apart(
    attention: Side, feed_forward: Side, sequences: Num, micro_batches_count: Num, requests: Requests
) -> Decode:
    """Return the decode step, TPOT and rate of such an instance, as `steady.decode` does of any other.

    The rate is that of a rank, those of both sides counted.
    """
    engine, drafts = attention.engine, requests.draft_tokens
    context = requests.prompt_tokens + requests.output_tokens / 2.0
    phase = decode_phase(sequences, context, 1.0 + drafts)
    found = pipe(attention, feed_forward, phase, micro_batches_count)
    drafting = Term(name="draft", time_s=draft_time(attention, feed_forward, phase, drafts))
    term = total("decode step", *step_term(attention, phase, found).parts, drafting)
    works, head = found.works, projection(engine, attention.layout, phase)
    tpot = term.time_s / requests.tokens_per_step
    more = deeper(engine.spec, drafts=drafts > 0)
    one = sequence_cache_bytes(engine, attention.layout, held_tokens(engine, requests), drafts=drafts > 0)
    return Decode(
        layout=attention.layout,
        sequences=sequences,
        term=term,
        tpot_s=tpot,
        tokens_per_s_rank=sequences
        * attention.layout.data
        / (tpot * (attention.ranks_count + feed_forward.ranks_count)),
        memory=ServingMemory(
            weights_bytes=attention_bytes(engine, attention.layout) * more, cache_bytes=sequences * one
        ),
        apart=Apart(
            layout=feed_forward.layout,
            parts_count=micro_batches_count,
            memory=ServingMemory(
                weights_bytes=feed_forward_bytes(engine, feed_forward.layout) * more, cache_bytes=0.0 * tpot
            ),
            attention_busy_frac=(works.attention_s + head) / term.time_s,
            feed_forward_busy_frac=works.feed_forward_s / term.time_s,
            links_busy_frac=(works.there_s + works.back_s) / term.time_s,
        ),
    )


def step_term(attention: Side, phase: Phase, found: Pipe) -> Term:
    """Return a decode step without drafts by what it waits for: the pipe, the vocabulary projection, and the host."""
    engine, waits = attention.engine, found.waits
    device = total(
        "decode step",
        Term(name="attention", time_s=waits.attention_s),
        Term(name="feed-forward and experts", time_s=waits.feed_forward_s),
        Term(name="dispatch", time_s=waits.there_s),
        Term(name="combine", time_s=waits.back_s),
        Term(name="fill of the pipe", time_s=found.fill_s),
        Term(name="vocabulary projection", time_s=projection(engine, attention.layout, phase)),
    )
    return hosted(engine, device, phase)


def draft_time(attention: Side, feed_forward: Side, phase: Phase, drafts: int) -> Num:
    """Return the time of drafts, one query token a sequence: each a layer like the last and the projection."""
    if not drafts:
        return 0.0 * phase.tokens
    single = replace(phase, tokens=phase.sequences)
    one = turn(attention, feed_forward, attention.engine.spec.layers[-1], single)
    return drafts * (one.chain_s + projection(attention.engine, attention.layout, single))


def pipe(attention: Side, feed_forward: Side, phase: Phase, micro_batches_count: Num) -> Pipe:
    """Return the time of all layers for a batch that is cut into m parts.

    A layer takes max(chain, m slowest): m parts pass the slowest of its four places, and a part comes round no sooner
    than by its chain. The last part then lags by min(chain, m slowest) - slowest: the pipe's fill.
    """
    m = micro_batches_count
    part = replace(phase, sequences=phase.sequences / m, tokens=phase.tokens / m)
    waits = works = Turn(attention_s=0.0, there_s=0.0, feed_forward_s=0.0, back_s=0.0)
    fill: Num = 0.0
    for group in attention.engine.spec.layers:
        one = turn(attention, feed_forward, group, part)
        waits = _plus(waits, group.count, _waited(one, m))
        works = _plus(works, group.count * m, one)
        fill = np.minimum(one.chain_s, m * one.slowest_s) - one.slowest_s
    return Pipe(waits=waits, works=works, fill_s=fill)


def pipe_time(attention: Side, feed_forward: Side, phase: Phase, micro_batches_count: Num) -> Num:
    """Return the time of all layers for a batch that is cut into parts; see `pipe`."""
    return pipe(attention, feed_forward, phase, micro_batches_count).time_s


def _waited(one: Turn, m: Num) -> Turn:
    """Return what m parts in a layer wait for: m times the slowest place, or a chain that is longer."""
    slowest = one.slowest_s
    full = np.asarray(m * slowest >= one.chain_s)
    left = full
    found = {}
    for name in ("attention_s", "feed_forward_s", "there_s", "back_s"):
        time = getattr(one, name)
        holds = left & np.asarray(time >= slowest)
        left = left & ~holds
        found[name] = np.where(full, np.where(holds, m * slowest, 0.0), time)
    return Turn(**found)


def _plus(one: Turn, times: Num, other: Turn) -> Turn:
    return Turn(**{name: getattr(one, name) + times * getattr(other, name) for name in one.__dataclass_fields__})


def turn(attention: Side, feed_forward: Side, group: LayerGroup, phase: Phase, *, looking: bool = True) -> Turn:
    """Return one layer's turn, for `phase` of one attention group: the other side shares the tokens of all groups."""
    groups = attention.layout.data / feed_forward.layout.data
    there = replace(phase, sequences=phase.sequences * groups, tokens=phase.tokens * groups)
    near = layer_part(attention.engine, group, attention.layout, phase, looking=looking)
    far = layer_part(feed_forward.engine, group, feed_forward.layout, there)
    blocks, far_blocks = (tensor.blocks_count(group, side.layout) for side in (attention, feed_forward))
    sent, returned = _ways(attention, feed_forward, group, phase)
    return Turn(
        attention_s=near.attention + near.tensor / blocks,
        there_s=sent,
        feed_forward_s=far.feed_forward + far.tensor * (far_blocks - 1.0) / far_blocks,
        back_s=returned,
    )


def _ways(attention: Side, feed_forward: Side, group: LayerGroup, phase: Phase) -> tuple[Num, Num]:
    """Return the transfers of one layer, there and back.

    Bound by the smaller side: each of its ranks takes an equal share of all tokens, one copy for each expert that is
    visited (or one where there are none).
    """
    fewer = np.minimum(attention.ranks_count, feed_forward.ranks_count)
    tokens = phase.tokens * attention.layout.data / fewer
    engine = attention.engine
    if isinstance(group.ffn, MixtureOfExperts):
        everyone = Group(size=attention.ranks_count + feed_forward.ranks_count)
        far = feed_forward.layout
        part = Partition(expert=far.expert, expert_tensor=far.expert_tensor, imbalance_ratio=far.imbalance_ratio)
        return expert.exchange_times(engine, everyone, group.ffn, replace(phase, tokens=tokens), part)
    pair = Group(size=2.0, stride=attention.ranks_count)
    one = collective_time("p2p", engine.fabric, pair, tokens * engine.spec.hidden_count * tensor.ELEMENT_BYTES)
    return one, one


def _check(attention: Side, feed_forward: Side, micro_batches_count: int) -> None:
    where = "attention apart from feed-forward"
    if attention.engine.spec != feed_forward.engine.spec:
        names = f"{attention.engine.spec.name} and {feed_forward.engine.spec.name}"
        raise ScenarioError(f"two models: {names}", where=where, hint="both sides run layers of the same one")
    if max(float(attention.layout.pipeline), float(feed_forward.layout.pipeline)) > 1.0:
        raise ScenarioError("pipeline stages", where=where, hint="pipeline 1: parts of the batch pipeline both sides")
    if micro_batches_count < 1:
        raise ScenarioError(f"{micro_batches_count} parts of a batch", where=where, hint="at least 1")
