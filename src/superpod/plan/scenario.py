"""The user's question as one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Pre-training: what one optimizer step consumes.

    `mtp_layers` multi-token-prediction layers are trained along. Of a mixture of experts, `imbalance_ratio` is the load
    of the fullest expert rank over the mean that the router's liking causes, 1 where it is balanced. Where they are
    given, the measured visits of each expert of a layer, `expert_visits_count`, stand for it.
    """

    batch_sequences: int = 4096
    sequence_tokens: int = 4096
    mtp_layers: int = 0
    imbalance_ratio: float = 1.0
    expert_visits_count: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Steady-state serving of equal requests under latency targets.

    `draft_tokens` multi-token-prediction tokens are proposed each step and accepted with `acceptance_frac`.
    `mode` is `aggregated`, `disaggregated` or `auto` (whichever serves more). `cache_bytes` is the size of an element
    of the KV cache; 0 takes the number format's own. `imbalance_ratio` is the load of the fullest expert rank over the
    mean that the router's liking causes; 1 is balanced.
    """

    prompt_tokens: int = 4096
    output_tokens: int = 1024
    ttft_s: float = 5.0
    tpot_s: float = 0.05
    draft_tokens: int = 0
    acceptance_frac: float = 0.7
    mode: str = "auto"
    cache_bytes: float = 0.0
    imbalance_ratio: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One model on one or more pods.

    `cards` or `pods` sizes the machine (both None: the pod as catalogued). `precision` is a row of
    `workload.precision.PRECISIONS` or `auto`. `fixed` pins layout degrees, e.g. {"tensor": 8}.
    `software` names the release whose host costs and defaults are assumed; empty: what current ones have in common.
    `tables` chooses measured operator tables: `none`, `auto`, `all`, or the engine that was timed.
    `search` is how far a training search goes: `standard` (what Megatron-Core runs) or `deep` (all that is modelled).
    """

    model: str
    pod: str
    work: Training | Serving
    pods: int | None = None
    cards: int | None = None
    precision: str = "auto"
    facility: str = "us-large"
    fixed: Mapping[str, float | str] = field(default_factory=dict)
    ideal_fabric: bool = False
    software: str = ""
    tables: str = "none"
    search: str = "standard"
