"""What several models do on one pod: each tenant's report, and the pod as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass

from superpod.catalog.provenance import UsedFact
from superpod.plan.report import Metric
from superpod.plan.serving.result import TrafficReport


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantAnswer:
    """One model with its cards. `host_bytes`: what it comes to hold of the pod's host memory, 0 where it keeps none."""

    name: str
    cards_count: int
    is_given: bool
    host_bytes: float
    report: TrafficReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Cards by tenant that were tried: the smallest share of requests within targets, and goodput of all."""

    cards: Mapping[str, int]
    met_frac: float
    goodput_tokens_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantsReport:
    """Several models on one pod; the headline is the smallest share of requests within targets of any of them."""

    question: str
    pod: str
    pod_name: str
    state: str
    cards_count: float
    cards_used_count: float
    cards_idle_count: float
    headline: Metric
    metrics: tuple[Metric, ...]
    tenants: tuple[TenantAnswer, ...]
    splits: tuple[Split, ...]
    binding: str
    facts: tuple[UsedFact, ...]
    notes: tuple[str, ...]
    catalogue_hash: str
    version: str

    @property
    def estimates(self) -> tuple[UsedFact, ...]:
        """The facts that nobody published: estimates, assumptions and the user's own numbers."""
        return tuple(used for used in self.facts if used.fact.kind in {"estimate", "assumed", "user"})
