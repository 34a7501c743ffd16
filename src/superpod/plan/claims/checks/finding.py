"""What a check of a claim returns, and the numbers that checks read."""

from collections.abc import Callable
from dataclasses import dataclass

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Chip, Dtype, Pod
from superpod.plan.claims.verdict import PodAnswer
from superpod.units import human, significant


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A claim's arithmetic and its result on the claim's own basis; None where it cannot be computed.

    `even` is the result on an even basis, given where the claim's own basis is mixed or favourable.
    """

    arithmetic: str
    computed: float | None
    even: float | None = None
    because: str = ""
    pods: tuple[PodAnswer, ...] = ()


Check = Callable[[Catalogue, Claim], Finding]


def given(claim: Claim, name: str) -> float:
    """Return a number that the claim itself carries."""
    return FactReader(kind="claims", entry=claim).number(f"given.{name}", claim.given.get(name))


def stated(claim: Claim) -> float:
    """Return the claimed number."""
    return FactReader(kind="claims", entry=claim).number("claimed", claim.claimed)


def pod_and_chip(catalogue: Catalogue, name: str) -> tuple[Pod, Chip]:
    """Return a pod and the chip in it."""
    pod = catalogue.pod(name)
    return pod, catalogue.chip(pod.chip)


def cards(pod: Pod) -> float:
    """Return the cards of a pod, or of all pods of a cascade."""
    return pod.chips_count * pod.pods_count


def dies(pod: Pod, chip: Chip) -> float:
    """Return the compute dies of a pod."""
    return cards(pod) * FactReader(kind="chips", entry=chip).number("dies_count", chip.dies_count)


def matrix_rate(chip: Chip, dtype: Dtype) -> float:
    """Return a chip's dense matrix rate."""
    rate: float | None = chip.matrix_flop_per_s.get(dtype)
    return FactReader(kind="chips", entry=chip).number(f"matrix_flop_per_s.{dtype}", rate)


def headline_rate(chip: Chip, dtype: Dtype) -> float:
    """Return the rate that the vendor prints where it is more than the dense matrix rate."""
    rate: float | None = chip.headline_flop_per_s.get(dtype)
    return FactReader(kind="chips", entry=chip).number(f"headline_flop_per_s.{dtype}", rate)


def memory(chip: Chip) -> float:
    """Return a chip's memory."""
    return FactReader(kind="chips", entry=chip).number("memory.capacity_bytes", chip.memory.capacity_bytes)


def published(pod: Pod, total: str) -> float:
    """Return a total that the vendor printed, e.g. `fp8_flop_per_s`."""
    value: float | None = getattr(pod.published, total)
    return FactReader(kind="pods", entry=pod).number(f"published.{total}", value)


def typical_power(pod: Pod) -> float:
    """Return a pod's typical power."""
    return FactReader(kind="pods", entry=pod).number("power.typical_w", pod.power.typical_w)


def max_power(pod: Pod) -> float:
    """Return a pod's maximum power."""
    return FactReader(kind="pods", entry=pod).number("power.max_w", pod.power.max_w)


def tier_bandwidth(pod: Pod, name: str) -> float:
    """Return what one card can send into a tier, one direction."""
    tier = next(item for item in pod.tiers if item.name == name)
    reader = FactReader(kind="pods", entry=pod)
    return reader.number(f"tiers.{name}.bandwidth_bytes_per_s", tier.bandwidth_bytes_per_s)


def tier_latency(pod: Pod, name: str) -> float:
    """Return the latency between two ranks of a tier."""
    tier = next(item for item in pod.tiers if item.name == name)
    return FactReader(kind="pods", entry=pod).number(f"tiers.{name}.latency_s", tier.latency_s)


def shown(value: float, unit: str) -> str:
    """Return a number of a claim for people: counts and ratios plain, everything else with an SI prefix.

    >>> shown(8192.0, "count"), shown(56.89, "x"), shown(8e18, "FLOP/s")
    ('8,192', '56.9x', '8.00 EFLOP/s')
    """
    if unit == "x":
        return f"{significant(value)}x"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "token/s":
        return f"{value:,.0f} token/s"
    return human(value, unit)


def quotient(top: float, bottom: float, unit: str) -> str:
    """Return `a / b = c` in words."""
    return f"{shown(top, unit)} / {shown(bottom, unit)} = {shown(top / bottom, 'x')}"


def unpublished(_: Catalogue, claim: Claim) -> Finding:
    """Say what a check would need: the claim rests on numbers that nobody has published."""
    return Finding(
        arithmetic=f"claimed {shown(stated(claim), claim.unit)}; nothing public to compute it from",
        computed=None,
        because=claim.lacks,
    )
