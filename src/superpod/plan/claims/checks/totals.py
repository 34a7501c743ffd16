"""Totals of one pod against its parts."""

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import Fact, FactReader
from superpod.catalog.schema import Dtype
from superpod.fabric.inventory import inventory
from superpod.fabric.tiers import build, ranks_per_chip, scale_out_tier
from superpod.plan.claims.checks.finding import (
    Check,
    Finding,
    cards,
    given,
    headline_rate,
    matrix_rate,
    memory,
    pod_and_chip,
    published,
    shown,
    stated,
    tier_bandwidth,
)

BINARY_STEP = 1.024  # from decimal to binary units, once: what 8,192 x 144 GB / 1,024 does to a decimal TB


def compute(name: str, dtype: Dtype) -> Check:
    """Check a pod's compute as cards x dense matrix rate."""

    def check(catalogue: Catalogue, _: Claim) -> Finding:
        pod, chip = pod_and_chip(catalogue, name)
        rate = matrix_rate(chip, dtype)
        total = cards(pod) * rate
        fact = chip.facts.get(f"matrix_flop_per_s.{dtype}", Fact())
        ends = [shown(cards(pod) * end, "FLOP/s") for end in (fact.low, fact.high) if end is not None and end != rate]
        bins = f"; other readings of the card {' and '.join(ends)}" if ends else ""
        return Finding(arithmetic=times(cards(pod), rate, total, "FLOP/s") + bins, computed=total)

    return check


def headline_compute(name: str, dtype: Dtype) -> Check:
    """Check a pod's compute as cards x printed rate, with the dense matrix rate as the even basis."""

    def check(catalogue: Catalogue, _: Claim) -> Finding:
        pod, chip = pod_and_chip(catalogue, name)
        printed, dense = headline_rate(chip, dtype), matrix_rate(chip, dtype)
        total, even = cards(pod) * printed, cards(pod) * dense
        return Finding(
            arithmetic=f"{times(cards(pod), printed, total, 'FLOP/s')}; dense matrix rate: "
            f"{times(cards(pod), dense, even, 'FLOP/s')}",
            computed=total,
            even=even,
        )

    return check


def capacity(name: str) -> Check:
    """Check a pod's device memory as cards x memory of one, in decimal units."""

    def check(catalogue: Catalogue, _: Claim) -> Finding:
        pod, chip = pod_and_chip(catalogue, name)
        total = cards(pod) * memory(chip)
        return Finding(arithmetic=times(cards(pod), memory(chip), total, "B"), computed=total)

    return check


def binary_capacity(name: str) -> Check:
    """Check a pod's device memory printed in binary TB, with decimal TB as the even basis."""

    def check(catalogue: Catalogue, _: Claim) -> Finding:
        pod, chip = pod_and_chip(catalogue, name)
        total = cards(pod) * memory(chip)
        return Finding(
            arithmetic=f"{shown(cards(pod), 'count')} x {shown(memory(chip), 'B')} / 1,024 = "
            f"{total / BINARY_STEP / 1e12:,.0f} 'TB'; in decimal TB {total / 1e12:,.0f}",
            computed=total / BINARY_STEP,
            even=total,
        )

    return check


def fabric(name: str) -> Check:
    """Check a pod's interconnect as cards x the claim's own figure for one card."""

    def check(catalogue: Catalogue, claim: Claim) -> Finding:
        pod = catalogue.pod(name)
        rate = given(claim, "card_bytes_per_s")
        total = cards(pod) * rate
        return Finding(arithmetic=times(cards(pod), rate, total, "B/s"), computed=total)

    return check


def tier_fabric(name: str, tier: str) -> Check:
    """Check a pod's interconnect as cards x both directions of a tier's bandwidth."""

    def check(catalogue: Catalogue, _: Claim) -> Finding:
        pod = catalogue.pod(name)
        rate = 2.0 * tier_bandwidth(pod, tier)
        total = cards(pod) * rate
        return Finding(arithmetic=times(cards(pod), rate, total, "B/s"), computed=total)

    return check


