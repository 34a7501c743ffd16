"""Published claims recomputed: from the catalogue where arithmetic is enough, simulated where it is not."""

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.errors import InfeasibleError, MissingFactError, NoBasisError, UnknownNameError
from superpod.plan.claims.checks import cabinet, ratios, serving, system, throughput, totals
from superpod.plan.claims.checks.finding import Check, Finding, shown, unpublished
from superpod.plan.claims.verdict import Outcome, Verdict

# In the order of the report: the launch claims first. A claim is a file in catalog/data/claims and a row here.
CHECKS: dict[str, Check] = {
    "atlas950-cards": ratios.cards_over_dies,
    "atlas950-compute": ratios.compute_2025,
    "atlas950-memory": ratios.memory_mixed,
    "atlas950-bandwidth": ratios.bandwidth_2025,
    "al128-inference": serving.al128_inference,
    "cm384-cascade": totals.cascade("cloudmatrix384-x432"),
    "atlas950-scale": totals.scale("atlas950-1024"),
    "atlas960-scale": totals.scale("atlas960-4096"),
    "cabinet-power": cabinet.cabinet_power,
    "supernode-bandwidth": system.bus_bandwidth,
    "supernode-latency": system.bus_latency,
    "cm384-decode-1k": serving.cm384_decode,
    "cm384-decode-2k": serving.cm384_decode,
    "cm384-decode-4k": serving.cm384_decode,
    "cm384-decode-30ms": serving.cm384_decode,
    "cm384-decode-15ms": serving.cm384_decode,
    "cm384-prefill-balanced": serving.cm384_prefill,
    "cm384-prefill-default": serving.cm384_prefill_skewed,
    "atlas950-1024-cards": ratios.listed_cards,
    "atlas950-1024-compute": ratios.listed_compute,
    "atlas950-1024-memory": ratios.listed_memory,
    "atlas950-1024-bandwidth": ratios.listed_bandwidth,
    "atlas950-1024-fp8": totals.headline_compute("atlas950-1024", "fp8"),
    "atlas950-1024-fp4": totals.headline_compute("atlas950-1024", "fp4"),
    "atlas950-8192-fp8": totals.compute("atlas950-8192", "fp8"),
    "atlas950-8192-fp4": totals.compute("atlas950-8192", "fp4"),
    "atlas950-8192-memory": totals.binary_capacity("atlas950-8192"),
    "atlas950-8192-fabric": totals.fabric("atlas950-8192"),
    "atlas960-15488-fp8": totals.compute("atlas960-15488", "fp8"),
    "atlas960-15488-fp4": totals.compute("atlas960-15488", "fp4"),
    "atlas960-15488-memory": totals.capacity("atlas960-15488"),
    "atlas960-15488-fabric": totals.fabric("atlas960-15488"),
    "atlas960-doubles": ratios.atlas960_doubles,
    "atlas960-ports": ratios.atlas960_ports,
    "atlas960-4096-fp8": totals.compute("atlas960-4096", "fp8"),
    "atlas960-4096-fp4": totals.compute("atlas960-4096", "fp4"),
    "atlas960-4096-memory": totals.capacity("atlas960-4096"),
    "supercluster-compute": totals.nominal_supercluster,
    "supercluster-cards": totals.cascade("atlas950-supercluster"),
    "atlas950-training-rate": throughput.per_card,
    "atlas950-inference-rate": throughput.per_card,
    "atlas950-training-gain": throughput.training_gain,
    "atlas950-inference-gain": throughput.inference_gain,
    "atlas960-training-gain": throughput.atlas960_gain("training"),
    "atlas960-inference-gain": throughput.atlas960_gain("inference"),
    "cm384-compute": totals.compute("cloudmatrix384", "bf16"),
    "cm384-fabric": totals.tier_fabric("cloudmatrix384", "pod"),
    "cm384-optical-modules": totals.optical_modules,
    "cm384-nvl72-compute": ratios.cm384_compute,
    "cm384-nvl72-memory": ratios.cm384_total("memory_bytes", "B"),
    "cm384-nvl72-memory-bandwidth": ratios.cm384_total("memory_bandwidth_bytes_per_s", "B/s"),
    "cm384-nvl72-power": ratios.cm384_power,
    "cm384-nvl72-power-per-flop": ratios.cm384_power_per_flop,
    "al128-moe-decode": serving.al128_moe_decode,
    "kunlun-bandwidth": unpublished,
    "kunlun-inference": unpublished,
    "tianchi256-bandwidth": unpublished,
    "tianchi256-inference": unpublished,
    "sd200-scaling": unpublished,
    "scalex640-compute": totals.sugon_racks,
    "scalex640-moe": unpublished,
    "helios-fp4": totals.headline_compute("helios-72", "fp4"),
    "helios-fp8": totals.headline_compute("helios-72", "fp8"),
    "ironwood-compute": totals.compute("ironwood-9216", "fp8"),
    "vr-nvl72-fabric": totals.tier_fabric("vr-nvl72", "rack"),
    "trn3-compute": totals.compute("trn3-ultraserver", "fp8"),
}


