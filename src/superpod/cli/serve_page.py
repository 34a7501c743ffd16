"""A report of requests served one by one as a page: one screen for the terminal, everything for HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from superpod.cli.facts import facts_table
from superpod.cli.operations_page import changes, failures_cost, operations_text
from superpod.cli.page import Block, Cell, Column, Headline, Metrics, Page, Section, Table, Text, Tone
from superpod.cli.report_page import (
    STATE_TONES,
    STATE_WORDS,
    differing,
    estimate_blocks,
    layout_grid,
    layout_text,
    metric_items,
    rests_on,
    station_badges,
    stations_table,
)
from superpod.cli.serve_charts import distributions, over_time, rate_charts
from superpod.cli.whole_page import building_section, failures_text
from superpod.cli.wording import DASH, count, duration, quantity
from superpod.units import percent, significant

if TYPE_CHECKING:
    from superpod.catalog.provenance import Source
    from superpod.plan.serving.result import LengthClass, Outcome, RatePoint, Spread, Sweep, TrafficReport, Trial

TRIALS_SHOWN = 12
CONDITION_TONES: dict[str, Tone] = {"stable": "good", "backlogged": "warn", "overloaded": "bad"}


def serve_page(report: TrafficReport, sources: Mapping[str, Source], *, full: bool) -> Page:
    """Return the page of a report."""
    pods = f"{count(report.pods_count)} pod{'s' if report.pods_count != 1 else ''}"
    used = count(report.cards_used_count)
    cards = used if report.cards_used_count == report.cards_count else f"{used} of {count(report.cards_count)}"
    machine = f"{pods}, {cards} cards, {report.precision}, software {report.software}"
    state = STATE_WORDS.get(report.state, report.state)
    badges = list(station_badges(report.stations)) or [Cell(text=state, tone=STATE_TONES.get(report.state, "plain"))]
    badges.append(Cell(text=report.outcome.condition, tone=CONDITION_TONES[report.outcome.condition]))
    if report.outcome.interrupted:
        badges.append(Cell(text="interrupted", tone="bad"))
    return Page(
        title=f"{report.model} on {report.pod_name}",
        subtitle=report.question if full else f"{report.pod}, {machine}",
        badges=tuple(badges),
        blocks=full_blocks(report, sources, machine) if full else screen_blocks(report),
        footer=f"superpod {report.version}, catalogue {report.catalogue_hash}",
    )


def screen_blocks(report: TrafficReport) -> tuple[Block, ...]:
    """Return what fits one screen."""
    blocks: list[Block] = [headline(report), Metrics(title="", items=metric_items(report.metrics))]
    blocks.extend(stations_table(report.stations))
    blocks.append(Text(title=report.outcome.condition.capitalize(), lines=(condition(report),)))
    blocks.append(times_table(report))
    blocks.extend(failures_cost(report))
    blocks.extend(operations_text(report))
    blocks.append(Text(title="Binding limit", lines=(report.binding,), tone="strong"))
    if report.whole is not None:
        blocks.append(failures_text(report.whole))
    blocks.append(Text(title="Deployment", lines=(layout_text(report.deployment),)))
    blocks.append(classes_table(report.outcome.classes))
    if report.sweep is not None:
        blocks.append(sweep_table(report.sweep, full=False))
    blocks.append(Text(title="What to do", lines=report.advice, bullets=True))
    blocks.append(rests_on(report))  # type: ignore[arg-type]
    return tuple(blocks)


def full_blocks(report: TrafficReport, sources: Mapping[str, Source], machine: str) -> tuple[Block, ...]:
    """Return everything, in the order in which an architect asks."""
    answer: list[Block] = [
        headline(report),
        Text(title="Binding limit", lines=(report.binding,), tone="strong"),
        Metrics(title="", items=metric_items(report.metrics)),
        Text(title=report.outcome.condition.capitalize(), lines=(condition(report),)),
        Text(title="", lines=(f"{report.pod}: {machine}",), tone="faint"),
        *stations_table(report.stations),
    ]
    if report.advice:
        answer.append(Text(title="What to do", lines=report.advice, bullets=True))
    blocks: list[Block] = [
        *answer,
        Section(title="Times", blocks=(times_table(report), *distributions(report))),
        *([Section(title="What failures cost", blocks=failures_cost(report))] if report.harm is not None else []),
        *([Section(title="What operations did", blocks=operations_text(report))] if report.operated else []),
        Section(title="By length of prompt", blocks=(classes_table(report.outcome.classes),)),
        Section(title="Over time", blocks=over_time(report.outcome, changes=changes(report))),
        Section(title="Pools and links", blocks=(pools_table(report.outcome),)),
    ]
    if report.sweep is not None:
        blocks.append(
            Section(
                title="At other rates",
                blocks=(sweep_table(report.sweep, full=True), *rate_charts(report, report.sweep)),
            )
        )
    if report.whole is not None:
        blocks.append(building_section(report.whole))
    blocks.append(Section(title="Deployment", blocks=(layout_grid(report.deployment), trials_table(report))))
    blocks.append(Section(title="The requests", blocks=(traffic_grid(report),)))
    blocks.append(
        Section(title="Estimates and assumptions it rests on", blocks=estimate_blocks(report))  # type: ignore[arg-type]
    )
    facts = facts_table("", ((used.where, used.fact) for used in report.facts), sources)
    blocks.append(Section(title=f"All {len(report.facts)} facts and their sources", blocks=(facts,), folded=True))
    return tuple(blocks)


def headline(report: TrafficReport) -> Headline:
    """Return the share of requests within both targets, with its band."""
    low, high = report.band
    metric = report.headline
    return Headline(
        label=f"requests with TTFT up to {duration(report.ttft_target_s)}, TPOT up to {duration(report.tpot_target_s)}",
        text=percent(metric.value),
        low_text=percent(low),
        high_text=percent(high),
        low=low,
        value=metric.value,
        high=high,
    )


def condition(report: TrafficReport) -> str:
    """Return whether the fleet keeps up, and how many requests that is said of."""
    from superpod.plan.serving.result import CONDITIONS

    found = report.outcome
    ended = ", ".join(f"{count(number)} {name}" for name, number in found.counts.items() if number)
    stopped = "interrupted: what follows is of the requests that had ended; " if found.interrupted else ""
    hits = f"; {percent(found.hit_frac)} of the prompt tokens were cached" if found.hit_frac else ""
    return f"{stopped}{CONDITIONS[found.condition]}; {ended} in {duration(found.span_s)}{hits}; seed {report.seed}"


def times_table(report: TrafficReport) -> Table:
    """Return the times of the requests that finished, against their targets."""
    columns = (
        Column(label="time"),
        *(Column(label=name, right=True) for name in ("mean", "P50", "P90", "P99")),
        Column(label="P90 if steps are off", right=True, drop=1),
        Column(label="within target", right=True),
    )
    found = report.outcome
    rows = (
        ("to first token", "ttft", found.ttft_met_frac),
        ("  on an idle fleet", "unloaded", None),
        ("  waiting", "waiting", None),
        ("per output token (TPOT)", "tpot", found.tpot_met_frac),
        ("between tokens (ITL)", "itl", None),
        ("whole request", "latency", None),
    )
    return Table(title="", columns=columns, rows=tuple(times_row(report, *row) for row in rows))


def times_row(report: TrafficReport, label: str, name: str, met: float | None) -> tuple[Cell | str, ...]:
    """Return one time."""
    spread: Spread = getattr(report.outcome.times, name)
    band = DASH
    if report.slow is not None and report.quick is not None:
        ends = [getattr(end.times, name).p90_s for end in (report.quick, report.slow)]
        band = f"{duration(ends[0])} to {duration(ends[1])}"
    values = (spread.mean_s, spread.p50_s, spread.p90_s, spread.p99_s)
    return (label, *(duration(value) for value in values), band, DASH if met is None else percent(met))


def classes_table(classes: tuple[LengthClass, ...]) -> Table:
    """Return how requests fare by the length of their prompt."""
    columns = (
        Column(label="prompt up to"),
        Column(label="requests", right=True),
        Column(label="TTFT P50", right=True),
        Column(label="P90", right=True),
        Column(label="idle fleet P50", right=True, drop=1),
        Column(label="within both targets", right=True),
    )
    return Table(title="", columns=columns, rows=tuple(class_row(item) for item in classes))


def class_row(item: LengthClass) -> tuple[Cell | str, ...]:
    """Return one class of lengths."""
    return (
        f"{item.most_tokens:,.0f} tokens" if item.most_tokens < float("inf") else "longer",
        count(item.requests_count),
        duration(item.ttft_p50_s),
        duration(item.ttft_p90_s),
        duration(item.unloaded_p50_s),
        Cell(text=percent(item.met_frac), tone=share_tone(item.met_frac)),
    )


def share_tone(share: float) -> Tone:
    """Return the tone of a share of requests within targets."""
    return "good" if share >= 0.9 else "warn" if share >= 0.5 else "bad"


def sweep_table(sweep: Sweep, *, full: bool) -> Table:
    """Return the fleet at other rates; on a screen those that double."""
    columns = (
        Column(label="requests/s", right=True),
        Column(label="times", right=True, drop=1),
        Column(label="within both targets", right=True),
        Column(label="TTFT P90", right=True),
        Column(label="TPOT P90", right=True),
        Column(label="token/s a card", right=True),
        Column(label="state"),
    )
    shown = [item for item in sweep.points if full or math.log2(item.rate_factor).is_integer()]
    most = f"{significant(sweep.most_per_s)} requests/s" if sweep.most_per_s else "none of these rates"
    note = f"Highest rate with {percent(sweep.wanted_frac)} of the requests within both targets: {most}."
    return Table(title="", columns=columns, rows=tuple(sweep_row(item) for item in shown), footnotes=(note,))


def sweep_row(item: RatePoint) -> tuple[Cell | str, ...]:
    """Return one rate."""
    return (
        significant(item.offered_per_s),
        significant(item.rate_factor),
        Cell(text=percent(item.met_frac), tone=share_tone(item.met_frac)),
        duration(item.ttft_p90_s),
        duration(item.tpot_p90_s),
        significant(item.output_tokens_card_per_s),
        Cell(text=item.condition, tone=CONDITION_TONES[item.condition]),
    )


def pools_table(found: Outcome) -> Table:
    """Return what the pools and the links between them did."""
    columns = (
        Column(label="pool"),
        Column(label="instances", right=True),
        Column(label="ranks each", right=True),
        Column(label="decoding", right=True),
        Column(label="reading", right=True),
        Column(label="both at once", right=True),
        Column(label="requests at a time", right=True),
        Column(label="room", right=True),
    )
    rows = tuple(
        (
            use.name,
            count(use.instances_count),
            count(use.ranks_count),
            percent(use.decode_frac),
            percent(use.prompt_frac),
            percent(use.mixed_frac),
            count(use.held_count) if use.room_count else DASH,
            count(use.room_count) if use.room_count else DASH,
        )
        for use in found.pools
    )
    notes = (
        "Shares of the time in which an instance runs steps of that kind; a pool that decodes runs while anybody is "
        "there, so its fullness is requests against room (those that it decodes within the target).",
        f"Caches fill {percent(found.cache_mean_frac)} of their memory in the mean, {percent(found.cache_peak_frac)} "
        f"at most; links into the decode pool carry {percent(found.transfer_frac)} of what they could.",
        f"{count(found.preempted_count)} preemptions; {percent(found.hit_frac)} of the prompt tokens found in a cache.",
    )
    return Table(title="", columns=columns, rows=rows, footnotes=notes)


def trials_table(report: TrafficReport) -> Table:
    """Return the deployments that were simulated to choose one."""
    columns = (
        Column(label="other deployments, simulated on some of the requests", wraps=True),
        Column(label="within both targets", right=True),
        Column(label="TTFT P90", right=True),
        Column(label="TPOT P90", right=True),
        Column(label="steady state", right=True),
        Column(label="state"),
    )
    shown = report.trials[1 : TRIALS_SHOWN + 1]
    left = len(report.trials) - 1 - len(shown)
    more = f"{left} more: --json."
    return Table(
        title="",
        columns=columns,
        rows=tuple(trial_row(item, report) for item in shown),
        footnotes=(more,) if left > 0 else (),
    )


def trial_row(item: Trial, report: TrafficReport) -> tuple[Cell | str, ...]:
    """Return one deployment."""
    return (
        differing(item.deployment, report.deployment),
        percent(item.met_frac),
        duration(item.ttft_p90_s),
        duration(item.tpot_p90_s),
        quantity(item.steady_tokens_per_s, "token/s"),
        Cell(text=item.condition, tone=CONDITION_TONES[item.condition]),
    )


def traffic_grid(report: TrafficReport) -> Metrics:
    """Return what the requests are like."""
    found = report.traffic
    items = [
        ("requests described", count(found.requests_count)),
        ("rate", f"{significant(found.rate_per_s)} /s"),
        ("busiest minute", f"{significant(found.busiest_minute_per_s)} /s"),
        ("CV of intervals", significant(found.interval_cv_ratio)),
    ]
    for name, lengths in (("prompt", found.prompt), ("output", found.output)):
        items.append((f"{name}, mean", f"{lengths.mean_tokens:,.0f} tokens"))
        items.append((f"{name}, P50", f"{lengths.p50_tokens:,} tokens"))
        items.append((f"{name}, P99", f"{lengths.p99_tokens:,} tokens"))
        items.append((f"{name}, longest", f"{lengths.most_tokens:,} tokens"))
    if found.block_tokens:
        items.append(("of prompts repeated", percent(found.prompt_hit_frac)))
    return Metrics(title="", items=tuple(items))
