"""What a supernode brings beside its chips: bandwidth and latency of its bus."""

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod
from superpod.plan.claims.checks.finding import (
    Finding,
    given,
    quotient,
    shown,
    tier_bandwidth,
    tier_latency,
)

CM384 = "cloudmatrix384"


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