def nominal_supercluster(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check the SuperCluster's compute at a nominal rate a card, against its pods' own published rate."""
    (cluster, chip), pod = pod_and_chip(catalogue, "atlas950-supercluster"), catalogue.pod("atlas950-8192")
    rate, each = given(claim, "nominal_card_flop_per_s"), published(pod, "fp8_flop_per_s")
    total, even = cards(cluster) * rate, cluster.pods_count * each
    return Finding(
        arithmetic=f"{times(cards(cluster), rate, total, 'FLOP/s')}; "
        f"{times(cluster.pods_count, each, even, 'FLOP/s')}; at the dense matrix rate "
        f"{shown(cards(cluster) * matrix_rate(chip, 'fp8'), 'FLOP/s')}",
        computed=total,
        even=even,
    )


def cascade(name: str) -> Check:
    """Check the cards of a cascade as pods x cards of one."""

    def check(catalogue: Catalogue, claim: Claim) -> Finding:
        pod = catalogue.pod(name)
        total = cards(pod)
        enough = -(-stated(claim) // pod.chips_count)
        return Finding(
            arithmetic=f"{pod.pods_count:,.0f} x {pod.chips_count:,.0f} = {total:,.0f}; {enough:,.0f} pods would do",
            computed=total,
        )

    return check


def scale(later: str) -> Check:
    """Check the cards of a pod as cabinets x cards of one, against what was announced or listed `later`."""

    def check(catalogue: Catalogue, claim: Claim) -> Finding:
        cabinets, each = given(claim, "compute_cabinets_count"), given(claim, "cabinet_cards_count")
        now = catalogue.pod(later)
        return Finding(
            arithmetic=f"{cabinets:,.0f} cabinets x {each:,.0f} = {cabinets * each:,.0f} cards; {now.name}: "
            f"{cards(now):,.0f}",
            computed=cabinets * each,
            even=cards(now),
        )

    return check


def optical_modules(catalogue: Catalogue, _: Claim) -> Finding:
    """Count CloudMatrix384's optical modules by the structure of its fabric: both ends of every optical cable."""
    pod, chip = pod_and_chip(catalogue, "cloudmatrix384")
    reader = FactReader(kind="pods", entry=pod)
    per_chip = ranks_per_chip(FactReader(kind="chips", entry=chip), chip.dies_count, pod)
    fabric = build(catalogue, reader, pod, 1.0, per_chip)
    outside = scale_out_tier(catalogue, reader, pod, 1.0, per_chip)
    cables = {name: catalogue.cable(name) for name in catalogue.names("cables")}
    parts = [part for part in inventory(fabric, cables, scale_out=outside).tiers if part.modules_count]
    terms = [f"{part.tier} {part.cables_count:,.0f} cables with {part.modules_count:,.0f} modules" for part in parts]
    total = sum(part.modules_count or 0.0 for part in parts)
    return Finding(arithmetic=f"{' + '.join(terms)} = {total:,.0f} modules", computed=total)


def sugon_racks(_: Catalogue, claim: Claim) -> Finding:
    """Set Sugon's figure for one rack against its figure for sixteen; without a number format neither can be judged."""
    rack, racks = given(claim, "rack_flop_per_s"), given(claim, "racks_count")
    return Finding(
        arithmetic=f"{times(racks, rack, racks * rack, 'FLOP/s')}, claimed {shown(stated(claim), 'FLOP/s')}: they "
        f"disagree {shown(racks * rack / stated(claim), 'x')} unless they count different formats",
        computed=None,
        because=claim.lacks,
    )


def times(count: float, each: float, total: float, unit: str) -> str:
    """Return `n x a = b` in words."""
    return f"{count:,.0f} x {shown(each, unit)} = {shown(total, unit)}"