def all_claims(catalogue: Catalogue) -> tuple[Verdict, ...]:
    """Return every published claim with its arithmetic and verdict, the launch claims first."""
    return tuple(claim(catalogue, name) for name in CHECKS)


def claim(catalogue: Catalogue, name: str) -> Verdict:
    """Return one claim's verdict; raise UnknownNameError for a name that no check has."""
    if name.lower() not in CHECKS:
        raise UnknownNameError("claim", name, CHECKS)
    entry = catalogue.claim(name)
    try:
        finding = CHECKS[entry.id](catalogue, entry)
    except (MissingFactError, NoBasisError, InfeasibleError) as error:
        finding = Finding(arithmetic=f"stopped at {error.where or 'the search'}", computed=None, because=error.message)
    result = outcome(entry, finding)
    return Verdict(
        id=entry.id,
        claim=entry.claim,
        who=entry.who,
        source=entry.source,
        arithmetic=finding.arithmetic,
        claimed=entry.claimed,
        computed=finding.computed,
        unit=entry.unit,
        outcome=result,
        because=because(entry, finding, result),
        pods=finding.pods,
    )


def outcome(entry: Claim, finding: Finding) -> Outcome:
    """Return the verdict: the result on the claim's own basis decides, an even basis that differs conditions it."""
    if finding.computed is None or entry.claimed is None:
        return "not checkable"
    if not agrees(entry, finding.computed):
        return "does not reproduce"
    if finding.even is not None and not agrees(entry, finding.even):
        return "only under these assumptions"
    return "reproduces"


def agrees(entry: Claim, value: float) -> bool:
    """Return whether a value is what was claimed, within the claim's tolerance."""
    if entry.claimed is None:
        return False
    low, high = entry.claimed * (1.0 - entry.tolerance_frac), entry.claimed * (1.0 + entry.tolerance_frac)
    return (entry.relation == "at_most" or value >= low) and (entry.relation == "at_least" or value <= high)


def because(entry: Claim, finding: Finding, result: Outcome) -> str:
    """Return the reason of a verdict: the assumptions and the even basis, or the difference, then what else to know."""
    more = finding.because or entry.remark
    if result == "not checkable":
        return more or entry.lacks
    even = f"{entry.even_basis}: {shown(finding.even, entry.unit)}" if finding.even is not None else ""
    if result == "only under these assumptions":
        parts = [f"holds only if {entry.assumptions}; {even}", more]
    elif result == "does not reproduce":
        parts = [difference(entry, finding), even, more]
    else:
        parts = [difference(entry, finding), more]
    return "; ".join(part for part in parts if part)


def difference(entry: Claim, finding: Finding) -> str:
    """Return computed against claimed in words."""
    if entry.claimed is None or finding.computed is None:
        return ""
    bound = {"equal": "", "at_least": "at least ", "at_most": "at most "}[entry.relation]
    return f"{shown(finding.computed, entry.unit)} computed, {bound}{shown(entry.claimed, entry.unit)} claimed"
