"""What launch commands say of a deployment: pools of equal instances, in the terms of a layout and of an engine."""

from dataclasses import dataclass, replace

from superpod.catalog.software import Software
from superpod.parallel.layout import Layout

MODES = ("aggregated", "prefill", "decode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal instances of one launch command; None stands for what the command leaves to the engine or the model.

    `mode` is what an instance does: both phases (`aggregated`), `prefill` or `decode`. An instance has `data` attention
    groups of `tensor` x `context` ranks in each of `pipeline` stages; experts are spread over `expert` ranks of a
    stage, and each is split over what is left of it. `sequences_max` and `capacity_tokens` are what one attention group
    holds, all batches in flight together, `step_tokens_max` the tokens of one of its steps. `scheduling` is as in
    `Software`, empty where a pool does one phase alone; `chunked` says whether a prompt may be read in several steps.
    `cache_bytes` is the size of an element of the KV cache, `block_tokens` the tokens of one of its blocks.
    """

    mode: str = "aggregated"
    instances: int = 1
    tensor: int = 1
    context: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1
    redundant_experts: int = 0
    sequences_max: int | None = None
    step_tokens_max: int | None = None
    context_tokens_max: int | None = None
    scheduling: str = ""
    chunked: bool = True
    block_tokens: int | None = None
    capacity_tokens: int | None = None
    memory_frac: float | None = None
    cache_bytes: float = 2.0
    draft_tokens: int = 0
    prefix_caching: bool = True
    graphs: bool = True
    own_collectives: bool = True

    @property
    def ranks_count(self) -> int:
        """Ranks of one instance."""
        return self.group_count * self.data * self.pipeline

    @property
    def group_count(self) -> int:
        """Ranks of an attention group in one stage."""
        return self.tensor * self.context

    @property
    def blocks_count(self) -> int | None:
        """Blocks of the KV cache of one attention group, where the command says how many."""
        known = self.capacity_tokens is not None and self.block_tokens is not None
        return (self.capacity_tokens or 0) // (self.block_tokens or 1) if known else None

    def layout(self, *, experts: bool) -> Layout:
        """Return the layout of one instance of a model that has `experts` or none.

        Without experts attention groups share nothing, so that each is an instance of its own: see `instances_of`.
        """
        if not experts:
            return Layout(tensor=float(self.tensor), context=float(self.context), pipeline=float(self.pipeline))
        return Layout(
            tensor=float(self.tensor),
            context=float(self.context),
            pipeline=float(self.pipeline),
            data=float(self.data),
            expert=float(self.expert),
            expert_tensor=float(self.group_count * self.data // self.expert),
        )

    def fixed(self, *, experts: bool) -> dict[str, float]:
        """Return what a search of serving layouts pins to find `layout`, with its batch where the command limits it."""
        layout = self.layout(experts=experts)
        names = ("tensor", "data", "pipeline", "expert", "expert_tensor")
        batch = {} if self.sequences_max is None else {"batch": float(max(self.sequences_max // self.pipeline, 1))}
        return {**{name: float(getattr(layout, name)) for name in names}, **batch}

    def instances_of(self, *, experts: bool) -> int:
        """Return how many instances of `layout` the pool has."""
        return self.instances if experts else self.instances * self.data

    def software(self, release: Software) -> Software:
        """Return a release with the settings of the pool in place of its defaults."""
        said = {
            "step_tokens_count": self.step_tokens_max,
            "sequences_count": self.sequences_max,
            "memory_frac": self.memory_frac,
            "scheduling": self.scheduling or None,
        }
        found = {name: value for name, value in said.items() if value is not None}
        return replace(
            release,
            graphs=release.graphs and self.graphs,
            own_collectives=release.own_collectives and self.own_collectives,
            **found,  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingImport:
    """What a file says of a deployment, and what of it has no counterpart here.

    `software` is the catalogue entry of the release, `model` the model as the file writes it and `model_id` the
    catalogue's, empty where it has none. `precision` is a row of PRECISIONS, None where the checkpoint decides.
    `router` is the policy that shares requests out, empty where the file names none. `unread` lists settings that
    change speed or memory and are not represented, each with how it is read; `ignored_count` counts the rest.
    """

    engine: str
    software: str
    pools: tuple[Pool, ...]
    where: str = ""
    model: str = ""
    model_id: str = ""
    precision: str | None = None
    router: str = ""
    unread: tuple[str, ...] = ()
    ignored_count: int = 0

    @property
    def mode(self) -> str:
        """`disaggregated` where pools read prompts and decode apart, else what the pools do."""
        modes = {pool.mode for pool in self.pools}
        return "disaggregated" if {"prefill", "decode"} <= modes else self.pools[0].mode

    def pool(self, mode: str) -> Pool | None:
        """Return the first pool of a mode, None where there is none."""
        return next((pool for pool in self.pools if pool.mode == mode), None)
