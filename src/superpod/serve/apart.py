"""Attention and feed-forward on ranks of their own: a batch is cut up, and its parts take turns on both sides.

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
from superpod.serve.memory import attention_bytes
from superpod.workload.phase import Partition, Phase, decode_phase, prefill_phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The ranks of one side: attention groups of `tensor` ranks, or ranks that share the experts."""

    engine: Engine
    layout: Layout

    @property
    def ranks_count(self) -> float:
        """All ranks of the side."""
        return float(self.layout.tensor * self.layout.data)


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


def disaggregated_costs(
    attention: Side, feed_forward: Side, micro_batches_count: int, settings: Settings = DEFAULTS
) -> StepCosts:
    """Return the costs of an instance whose attention groups send every layer's tokens to the ranks of the other side.

    Decode steps cut the batch of each group into m parts that follow each other (`pipe_time`); passes that read prompts
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
    draft = drafts * _draft(attention, feed_forward, replace(phase, tokens=phase.sequences)) if drafts else 0.0
    device = pipe_time(attention, feed_forward, phase, micro_batches_count)
    device = device + projection(engine, attention.layout, phase)
    step = hosted(engine, total("decode pass", Term(name="layers", time_s=device)), phase).time_s + draft
    nothing = 0.0 * tables.own_s
    chain = sum(
        (
            group.count
            * turn(attention, feed_forward, group, prefill_phase(1.0, tables.pass_tokens), looking=False).chain_s
            for group in engine.spec.layers
        ),
        nothing,
    )
    return replace(
        plain,
        tables=tables._replace(
            decode_s=rising(step, shape).ravel(),
            draft_s=rising(draft, shape).ravel(),
            own_s=rising(chain, nothing.shape),
            routed_s=nothing,
            expert_own_s=nothing,
            halves_kernel_s=nothing,
            halves_routed_s=nothing,
            halves_wait_s=nothing,
            expert_frac=0.0,
        ),
        ranks_count=attention.ranks_count + feed_forward.ranks_count,
        groups_together=True,
        capacity_tokens=capacity(engine, attention.layout, settings, attention_bytes(engine, attention.layout)),
    )


def pipe_time(attention: Side, feed_forward: Side, phase: Phase, micro_batches_count: int) -> Num:
    """Return the time of all layers for a batch that is cut into m parts.

    A layer takes max(chain, m slowest): m parts pass the slowest of its four places, and a part comes round no sooner
    than by its chain. The last part then lags by min(chain, m slowest) - slowest: the pipe's fill.
    """
    m = float(micro_batches_count)
    part = replace(phase, sequences=phase.sequences / m, tokens=phase.tokens / m)
    spent: Num = 0.0
    fill: Num = 0.0
    for group in attention.engine.spec.layers:
        one = turn(attention, feed_forward, group, part)
        spent = spent + group.count * np.maximum(one.chain_s, m * one.slowest_s)
        fill = np.minimum(one.chain_s, m * one.slowest_s) - one.slowest_s
    return spent + fill


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
    fewer = min(attention.ranks_count, feed_forward.ranks_count)
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


def _draft(attention: Side, feed_forward: Side, phase: Phase) -> Num:
    """Return the time of one draft: a layer like the last, and the vocabulary projection."""
    one = turn(attention, feed_forward, attention.engine.spec.layers[-1], phase)
    return one.chain_s + projection(attention.engine, attention.layout, phase)


def _check(attention: Side, feed_forward: Side, micro_batches_count: int) -> None:
    where = "attention apart from feed-forward"
    if attention.engine.spec != feed_forward.engine.spec:
        names = f"{attention.engine.spec.name} and {feed_forward.engine.spec.name}"
        raise ScenarioError(f"two models: {names}", where=where, hint="both sides run layers of the same one")
    if max(float(attention.layout.pipeline), float(feed_forward.layout.pipeline)) > 1.0:
        raise ScenarioError("pipeline stages", where=where, hint="pipeline 1: parts of the batch pipeline both sides")
    if micro_batches_count < 1:
        raise ScenarioError(f"{micro_batches_count} parts of a batch", where=where, hint="at least 1")
