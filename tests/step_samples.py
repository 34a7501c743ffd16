"""Plain step costs for tests of the serving simulation: prices that can be worked out by hand."""

from typing import Any

import numpy as np

from superpod.serve.costs import StepCosts, knots
from superpod.serve.step_tables import Tables


def tables(
    *,
    base_s: float = 0.01,
    sequence_s: float = 1e-4,
    cached_s: float = 1e-8,
    token_s: float = 2e-6,
    read_s: float = 1e-10,
    mixed: bool = True,
    emitted: float = 1.0,
) -> Tables:
    """Return decode = base + b sequence + b S cached, prompts = base + tokens token + c (c / 2 + x) read."""
    batch, context, tokens = knots(1.0 / 64.0, 1.0, 1024.0), knots(1.0, 16.0, 2.0**20), knots(1.0, 2.0, 2.0**17)
    chunk, behind = knots(1.0, 16.0, 2.0**16), knots(0.0, 16.0, 2.0**20)
    attend = cached_s * batch[:, None] * context[None, :]
    nothing = np.zeros_like(tokens)
    return Tables(
        batch_count=batch,
        context_tokens=context,
        decode_s=(base_s + sequence_s * batch[:, None] + attend).ravel(),
        attend_s=attend.ravel(),
        halves_attend_s=attend.ravel(),
        draft_s=np.zeros(attend.size),
        pass_tokens=tokens,
        own_s=base_s + token_s * tokens,
        routed_s=nothing,
        expert_own_s=nothing,
        halves_kernel_s=nothing,
        halves_routed_s=nothing,
        halves_wait_s=nothing,
        rows_count=batch,
        projection_s=np.zeros_like(batch),
        chunk_tokens=chunk,
        behind_tokens=behind,
        read_s=(read_s * chunk[:, None] * (chunk[:, None] / 2.0 + behind[None, :])).ravel(),
        first_s=np.zeros(len(chunk) * len(behind)),
        read_launch_s=0.0,
        read_power=1.0,
        launch_s=0.0,
        gap_s=0.0,
        sequence_s=0.0,
        expert_frac=0.0,
        overlap_tax_frac=0.0,
        query_count=1.0,
        emitted_tokens=emitted,
        mixed=mixed,
    )


def costs(prices: Tables | None = None, **given: Any) -> StepCosts:
    """Return an instance of one group, with what is given instead."""
    settings: dict[str, Any] = {
        "groups_count": 1.0,
        "ranks_count": 8.0,
        "groups_together": True,
        "capacity_tokens": 1e6,
        "sequences_max_count": 256.0,
        "step_max_tokens": 2048.0,
        "token_bytes": 1e5,
        "state_bytes": 0.0,
    }
    return StepCosts(tables=prices or tables(), **{**settings, **given})
