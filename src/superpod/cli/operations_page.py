"""What running a fleet did, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from superpod.cli.page import Text
from superpod.cli.wording import count, duration, quantity
from superpod.units import percent, significant

if TYPE_CHECKING:
    from superpod.plan.serving.operations_result import Failed, Operated, Scaling
    from superpod.plan.serving.result import Harm, Outcome, TrafficReport

MEASURES = {"queue": "requests that wait", "memory": "of their memory in use", "busy": "of the time busy"}
WAYS = {"peer": "other chips", "host": "host memory", "disk": "disks"}


def failures_cost(report: TrafficReport) -> tuple[Text, ...]:
    """Return what failures cost: the answer without them beside the one with them, then each of them."""
    harm = report.harm
    if harm is None:
        return ()
    each = () if report.operated is None else tuple(failure(item) for item in report.operated.failed)
    return (Text(title="Failures", lines=(without(report.outcome, harm), *each), bullets=bool(each)),)


def without(found: Outcome, harm: Harm) -> str:
    """Return the answer without failures."""
    return (
        f"{count(harm.failures_count)} times an instance fails or becomes slower; without that "
        f"{percent(harm.met_frac)} of the requests would be within both targets "
        f"({100 * (found.met_frac - harm.met_frac):+.1f} points, {count(harm.missed_count)} requests), TTFT P90 "
        f"{duration(harm.ttft_p90_s)}, TPOT P90 {duration(harm.tpot_p90_s)}, {count(harm.finished_count)} finished"
    )


def failure(item: Failed) -> str:
    """Return one failure."""
    cards = f" ({plural(item.cards_count, 'card')})" if item.cards_count > 1 else ""
    back = f"back after {duration(item.down_s)}" if item.down_s is not None else "not back"
    hit = f"{plural(item.instances_count, 'instance')} hit" if item.instances_count else "no instance uses them"
    slow = f", steps take {percent(item.slow_factor - 1.0)} longer" if item.slow_factor > 1.0 else ""
    return f"{item.what} at {duration(item.at_s)}{cards}, {back}: {hit}{slow}; {recovery(item)}"


def recovery(item: Failed) -> str:
    """Return how long a backlog lasted."""
    if not item.backlog_count:
        return "no backlog to speak of"
    built = f"up to {count(item.backlog_count)} more requests under way"
    if item.recover_s is None:
        return f"{built}, not worked off before the next failure or the end"
    return f"{built}, worked off {duration(item.recover_s)} after it"


def operations_text(report: TrafficReport) -> tuple[Text, ...]:
    """Return what the operations did."""
    if report.operated is None:
        return ()
    lines = tuple(sentences(report.operated, report.outcome))
    return (Text(title="Operations", lines=lines, bullets=True),) if lines else ()


def changes(report: TrafficReport) -> bool:
    """Return whether the number of instances changes over time."""
    return report.operated is not None and bool(report.operated.scaling or report.operated.failed)


def sentences(done: Operated, found: Outcome) -> Iterator[str]:
    """Yield what the operations did, one after the other."""
    for item in done.scaling:
        yield scaling(item)
    if done.scaling:
        late = (
            f"; {plural(done.late_count, 'request')} missed a target for the time that instances take to start"
            if done.late_count > 0
            else "; no request missed a target for the time that instances take to start"
        )
        yield f"{significant(done.card_hours_count)} card-hours up, of {significant(done.whole_card_hours_count)}{late}"
    limits = [f"{count(done.queue_limit_count)} waited ahead in their group"] if done.queue_limit_count else []
    limits += [f"they had waited more than {duration(done.queue_limit_s)}"] if done.queue_limit_s else []
    for why in limits:
        share = done.refused_count / max(found.arrived_count, 1)
        yield f"{plural(done.refused_count, 'request')} ({percent(share)}) refused, as {why}"
    swapped = done.moved_bytes["swap"]
    if swapped:
        times = f"{count(done.preempted_count)} preemptions and restarts"
        yield f"{times}: {quantity(swapped, 'B')} of caches swapped to host memory, and as much back"
    elif done.preempted_count:
        yield f"{count(done.preempted_count)} preemptions and restarts, read anew with what they had made"
    elif done.preemption == "swap":
        yield "nobody was preempted: nothing to swap"
    came = [
        f"{quantity(done.moved_bytes[way], 'B')} from {name}" for way, name in WAYS.items() if done.moved_bytes[way]
    ]
    if came:
        yield f"cached prefixes fetched: {', '.join(came)}"
    if done.failed_cards_count:
        yield f"{plural(done.failed_cards_count, 'card')} failed"


def scaling(item: Scaling) -> str:
    """Return how one pool was scaled."""
    who = "instances" if item.pool == "all" else f"instances that {'read' if item.pool == 'prefill' else 'decode'}"
    target = significant(item.target_ratio) if item.measure == "queue" else percent(item.target_ratio)
    return (
        f"{item.fewest_count} to {item.most_count} {who}, {target} {MEASURES[item.measure]} each, looked at every "
        f"{duration(item.every_s)}: {significant(item.up_mean_count)} up in the mean; one starts in "
        f"{duration(item.delay_s)} ({item.delay_basis})"
    )


def plural(number: int, word: str) -> str:
    """Return a number with its word.

    >>> plural(1, "card"), plural(2, "card")
    ('1 card', '2 cards')
    """
    return f"{count(number)} {word}{'' if number == 1 else 's'}"
