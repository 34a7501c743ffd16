"""How much work arrives: the tokens of one pass and the context they look at."""

from dataclasses import dataclass

import numpy as np

from superpod.result import Flag, Num


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One pass over the layers, as one attention rank sees it.

    `tokens` query tokens on this rank (sequences x query tokens of each); every query looks at `context` keys on
    average (for a causal prefill of s tokens that is s / 2); `keys` are the distinct keys held for each sequence, of
    which `behind` were cached before the pass, where prompts are read in chunks, and `others` are made in it by other
    ranks, where context parallelism shares out the tokens of a prompt.
    """

    kind: str  # "train", "prefill" or "decode"
    sequences: Num
    tokens: Num
    context: Num
    keys: Num
    fused_attention: bool = True
    behind: Num = 0.0
    others: Num = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """What share of a layer one rank holds: tensor-parallel ranks, ranks per expert set, ranks per expert.

    `imbalance_ratio` is how many visits the fullest expert rank has over the mean by the router's liking, 1 where it is
    balanced.
    """

    tensor: Num = 1.0
    expert: Num = 1.0
    expert_tensor: Num = 1.0
    context: Num = 1.0
    sequence_parallel: Flag = True
    imbalance_ratio: Num = 1.0


def own_rows(phase: Phase, part: Partition) -> Num:
    """Return the tokens that one tensor rank keeps between blocks: its share where sequence parallelism is on."""
    if isinstance(part.sequence_parallel, np.ndarray):
        return phase.tokens / np.where(part.sequence_parallel, part.tensor, 1.0)
    return phase.tokens / part.tensor if part.sequence_parallel else phase.tokens


def training_phase(sequences: Num, sequence_tokens: Num, context_ranks: Num, *, fused_attention: bool) -> Phase:
    """Return the pass of one micro-batch; context parallelism gives each rank 1/c of the tokens, causally balanced."""
    return Phase(
        kind="train",
        sequences=sequences,
        tokens=sequences * sequence_tokens / context_ranks,
        context=sequence_tokens / 2.0,
        keys=sequence_tokens,
        fused_attention=fused_attention,
    )


def prefill_phase(sequences: Num, prompt_tokens: Num, context_ranks: Num = 1.0) -> Phase:
    """Return the pass that reads whole prompts; see `chunk_phase`."""
    return chunk_phase(sequences, prompt_tokens, 0.0, context_ranks)


def chunk_phase(sequences: Num, chunk_tokens: Num, behind_tokens: Num, context_ranks: Num = 1.0) -> Phase:
    """Return the pass that reads `chunk_tokens` of each prompt behind others that are cached: context x + c / 2.

    Context parallelism gives each rank 1/c of the chunk, causally balanced, and all of its keys.
    """
    own_tokens = chunk_tokens / context_ranks
    return Phase(
        kind="prefill",
        sequences=sequences,
        tokens=sequences * own_tokens,
        context=behind_tokens + chunk_tokens / 2.0,
        keys=behind_tokens + chunk_tokens,
        behind=behind_tokens,
        others=chunk_tokens - own_tokens,
    )


def decode_phase(sequences: Num, context_tokens: Num, query_tokens: Num) -> Phase:
    """Return one decode step: `query_tokens` per sequence (1, or 1 + drafts), each over the whole context."""
    return Phase(
        kind="decode", sequences=sequences, tokens=sequences * query_tokens, context=context_tokens, keys=context_tokens
    )
