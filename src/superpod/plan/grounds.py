"""What every report says of itself: the question as a sentence, notes on the machine, hash of the facts, version."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from superpod.catalog.calibration import LinkCalibration
from superpod.catalog.provenance import UsedFact
from superpod.plan.machine import Machine
from superpod.plan.scenario import Scenario, Training


def question(made: Machine, scenario: Scenario) -> str:
    """Return the scenario as a sentence."""
    many = f"{made.pods_count:g} x {made.pod.name}" if made.pods_count > 1 else made.pod.name
    work = scenario.work
    if isinstance(work, Training):
        what = (
            f"train {made.spec.name} with {work.batch_sequences:,} sequences of {work.sequence_tokens:,} tokens a step"
        )
    else:
        what = (
            f"serve {made.spec.name}, {work.prompt_tokens:,} tokens in and {work.output_tokens:,} out, "
            f"TTFT up to {work.ttft_s:g} s and TPOT up to {work.tpot_s * 1e3:g} ms"
        )
    return f"{what}, on {many} ({made.cards_count:,.0f} cards)"


def notes(made: Machine) -> tuple[str, ...]:
    """Return what a reader must know of the machine before trusting the numbers."""
    said: list[str] = []
    if made.pod.state in {"roadmap", "announced", "cancelled"}:
        said.append(
            f"{made.pod.name} is {made.pod.state}: no such machine can be bought, and its numbers are the vendor's word"
        )
    if made.pods_count > 1 and made.pod.scale_out is not None and made.pod.scale_out.shares_scale_up_ports:
        said.append("the scale-out network takes ports of the scale-up fabric: both at full rate cannot be had at once")
    skipped = unpublished_rates(made)
    if skipped:
        said.append(f"{', '.join(skipped)} of {made.chip.name} is not published, so this runs in {made.precision.name}")
    software = made.software
    said.append(f"assumes {software.name}" + (f": {software.note}" if software.note else ""))
    calibration = made.device.calibration
    if calibration.borrowed_from:
        said.append(f"operator efficiencies of {made.chip.name} are partly borrowed from {calibration.borrowed_from}")
    said += [
        f"link efficiencies of {link.name} are borrowed from {link.borrowed_from}"
        for link in links(made)
        if link.borrowed_from
    ]
    estimated = [used.where for used in made.facts if used.fact.kind == "estimate"]
    if estimated:
        said.append(f"rests on {len(estimated)} estimate(s) that nobody has published: {', '.join(estimated)}")
    return tuple(said)


def no_tables(made: Machine, scenario: Scenario) -> tuple[str, ...]:
    """Return a note where measured tables were wished for and the chip has none."""
    if scenario.tables == "none" or made.device.table is not None:
        return ()
    return (f"no measured operator tables of {made.chip.name}: all operators are analytic",)


def unpublished_rates(made: Machine) -> list[str]:
    """Return the 8-bit formats that the chip may have but nobody has published a rate for."""
    if made.precision.matmul != "bf16":
        return []
    rates = {name: made.chip.facts.get(f"matrix_flop_per_s.{name}") for name in ("fp8", "int8")}
    return [name for name, fact in rates.items() if fact is not None and fact.missing and fact.value is None]


def links(made: Machine) -> list[LinkCalibration]:
    """Return the link calibrations in use, each once."""
    return list({tier.link.id: tier.link for tier in made.fabric.tiers}.values())


def facts_hash(made: Machine) -> str:
    """Return a short content hash of every fact in use: two answers with the same hash rest on the same numbers."""
    return hash_of(made.facts)


def hash_of(facts: Iterable[UsedFact]) -> str:
    """Return a short content hash of facts."""
    lines = sorted(f"{used.where}={used.fact.value!r}" for used in facts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def package_version() -> str:
    """Return the installed version, or `unknown` when run from a tree."""
    try:
        return version("superpod")
    except PackageNotFoundError:
        return "unknown"
