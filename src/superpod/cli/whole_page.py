"""Power, failures and cost of an answer on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superpod.cli.page import Block, Breakdown, Metrics, Section, Segment, Text
from superpod.cli.wording import DASH, quantity
from superpod.units import human, percent

if TYPE_CHECKING:
    from superpod.plan.whole.result import Money, Power, Whole


def failures_text(whole: Whole) -> Text:
    """Return what failures take, by cause."""
    from superpod.plan.whole.words import lost

    return Text(title="Failures", lines=(lost(whole),))


def building_section(whole: Whole) -> Section:
    """Return power, losses and cost of an answer, part by part."""
    losses = sorted(whole.failures.losses.items(), key=lambda item: -item[1])
    rows = [("left", whole.failures.goodput_frac), *((name, share) for name, share in losses if share > 1e-6)]
    time = tuple(
        Segment(label=name, share=share, text=percent(share), hue=place) for place, (name, share) in enumerate(rows)
    )
    blocks: list[Block] = [failures_text(whole), Breakdown(title="Time of all cards", total_text="", segments=time)]
    if whole.power is not None:
        blocks.append(Metrics(title="Power in the mean", items=power_items(whole.power)))
    if whole.money is not None:
        blocks.append(spending(whole.money))
    blocks += [Text(title="", lines=whole.lacks, bullets=True)] if whole.lacks else []
    return Section(title=f"Power, failures and cost in {whole.facility}", blocks=tuple(blocks))


def power_items(power: Power) -> tuple[tuple[str, str], ...]:
    """Return the power of the machine, and what it rests on."""
    return (
        ("IT", human(power.it_w, "W")),
        ("PUE of the facility", f"{power.pue_ratio:g}"),
        ("site", human(power.site_w, "W")),
        ("site, P10 and P90", f"{human(power.p10_w, 'W')} to {human(power.p90_w, 'W')}"),
        ("a chip", DASH if power.chip_w is None else human(power.chip_w, "W")),
        ("by", power.basis),
    )


def spending(money: Money) -> Breakdown:
    """Return what an hour of a card pays for."""
    parts = {
        "machines": money.running.machines_usd_per_s,
        "network between pods": money.running.network_usd_per_s,
        "storage": money.running.storage_usd_per_s,
        "building": money.running.building_usd_per_s,
        "energy": money.running.energy_usd_per_s,
        "upkeep": money.running.upkeep_usd_per_s,
    }
    shares = {name: float(spent) / money.total_usd_per_s for name, spent in parts.items() if float(spent) > 0.0}
    return Breakdown(
        title="An hour of a card",
        total_text=quantity(money.card_hour_usd, "USD"),
        segments=tuple(
            Segment(label=name, share=share, text=quantity(share * money.card_hour_usd, "USD"), hue=place)
            for place, (name, share) in enumerate(shares.items())
        ),
    )
