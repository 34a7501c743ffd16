"""What a supernode brings beside its chips: power density, bandwidth and latency of its bus."""

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod
from superpod.plan.claim_checks.finding import (
    Finding,
    given,
    max_power,
    quotient,
    shown,
    stated,
    tier_bandwidth,
    tier_latency,
)

CM384 = "cloudmatrix384"


def cabinets(pod: Pod) -> float:
    """Return the cabinets of a pod."""
    return FactReader(kind="pods", entry=pod).number("power.cabinets_count", pod.power.cabinets_count)


def powered(catalogue: Catalogue) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
    """Return pods of cabinets whose maximum power is published, and those of which it is not; cascades are left out."""
    pods = [catalogue.pod(name) for name in catalogue.names("pods")]
    counted = [pod for pod in pods if pod.power.cabinets_count is not None]
    known = tuple(pod for pod in counted if has_published_power(pod))
    return known, tuple(pod for pod in counted if not has_published_power(pod))


def has_published_power(pod: Pod) -> bool:
    """Return whether somebody has said what a pod draws at most; the catalogue's own estimates say nothing here."""
    fact = pod.facts.get("power.max_w")
    return pod.power.max_w is not None and fact is not None and fact.kind != "estimate"


def cabinet_power(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check the power of a cabinet, pod by pod: the least of one-cabinet supernodes, and the least of all."""
    pods, unsaid = powered(catalogue)
    each = {pod.name: max_power(pod) / cabinets(pod) for pod in pods}
    single = min(each[pod.name] for pod in pods if cabinets(pod) == 1)
    said = "; ".join(per_cabinet(pod, each[pod.name], stated(claim)) for pod in pods)
    compute = given(claim, "cloudmatrix384_compute_cabinet_w")
    below = [name for name, power in each.items() if power < stated(claim)]
    silent = f"; no maximum published: {', '.join(pod.name for pod in unsaid)}" if unsaid else ""
    return Finding(
        arithmetic=f"maximum over cabinets: {said}; CloudMatrix384's compute cabinet alone {shown(compute, 'W')}"
        f"{silent}",
        computed=single,
        even=min(each.values()),
        because=f"not so for {' and '.join(below)}; {claim.remark}" if below else claim.remark,
    )


def per_cabinet(pod: Pod, each_w: float, stated_w: float) -> str:
    """Return one pod's answer with its source: `GB200 NVL72 132 kW (yes, source)`."""
    fact = pod.facts["power.max_w"]
    return f"{pod.name} {shown(each_w, 'W')} ({'yes' if each_w > stated_w else 'no'}, {fact.source or fact.kind})"


def bus_bandwidth(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 15 times the bandwidth: raw signalling over a 200 Gb/s port, and over the pod's own 400 Gb/s."""
    pod = catalogue.pod(CM384)
    rate = tier_bandwidth(pod, "pod")
    raw = pod.facts["tiers.pod.bandwidth_bytes_per_s"].high or rate
    old, own = given(claim, "ethernet_bytes_per_s"), scale_out(pod)
    rack = catalogue.pod("gb200-nvl72")
    return Finding(
        arithmetic=f"raw over 200 Gb/s {quotient(raw, old, 'B/s')}; both directions over one of 400 Gb/s "
        f"{quotient(2.0 * raw, own, 'B/s')}; raw over 400 Gb/s {quotient(raw, own, 'B/s')}; port rate "
        f"{quotient(rate, own, 'B/s')}; {rack.name} {quotient(tier_bandwidth(rack, 'rack'), scale_out(rack), 'B/s')}",
        computed=raw / old,
        even=raw / own,
        because=claim.remark,
    )


def scale_out(pod: Pod) -> float:
    """Return what one card can send to other pods, one direction."""
    value = pod.scale_out.bandwidth_bytes_per_s if pod.scale_out is not None else None
    return FactReader(kind="pods", entry=pod).number("scale_out.bandwidth_bytes_per_s", value)


def bus_latency(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 200 ns a hop: what a path between nodes takes longer than one inside, over its additional hops."""
    pod = catalogue.pod(CM384)
    inside, across, hops = tier_latency(pod, "node"), tier_latency(pod, "pod"), given(claim, "hops_count")
    return Finding(
        arithmetic=f"measured reads between dies {shown(inside, 's')} in a node and {shown(across, 's')} across: "
        f"({shown(across, 's')} - {shown(inside, 's')}) / {hops:.0f} = {shown((across - inside) / hops, 's')} a hop, "
        f"and {shown(inside - (across - inside) / hops, 's')} at the endpoints",
        computed=(across - inside) / hops,
        because=claim.remark,
    )
