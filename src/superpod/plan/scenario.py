"""The user's question as one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from superpod.plan.operations import Failure, Operations


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
    `mode` is `aggregated`, `disaggregated`, `auto` (whichever of them serves more) or `afd` (prompts read apart, and
    attention apart from feed-forward in decode). `cache_bytes` is the size of an element
    of the KV cache; 0 takes the number format's own. `imbalance_ratio` is the load of the fullest expert rank over the
    mean that the router's liking causes; 1 is balanced. It follows from `expert_visits_count`, measured layer by layer,
    or from visits drawn from a power law (`expert_draw_ratio`: exponent, most over least), where there are such.
    `redundant_count` places for experts of each layer are held beyond one each, and filled up to whole ones a rank.
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
    redundant_count: int = 0
    expert_visits_count: tuple[tuple[float, ...], ...] = ()
    expert_draw_ratio: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPool:
    """Equal instances that are not searched: `mode` is `aggregated`, `prefill` or `decode`, the rest their layout.

    Limits of an attention group as their engine was told, None where it was not.
    """

    mode: str
    instances_count: int
    layout: Mapping[str, float]
    sequences_max_count: float | None = None
    step_max_tokens: float | None = None
    capacity_tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests that come one by one, and how the machine takes them.

    They are those of a file (`trace`), or drawn: arrivals (`rate`, in words) with lengths (`prompt` and `output`, in
    words); a rate beside a file takes the place of the file's times. With `concurrency_count` so many are under way at
    any time, whatever their answers take. `requests_count` bounds them, a shorter trace is repeated; they come
    `rate_factor` times as fast.

    `pools_cards` pins the cards that read prompts and those that decode; `pools` all of the deployment. `order`,
    `router`: words of `serve.simulation.fleet`, empty for what the software does and for a fitting one. `prefix_cache`:
    where prompts that begin alike are kept (`off`, `chips`, `peers`, `host`, `disk`, each with those before it). An
    instance that loses a card is down until it is back, or, where `elastic`, slower. `sweep`: also answer at other
    rates.
    """

    trace: str = ""
    rate: str = ""
    prompt: str = ""
    output: str = ""
    concurrency_count: int = 0
    requests_count: int | None = None
    rate_factor: float = 1.0
    seed: int = 0
    pools_cards: tuple[int, int] | None = None
    pools: tuple[GivenPool, ...] = ()
    order: str = ""
    router: str = ""
    prefix_cache: str = "chips"
    failures: tuple[Failure, ...] = ()
    elastic: bool = False
    operations: Operations = field(default_factory=Operations)
    sweep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One model on one or more pods.

    `cards` or `pods` sizes the machine (both None: the pod as catalogued). `precision` is a row of
    `workload.precision.PRECISIONS` or `auto`. `fixed` pins layout degrees, e.g. {"tensor": 8}.
    `software` names the release whose host costs and defaults are assumed; empty: what current ones have in common.
    `tables` chooses measured operator tables: `none`, `auto`, `all`, or the engine that was timed.
    `search` is how far a training search goes: `standard` (what Megatron-Core runs) or `deep` (all that is modelled).
    `traffic` are requests to serve one by one, under the targets of `work`.
    `prefill_pod` reads prompts on another machine, of `prefill_cards` (None: as catalogued); `pod` decodes.
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
    traffic: Traffic | None = None
    prefill_pod: str = ""
    prefill_cards: int | None = None
