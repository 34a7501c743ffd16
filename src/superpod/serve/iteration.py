"""The time of one pass through the model while serving: a batch of prompts, or one decode step."""

from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import LayerGroup, LinearAttention, MixtureOfExperts
from superpod.fabric.collectives import collective_time
from superpod.fabric.tiers import Fabric, Group
from superpod.parallel.axes import context, expert, pipeline, tensor
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.parallel.place import Groups, groups
from superpod.result import Num, Term, total
from superpod.serve.host import host_time
from superpod.workload.blocks import BLOCKS
from superpod.workload.blocks.moe import routed
from superpod.workload.build import LayerWork, head, layer
from superpod.workload.op import ATTENTION, DECODE_ATTENTION, Op
from superpod.workload.phase import Partition, Phase

CORE = (ATTENTION, DECODE_ATTENTION)  # kernels over the context; all others of a layer are over tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Seconds of one layer, or of a whole pass, by what is waited for."""

    attention: Num
    feed_forward: Num
    tensor: Num
    dispatch: Num
    combine: Num
    hidden: Num  # transfers that a second micro-batch's kernels cover, as a saving

    def plus(self, other: "Part", times: Num) -> "Part":
        """Return self + times x other."""
        return Part(**{name: getattr(self, name) + times * getattr(other, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPass:
    """Seconds of a pass over prompts for its tokens alone: no kernel over the context, no projection, no host.

    `routed_s` are the routed experts, `own_s` all the rest, `expert_own_s` what of it is in layers with experts. Those
    layers run as two halves: `halves_kernel_s`, `halves_routed_s`, and `halves_wait_s` for dispatch and combine.
    """

    own_s: Num
    routed_s: Num
    expert_own_s: Num
    halves_kernel_s: Num
    halves_routed_s: Num
    halves_wait_s: Num


def pass_time(engine: Engine, layout: Layout, phase: Phase) -> Term:
    """Return the time of one pass of `phase` over all layers and the vocabulary projection, the host's share with it.

    Each layer runs its kernels and then waits for its collectives; where splitting the batch in two and letting one
    half compute while the other's tokens travel is faster, that is used (arXiv 2506.12708, section 4.2.3).
    """
    device = _device(engine, layout, phase, (), projection(engine, layout, phase))
    return hosted(engine, device, phase)


def mixed_pass_time(engine: Engine, layout: Layout, reading: Phase, decoding: Phase) -> Term:
    """Return the time of one pass that reads prompts and decodes, the host's share with it.

    All tokens share the products and collectives; attention runs for both kinds apart. The vocabulary projection is for
    the last token of each prompt and every query token of the decoding sequences. Not replayed as a captured graph.
    """
    sequences = reading.sequences + decoding.sequences
    together = replace(
        reading,
        tokens=reading.tokens + decoding.tokens,
        sequences=sequences,
        behind=reading.behind * (reading.sequences / sequences),
    )
    rows = replace(together, sequences=reading.sequences + decoding.tokens)
    device = _device(engine, layout, together, (reading, decoding), projection(engine, layout, rows))
    return hosted(engine, device, together)


def _device(engine: Engine, layout: Layout, phase: Phase, cores: tuple[Phase, ...], projection: Num) -> Term:
    """Return a pass without the host; where `cores` are given, attention runs for each of them and not for `phase`."""
    placed = groups(layout)
    spent = Part(attention=0.0, feed_forward=0.0, tensor=0.0, dispatch=0.0, combine=0.0, hidden=0.0)
    for group in engine.spec.layers:
        spent = spent.plus(_layer(engine, group, layout, placed, phase, cores), float(group.count))
    return _term(phase.kind, spent, projection, _hops(engine, layout, placed, phase))


def _hops(engine: Engine, layout: Layout, placed: Groups, phase: Phase) -> Num:
    """Return the transfers from stage to stage."""
    hop = pipeline.hop_time(engine.fabric, placed.pipeline, phase.tokens, engine.spec.hidden_count, layout.tensor)
    return np.where(layout.pipeline > 1, (layout.pipeline - 1.0) * hop, 0.0)


def token_pass(engine: Engine, layout: Layout, phase: Phase) -> TokenPass:
    """Return what a pass takes for its tokens, whatever they look at; `context_time` is the rest of its layers."""
    placed, half = groups(layout), _halved(phase)
    own = shared = expert_own = halves_kernel = halves_shared = halves_wait = np.zeros(())
    for group in engine.spec.layers:
        count = float(group.count)
        whole, experts = _tokens_alone(engine, group, layout, placed, phase)
        own, shared = own + count * (_sum(whole) - experts), shared + count * experts
        if isinstance(group.ffn, MixtureOfExperts):
            part, some = _tokens_alone(engine, group, layout, placed, half)
            waits = part.dispatch + part.combine
            expert_own = expert_own + count * (_sum(whole) - experts)
            halves_kernel = halves_kernel + 2.0 * count * (_sum(part) - waits - some)
            halves_shared, halves_wait = halves_shared + 2.0 * count * some, halves_wait + 2.0 * count * waits
    return TokenPass(
        own_s=own + _hops(engine, layout, placed, phase),
        routed_s=shared,
        expert_own_s=expert_own,
        halves_kernel_s=halves_kernel,
        halves_routed_s=halves_shared,
        halves_wait_s=halves_wait,
    )


def layer_part(engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, *, looking: bool = True) -> Part:
    """Return one layer in one go, with its kernels over the context or without."""
    return _sequential(engine, group, layout, groups(layout), phase, () if looking else None)


def _tokens_alone(engine: Engine, group: LayerGroup, layout: Layout, placed: Groups, phase: Phase) -> tuple[Part, Num]:
    """Return a layer without what looks at the context, and its routed experts' share of that."""
    part = _sequential(engine, group, layout, placed, phase, None)
    if not isinstance(group.ffn, MixtureOfExperts):
        return part, 0.0
    kernels = routed(group.ffn, engine.spec.hidden_count, phase, _partition(layout, phase), engine.precision)
    return part, engine.seconds(kernels)


def context_time(engine: Engine, layout: Layout, phase: Phase) -> Num:
    """Return what a pass takes for looking at its context: its attention blocks less what they do for tokens alone.

    Kernels over the context, recurrences, and, of what is cached behind a chunk, the expansion of latents and the
    exchange of keys.
    """
    part = _partition(layout, phase)
    spent: Num = 0.0
    for group in engine.spec.layers:
        block = BLOCKS[group.attention.kind]
        seeing, alone = (
            block(group.attention, engine.spec.hidden_count, one, part, engine.precision)
            for one in (phase, replace(phase, behind=0.0))
        )
        core = engine.seconds(tuple(op for op in seeing if op.kind in CORE))
        again = engine.seconds(_blind(seeing)) - engine.seconds(_blind(alone))
        whole, fresh = (
            _gathered(engine, group, layout, phase, keys) for keys in (phase.keys, phase.keys - phase.behind)
        )
        spent = spent + group.count * (core + again + whole - fresh)
    return spent


def hosted(engine: Engine, device: Term, phase: Phase) -> Term:
    """Return a pass with what the host adds to it: kernels of decode steps alone may be a captured graph."""
    captured = engine.software.graphs and phase.kind == "decode"
    host = host_time(
        engine.software, device.time_s, float(engine.spec.layers_count), phase.sequences, captured=captured
    )
    return total(device.name, *device.parts, Term(name="host", time_s=host))


def draft_time(engine: Engine, layout: Layout, phase: Phase, draft_tokens: int) -> Term:
    """Return the time of proposing `draft_tokens` by multi-token-prediction layers shaped like the last layer group.

    One pass of one layer and the vocabulary projection for each draft, one query token a sequence.
    """
    if not draft_tokens:
        return Term(name="draft", time_s=0.0 * phase.tokens)
    single = replace(phase, tokens=phase.sequences)
    part = _layer(engine, engine.spec.layers[-1], layout, groups(layout), single, ())
    one = _sum(part) - part.hidden + projection(engine, layout, single)
    return Term(name="draft", time_s=draft_tokens * one)


def head_ranks(fabric: Fabric, layout: Layout) -> Num:
    """Return the ranks that share the vocabulary projection: an instance's, inside the first tier of whole chips."""
    node = next((tier.ranks_count for tier in fabric.tiers if tier.ranks_count > fabric.ranks_per_chip), 1.0)
    return np.maximum(np.minimum(layout.tensor * layout.data, node), layout.tensor)


def projection(engine: Engine, layout: Layout, phase: Phase) -> Num:
    """Return the vocabulary projection of one pass, split over `head_ranks`, which gather their tokens first."""
    sharing = head_ranks(engine.fabric, layout)
    pooled = sharing / layout.tensor
    gathered = replace(phase, sequences=phase.sequences * pooled, tokens=phase.tokens * pooled)
    kernels = head(engine.spec, gathered, replace(layout.partition, tensor=sharing), engine.precision)
    rows = gathered.sequences if phase.kind == "prefill" else gathered.tokens
    message = rows * engine.spec.hidden_count * 2.0
    gather = collective_time("all_gather", engine.fabric, Group(size=pooled, stride=layout.tensor), message)
    return engine.seconds(kernels) + np.where(pooled > 1, gather, 0.0)


def _layer(
    engine: Engine, group: LayerGroup, layout: Layout, placed: Groups, phase: Phase, cores: tuple[Phase, ...]
) -> Part:
    """Return one layer's part: the whole batch in one go, or in two overlapped halves, whichever is faster."""
    whole = _sequential(engine, group, layout, placed, phase, cores)
    if not isinstance(group.ffn, MixtureOfExperts):
        return whole
    half = _sequential(engine, group, layout, placed, _halved(phase), tuple(_halved(core) for core in cores))
    plain = _sum(whole)
    kernels = half.attention + half.feed_forward + half.tensor  # its collectives stand in the way of the next kernel
    waits = half.dispatch + half.combine
    tax = engine.fabric.tiers[-1].link.overlap_tax_frac
    overlapped = 2.0 * (np.maximum(kernels, waits) + tax * np.minimum(kernels, waits))
    enough = np.asarray(phase.tokens) >= 2.0
    return replace(whole, hidden=np.where(enough, np.maximum(plain - overlapped, 0.0), 0.0))


def _halved(phase: Phase) -> Phase:
    return replace(phase, sequences=phase.sequences / 2, tokens=phase.tokens / 2)


def _sequential(
    engine: Engine, group: LayerGroup, layout: Layout, placed: Groups, phase: Phase, cores: tuple[Phase, ...] | None
) -> Part:
    part = _partition(layout, phase)
    work = layer(engine.spec, group, phase, part, engine.precision)
    before, after = tensor.block_times(
        engine.fabric, placed.tensor, phase.tokens, engine.spec.hidden_count, sequence_parallel=phase.kind == "prefill"
    )
    dispatch: Num = 0.0
    combine: Num = 0.0
    blocks = tensor.blocks_count(group, layout)
    if isinstance(group.ffn, MixtureOfExperts):
        sent = expert.exchange_times(engine, placed.expert, group.ffn, phase, layout.partition)
        dispatch, combine = (np.where(layout.expert > 1, item, 0.0) for item in sent)
    return Part(
        attention=_attention(engine, work, part, cores),
        feed_forward=engine.seconds(work.ffn),
        tensor=np.where(layout.tensor > 1, blocks * (before + after), 0.0)
        + _staged(engine, group, layout, phase)
        + _gathered(engine, group, layout, phase, phase.keys),
        dispatch=dispatch,
        combine=combine,
        hidden=0.0,
    )


def _partition(layout: Layout, phase: Phase) -> Partition:
    return replace(layout.partition, sequence_parallel=phase.kind == "prefill")  # decode repeats its few rows


def _blind(kernels: tuple[Op, ...]) -> tuple[Op, ...]:
    return tuple(op for op in kernels if op.kind not in CORE)


def _attention(engine: Engine, work: LayerWork, part: Partition, cores: tuple[Phase, ...] | None) -> Num:
    """Return the time of an attention block whose kernels over the context run for each of `cores`, if there are any.

    None: not at all. A recurrence walks its tokens, whatever the context: it runs once.
    """
    spec = work.group.attention
    if cores is not None and (not cores or isinstance(spec, LinearAttention)):
        return engine.seconds(work.attention)
    spent = engine.seconds(_blind(work.attention))
    for core in cores or ():
        block = BLOCKS[spec.kind](spec, engine.spec.hidden_count, core, part, engine.precision)
        spent = spent + engine.seconds(tuple(op for op in block if op.kind in CORE))
    return spent


def _staged(engine: Engine, group: LayerGroup, layout: Layout, phase: Phase) -> Num:
    """Return the exchanges of staged attention, which only prompts use."""
    if phase.kind != "prefill":
        return 0.0
    pool = Group(size=layout.staged, stride=layout.tensor)
    spent = tensor.staged_time(engine.fabric, pool, group.attention, phase.tokens)
    return np.where(layout.staged > 1, spent, 0.0)


def _gathered(engine: Engine, group: LayerGroup, layout: Layout, phase: Phase, keys: Num) -> Num:
    """Return the exchange of keys among the ranks that share out a prompt's tokens."""
    if phase.kind != "prefill" or np.all(np.asarray(layout.context) <= 1.0):
        return 0.0
    size = engine.precision.kv_bytes
    everyone = groups(layout).context
    spent = context.gather_time(engine.fabric, everyone, group.attention, phase.sequences * keys, layout.tensor, size)
    return np.where(layout.context > 1, spent, 0.0)


def _sum(part: Part) -> Num:
    return part.attention + part.feed_forward + part.tensor + part.dispatch + part.combine


def _term(kind: str, spent: Part, projection: Num, hops: Num) -> Term:
    """Return the breakdown; hidden transfers are taken off the waits they belong to."""
    waits = spent.dispatch + spent.combine
    exposed = 1.0 - np.minimum(spent.hidden / np.maximum(waits, 1e-12), 1.0)  # kernels are never hidden
    return total(
        f"{kind} pass",
        Term(name="attention", time_s=spent.attention),
        Term(name="feed-forward and experts", time_s=spent.feed_forward),
        Term(name="tensor-parallel collectives", time_s=spent.tensor),
        Term(name="expert dispatch", time_s=spent.dispatch * exposed),
        Term(name="expert combine", time_s=spent.combine * exposed),
        Term(name="vocabulary projection", time_s=projection),
        Term(name="pipeline transfers", time_s=hops),
    )
