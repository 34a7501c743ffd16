"""What the steps of a serving instance cost, as tables made by one call of each formula over all their knots.

A simulation reads them millions of times (`serve.step_tables`); the formulas are those of the steady state.
"""

from dataclasses import dataclass

from superpod.serve.step_tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """One instance: `groups_count` attention groups of `ranks_count` ranks in all, whose steps `tables` price.

    With p pipeline stages each group has p batches in flight, and each of them counts as a group here: its step goes
    through all stages. `groups_together`: they wait for each other in every layer. `capacity_tokens`: what one of them
    can hold in its caches; `sequences_max` and `step_tokens_max` (query tokens and prompts together) are its limits.
    `token_bytes`: the cache of a token of a whole request, over all layers and ranks, `state_bytes` what a request has
    of it whatever its length. `emitted_tokens`: tokens that a decode step gives a sequence, drafts included.
    """

    tables: Tables
    groups_count: float
    ranks_count: float
    groups_together: bool
    capacity_tokens: float
    sequences_max_count: float
    step_tokens_max_count: float
    emitted_tokens: float
    token_bytes: float
    state_bytes: float
    mixed: bool
