"""One pod against another: cards, compute, memory, bandwidth and power."""

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.plan.claims.checks.finding import (
    Check,
    Finding,
    cards,
    dies,
    given,
    headline_rate,
    matrix_rate,
    max_power,
    memory,
    pod_and_chip,
    published,
    quotient,
    shown,
    stated,
    typical_power,
)
from superpod.plan.claims.checks.totals import BINARY_STEP

ATLAS, LISTED = "atlas950-8192", "atlas950-1024"
NVL144, RUBIN = "vr-nvl144", "vr-nvl72"
CM384, NVL72 = "cloudmatrix384", "gb200-nvl72"
FP8, FP4, BF16 = "fp8_flop_per_s", "fp4_flop_per_s", "bf16_flop_per_s"
FABRIC = "fabric_bytes_per_s"


def cards_over_dies(catalogue: Catalogue, _: Claim) -> Finding:
    """Check 56.8: Huawei's packages over NVIDIA's dies, and packages over packages."""
    atlas = catalogue.pod(ATLAS)
    rack, chip = pod_and_chip(catalogue, NVL144)
    return Finding(
        arithmetic=f"packages over dies {quotient(cards(atlas), dies(rack, chip), 'count')}; packages over packages "
        f"{quotient(cards(atlas), cards(rack), 'count')}",
        computed=cards(atlas) / dies(rack, chip),
        even=cards(atlas) / cards(rack),
    )


