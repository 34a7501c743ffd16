"""Words and numbers of how evenly experts are loaded, and what copies of the busiest ones cost."""

from dataclasses import replace

from superpod.catalog.model_spec import ModelSpec
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine
from superpod.plan.report import Metric
from superpod.plan.scenario import Serving
from superpod.plan.serving.expert_balance import imbalance_of
from superpod.plan.serving.search import Deployment, requests_of
from superpod.plan.training.space import experts
from superpod.serve.memory import redundant_bytes, sequence_cache_bytes
from superpod.serve.steady import held_tokens


def of_experts(spec: ModelSpec, work: Serving) -> str:
    """Return what is assumed of the load of experts, nothing for a dense model."""
    if experts(spec) <= 1:
        return ""
    copies = f", with {work.redundant_count} redundant experts a layer" if work.redundant_count else ""
    if work.expert_draw_ratio is not None:
        power, most = work.expert_draw_ratio
        return f"visits of experts drawn from a power law (exponent {power:g}, busiest {most:g} x the idlest){copies}"
    if work.expert_visits_count:
        return f"visits of experts as measured{copies}"
    if work.imbalance_ratio == 1.0:
        return f"experts balanced but drawn at random{copies}"
    return f"experts drawn at random, the fullest rank liked {work.imbalance_ratio:g} times the mean{copies}"


def experts_layout(best: Deployment) -> Layout:
    """Return the layout whose ranks hold the experts that decode."""
    return best.decode.layout if best.decode.apart is None else best.decode.apart.layout


def experts_metrics(machine: Machine, work: Serving, best: Deployment) -> tuple[Metric, ...]:
    """Return the fullest rank over the mean without and with copies, their memory, and the room that caches lose."""
    layout = experts_layout(best)
    found: list[Metric] = []
    if work.expert_visits_count or work.expert_draw_ratio is not None:
        bare = imbalance_of(machine.spec, replace(work, redundant_count=0), layout.expert)
        found.append(Metric(key="fullest_before", label="fullest expert rank", value=float(bare), unit="x mean"))
    if not work.redundant_count:
        return tuple(found)
    after = float(layout.imbalance_ratio)
    found.append(Metric(key="fullest_after", label="fullest, with copies", value=after, unit="x mean"))
    more = float(redundant_bytes(machine.engine, layout))
    found.append(Metric(key="redundant_bytes", label="copies of experts, a rank", value=more, unit="B"))
    if best.decode.apart is not None:
        return tuple(found)  # caches lie on other ranks
    drafts, requests = work.draft_tokens > 0, requests_of(work)
    tokens = held_tokens(machine.engine, requests)
    one = float(sequence_cache_bytes(machine.engine, layout, tokens, drafts=drafts)) / tokens
    found.append(Metric(key="cache_lost_tokens", label="KV room lost, a group", value=more / one, unit="tokens"))
    return tuple(found)
