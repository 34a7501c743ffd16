"""Steady-state serving of equal requests: decode and prefill rates of one instance, and how both share a machine.

No queueing: rates are at saturation, latencies without waiting.
"""

from dataclasses import dataclass

from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.result import Num, Term, total
from superpod.serve.iteration import draft_time, pass_time
from superpod.serve.memory import ServingMemory, serving_memory, stage_frac
from superpod.workload.phase import decode_phase, prefill_phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """The feed-forward ranks of an instance whose attention has ranks of its own (`serve.apart`).

    Every batch is cut into `parts_count` micro-batches. Busy shares are of a decode step: kernels of an attention rank
    and of a feed-forward rank, and both ways between them.
    """

    layout: Layout
    parts_count: Num
    memory: ServingMemory
    attention_busy_frac: Num
    feed_forward_busy_frac: Num
    links_busy_frac: Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """One decode instance layout at a batch of `sequences` per attention group.

    With feed-forward ranks `apart`, layout and memory are those of attention; the rate is over the ranks of both.
    """

    layout: Layout
    sequences: Num
    term: Term
    tpot_s: Num
    tokens_per_s_rank: Num
    memory: ServingMemory
    apart: Apart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """One prefill instance layout that reads `sequences` prompts per attention group in one pass."""

    layout: Layout
    sequences: Num
    term: Term
    pass_s: Num
    tokens_per_s_rank: Num
    memory: ServingMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What arrives: prompt and output tokens of each request, and how drafts fare."""

    prompt_tokens: float
    output_tokens: float
    draft_tokens: int
    acceptance_frac: float

    @property
    def tokens_per_step(self) -> float:
        """Tokens that one decode step yields: 1 + a + a^2 + ... over the drafts, each needing the one before."""
        return sum(self.acceptance_frac**draft for draft in range(self.draft_tokens + 1))


def decode(engine: Engine, layout: Layout, sequences: Num, requests: Requests) -> Decode:
    """Return one decode layout's step, TPOT and rate, at the mean context of a request half way through its output."""
    context = requests.prompt_tokens + requests.output_tokens / 2.0
    phase = decode_phase(sequences, context, 1.0 + requests.draft_tokens)
    step = pass_time(engine, layout, phase)
    term = total("decode step", *step.parts, draft_time(engine, layout, phase, requests.draft_tokens))
    tpot = term.time_s / requests.tokens_per_step
    rate = sequences / (layout.tensor * tpot) * even_share(engine, layout)
    return Decode(
        layout=layout,
        sequences=sequences,
        term=term,
        tpot_s=tpot,
        tokens_per_s_rank=rate,
        memory=serving_memory(
            engine, layout, sequences, held_tokens(engine, requests), drafts=requests.draft_tokens > 0
        ),
    )


def held_tokens(engine: Engine, requests: Requests) -> float:
    """Return the tokens whose cache a request holds: prompt + output where the engine reserves it, else + output / 2.

    The mean request is half way through its output.
    """
    return requests.prompt_tokens + requests.output_tokens * (1.0 if engine.software.reserves_output else 0.5)


def prefill(engine: Engine, layout: Layout, sequences: Num, requests: Requests) -> Prefill:
    """Return one prefill layout's pass time and rate."""
    phase = prefill_phase(sequences, requests.prompt_tokens, layout.context)
    step = pass_time(engine, layout, phase)
    term = total("prefill pass", *step.parts)
    return Prefill(
        layout=layout,
        sequences=sequences,
        term=term,
        pass_s=term.time_s,
        tokens_per_s_rank=sequences
        * requests.prompt_tokens
        / (layout.tensor * layout.context * term.time_s)
        * even_share(engine, layout),
        memory=serving_memory(engine, layout, sequences, requests.prompt_tokens, drafts=requests.draft_tokens > 0),
    )


def even_share(engine: Engine, layout: Layout) -> Num:
    """Return mean over fullest stage, L / (p ceil(L / p)): with p batches in flight the fullest stage sets the rate."""
    return 1.0 / (layout.pipeline * stage_frac(engine.spec, layout))