def compute_2025(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 6.7: FP8 of both as announced in 2025, and what later figures make of it."""
    atlas, rack, now = catalogue.pod(ATLAS), catalogue.pod(NVL144), catalogue.pod(RUBIN)
    top = published(atlas, FP8)
    return Finding(
        arithmetic=f"FP8 {quotient(top, published(rack, FP8), 'FLOP/s')}; against the rack of 2026 "
        f"{quotient(top, published(now, FP8), 'FLOP/s')}; FP4 as printed in 2025 "
        f"{quotient(published(atlas, FP4), published(rack, FP4), 'FLOP/s')}; packages "
        f"{quotient(cards(atlas), cards(rack), 'count')}",
        computed=top / published(rack, FP8),
        because=claim.remark,
    )


def memory_mixed(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 15: HBM in binary TB over HBM and LPDDR, and HBM over HBM."""
    atlas, npu = pod_and_chip(catalogue, ATLAS)
    rack, gpu = pod_and_chip(catalogue, NVL144)
    top, bottom = cards(atlas) * memory(npu), cards(rack) * memory(gpu)
    fast = given(claim, "fast_memory_bytes")
    return Finding(
        arithmetic=f"{top / BINARY_STEP / 1e12:,.0f} 'TB' / {fast / 1e12:,.0f} TB = "
        f"{shown(top / BINARY_STEP / fast, 'x')}; HBM {quotient(top, bottom, 'B')}",
        computed=top / BINARY_STEP / fast,
        even=top / bottom,
    )


def bandwidth_2025(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 62: interconnect totals of both as announced in 2025, and at the rate of the card on sale."""
    atlas, rack, listed = catalogue.pod(ATLAS), catalogue.pod(NVL144), catalogue.pod(LISTED)
    top, bottom = published(atlas, FABRIC), published(rack, FABRIC)
    sold = cards(atlas) * published(listed, FABRIC) / cards(listed)
    return Finding(
        arithmetic=f"{quotient(top, bottom, 'B/s')}; at the rate of the card on sale {quotient(sold, bottom, 'B/s')}",
        computed=top / bottom,
        because=claim.remark,
    )


def listed_cards(catalogue: Catalogue, _: Claim) -> Finding:
    """Check 56.8 for the unit on sale: packages over packages."""
    listed, rack = catalogue.pod(LISTED), catalogue.pod(RUBIN)
    return Finding(
        arithmetic=f"packages {quotient(cards(listed), cards(rack), 'count')}", computed=cards(listed) / cards(rack)
    )


def listed_compute(catalogue: Catalogue, _: Claim) -> Finding:
    """Check 6.7 for the unit on sale: FP8 as printed, and FP8 and FP4 of the matrix engines."""
    listed, npu = pod_and_chip(catalogue, LISTED)
    rack, gpu = pod_and_chip(catalogue, RUBIN)
    top, bottom = cards(listed) * headline_rate(npu, "fp8"), published(rack, FP8)
    matrix = cards(listed) * matrix_rate(npu, "fp8")
    fp4, other = cards(listed) * headline_rate(npu, "fp4"), cards(rack) * matrix_rate(gpu, "fp4")
    return Finding(
        arithmetic=f"FP8 {quotient(top, bottom, 'FLOP/s')}; Cube alone {quotient(matrix, bottom, 'FLOP/s')}; "
        f"FP4 {quotient(fp4, other, 'FLOP/s')}",
        computed=top / bottom,
    )


def listed_memory(catalogue: Catalogue, _: Claim) -> Finding:
    """Check 15 for the unit on sale: HBM over HBM."""
    top = published(catalogue.pod(LISTED), "memory_bytes")
    bottom = published(catalogue.pod(RUBIN), "memory_bytes")
    return Finding(arithmetic=f"HBM {quotient(top, bottom, 'B')}", computed=top / bottom)


def listed_bandwidth(catalogue: Catalogue, _: Claim) -> Finding:
    """Check 62 for the unit on sale."""
    top, bottom = published(catalogue.pod(LISTED), FABRIC), published(catalogue.pod(RUBIN), FABRIC)
    return Finding(arithmetic=quotient(top, bottom, "B/s"), computed=top / bottom)


def atlas960_doubles(catalogue: Catalogue, _: Claim) -> Finding:
    """Check the doubling of Atlas 950 by Atlas 960 on compute; memory and interconnect beside it."""
    new, old = catalogue.pod("atlas960-15488"), catalogue.pod(ATLAS)
    parts = (("FP8", FP8, "FLOP/s"), ("memory", "memory_bytes", "B"), ("interconnect", FABRIC, "B/s"))
    said = (f"{name} {quotient(published(new, total), published(old, total), unit)}" for name, total, unit in parts)
    return Finding(arithmetic="; ".join(said), computed=published(new, FP8) / published(old, FP8))


def atlas960_ports(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check the doubling of ports from the pod totals: interconnect per card."""
    new, old = catalogue.pod("atlas960-15488"), catalogue.pod(ATLAS)
    top, bottom = published(new, FABRIC) / cards(new), published(old, FABRIC) / cards(old)
    wanted = cards(new) * stated(claim) * bottom
    return Finding(
        arithmetic=f"per card {quotient(top, bottom, 'B/s')}; doubled ports would make {shown(wanted, 'B/s')} a pod",
        computed=top / bottom,
    )


def cm384_total(total: str, unit: str) -> Check:
    """Check a published total of CloudMatrix384 over the same one of GB200 NVL72."""

    def check(catalogue: Catalogue, _: Claim) -> Finding:
        top, bottom = published(catalogue.pod(CM384), total), published(catalogue.pod(NVL72), total)
        return Finding(arithmetic=quotient(top, bottom, unit), computed=top / bottom)

    return check


def cm384_compute(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 1.7: compute at the analyst's rate of a card, and at the vendor's."""
    pod, rack = catalogue.pod(CM384), catalogue.pod(NVL72)
    bottom, theirs, own = published(rack, BF16), cards(pod) * given(claim, "card_flop_per_s"), published(pod, BF16)
    return Finding(
        arithmetic=f"{quotient(theirs, bottom, 'FLOP/s')}; at the vendor's rate {quotient(own, bottom, 'FLOP/s')}",
        computed=theirs / bottom,
        even=own / bottom,
    )


def cm384_power(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 3.9: the analyst's estimates, and maximum over maximum."""
    pod, rack = catalogue.pod(CM384), catalogue.pod(NVL72)
    typical, theirs = typical_power(pod), given(claim, "nvl72_w")
    top, bottom = max_power(pod), max_power(rack)
    return Finding(
        arithmetic=f"{quotient(typical, theirs, 'W')}; maxima {quotient(top, bottom, 'W')}",
        computed=typical / theirs,
        even=top / bottom,
    )


def cm384_power_per_flop(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 2.3: power over compute, by the analyst's figures and by published ones."""
    pod, rack = catalogue.pod(CM384), catalogue.pod(NVL72)
    bottom = published(rack, BF16)
    power = typical_power(pod) / given(claim, "nvl72_w")
    compute = cards(pod) * given(claim, "card_flop_per_s") / bottom
    power_even, compute_even = max_power(pod) / max_power(rack), published(pod, BF16) / bottom
    return Finding(
        arithmetic=f"power {quotient(power, compute, 'x')} by compute; maxima and vendor's rate "
        f"{quotient(power_even, compute_even, 'x')}",
        computed=power / compute,
        even=power_even / compute_even,
    )
