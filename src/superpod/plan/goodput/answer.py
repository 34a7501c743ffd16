"""From a machine to its goodput: composition only; rates come from the catalogue, formulas from `reliability`."""

import hashlib
from dataclasses import replace

import numpy as np

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import UsedFact
from superpod.plan.goodput.result import (
    DomainRow,
    GoodputReport,
    Optics,
    Played,
    PolicyRow,
    QuorumRow,
    Saved,
    ScaleRow,
    SelfCheck,
)
from superpod.plan.goodput.subject import (
    GoodputQuestion,
    Priced,
    Subject,
    best_policy,
    machine_of,
    moved,
    priced,
    setting_of,
    subject_of,
)
from superpod.plan.grounds import package_version
from superpod.plan.machine import Machine
from superpod.plan.spread import Moved, Spread, spread
from superpod.reliability import domains as failing
from superpod.reliability.checkpoint import FIRST_ORDER_MAX, TINY, effective_frac
from superpod.reliability.domains import FailureDomain
from superpod.reliability.formulas import EXACT_MAX
from superpod.reliability.goodput import Goodput
from superpod.reliability.montecarlo import effective_drawn_frac, histories
from superpod.reliability.serving import quorum_frac, serving_availability
from superpod.reliability.spares import MEANING, POLICIES
from superpod.result import Num, pick

__all__ = ["GoodputQuestion", "goodput_of", "goodput_report", "hashed"]

CHECK_FAILURES = 300_000
FIXED = "spare servers, as many as asked for"
CHECK_FRAC = 0.003
SCALE_CARDS = (1, 8, 64, 384, 1024, 4096, 16384, 65536, 165888)


def goodput_report(
    catalogue: Catalogue, pod: str, question: GoodputQuestion, *, pods: int | None = None, cards: int | None = None
) -> GoodputReport:
    """Answer for a pod, several, or some of its cards; raise UnknownNameError, MissingFactError or ScenarioError."""
    return _report(catalogue, machine_of(catalogue, pod, question, pods=pods, cards=cards), question)


def goodput_of(
    catalogue: Catalogue, made: Machine, step_s: float, question: GoodputQuestion | None = None
) -> GoodputReport:
    """Answer for a machine that trains its model in steps of `step_s`."""
    asked = replace(question or GoodputQuestion(), model=made.spec.id, step_s=step_s)
    subject = subject_of(catalogue, (made.pod, made.fabric), made.spec, made.cards_count, asked, made.facts)
    return _report(catalogue, subject, asked)


def _report(catalogue: Catalogue, subject: Subject, question: GoodputQuestion) -> GoodputReport:
    cards = float(subject.site.cards_count)
    book = catalogue.failures(question.book)
    policy = best_policy(subject, question, cards)
    base = priced(subject, question, subject.rates, cards, policy)

    def headline(changes: Moved) -> Num:
        rates = moved(subject.rates, changes, book.id)
        return priced(subject, question, rates, cards, policy).goodput.goodput_frac

    wide = spread(headline, subject.facts, question.seed)
    shares = Goodput(**{name: pick(getattr(base.goodput, name), ()) for name in Goodput.__dataclass_fields__})
    stops = float(base.stopping_per_s)
    instance = float(question.instance_cards_count or min(subject.site.pod_cards_count, cards))
    one = failing.domains(failing.sized(subject.site, instance), subject.rates)
    played = _played(subject, question, base, policy) if question.histories_count else None
    return GoodputReport(
        question=_sentence(subject, question, cards),
        pod=f"{subject.pod.id}@{subject.pod.version}",
        pod_name=subject.pod.name,
        state=subject.pod.state,
        model=subject.spec.id if subject.spec is not None else "",
        book=f"{book.id}@{book.version}",
        cards_count=cards,
        pods_count=subject.pods_count,
        node_cards_count=subject.site.node_cards_count,
        policy=policy,
        goodput=shares,
        losses={label: float(value) for label, value in shares.losses().items()},
        spread=wide,
        mtbf_s=1.0 / stops,
        down_frac=float(base.group.down_frac),
        spares_count=float(base.usable.spares_count),
        saved=Saved(
            size_bytes=float(base.checkpoint.size_bytes) or None,
            stall_s=float(base.checkpoint.stall_s),
            persist_s=float(base.checkpoint.persist_s),
            interval_s=float(shares.interval_s),
            how=base.how,
        ),
        domains=tuple(_row(item) for item in base.found),
        policies=_policies(subject, question, cards),
        scale=_scale(subject, question, cards),
        optics=_optics(subject, base.found),
        serving=serving_availability(
            max(instance / subject.site.node_cards_count, 1.0),
            subject.rates,
            failing.stopping_per_s(one),
            failing.repaired_frac(one),
        ),
        instance_cards_count=instance,
        quorums=_quorums(subject, instance),
        played=played,
        checks=_checks(subject, question, base, shares),
        facts=subject.facts,
        notes=(*_aside(float(shares.goodput_frac), wide), *_notes(subject, question, base)),
        catalogue_hash=hashed(subject.facts),
        version=package_version(),
    )


def _row(item: FailureDomain) -> DomainRow:
    rate = float(item.failure_per_s)
    return DomainRow(
        name=item.name,
        inside=item.inside,
        cause=item.cause,
        crossing=item.crossing,
        quorum=item.quorum,
        instances_count=float(item.instances_count),
        cards_count=float(item.cards_count),
        mtbf_s=1.0 / rate if rate else np.inf,
        all_per_s=float(item.all_per_s),
        stopping_per_s=float(item.stopping_per_s),
        masked_frac=float(item.masked_frac),
    )


def _policies(subject: Subject, question: GoodputQuestion, cards: float) -> tuple[PolicyRow, ...]:
    rows: list[PolicyRow] = []
    for name in POLICIES:
        made = priced(subject, question, subject.rates, cards, name)
        rows.append(
            PolicyRow(
                name=name,
                meaning=FIXED if name == "warm" and question.standby_nodes_count is not None else MEANING[name],
                reserved_frac=float(made.usable.reserved_frac),
                stranded_frac=float(made.usable.stranded_frac),
                goodput_frac=float(made.goodput.goodput_frac),
                spares_count=float(made.usable.spares_count),
            )
        )
    return tuple(rows)


def _scale(subject: Subject, question: GoodputQuestion, cards: float) -> tuple[ScaleRow, ...]:
    """Return the same job on fewer and more cards; parts of the fabric grow with the cards."""
    rows: list[ScaleRow] = []
    for size in sorted({*(float(item) for item in SCALE_CARDS), cards}):
        made = priced(subject, question, subject.rates, size, best_policy(subject, question, size))
        rows.append(
            ScaleRow(
                cards_count=size,
                mtbf_s=float(1.0 / np.asarray(made.stopping_per_s)),
                effective_frac=float(made.goodput.effective_frac),
                goodput_frac=float(made.goodput.goodput_frac),
            )
        )
    return tuple(rows)


def _optics(subject: Subject, found: tuple[FailureDomain, ...]) -> Optics:
    cables = [item for item in found if item.name.endswith("optical cable")]
    return Optics(
        modules_count=float(sum(float(item.module_count) for item in subject.site.links)),
        failures_per_s=float(sum(float(item.all_per_s) for item in cables)),
        stopping_per_s=float(sum(float(item.stopping_per_s) for item in cables)),
        uncounted=failing.uncounted(subject.fabric, subject.parts),
    )


def _quorums(subject: Subject, instance: float) -> tuple[QuorumRow, ...]:
    """Return how often all servers of an instance are up, all but one, and all but two."""
    site = failing.sized(subject.site, instance)
    nodes = int(site.nodes_count)
    if nodes > EXACT_MAX:
        return ()
    down = failing.down_frac(failing.domains(site, subject.rates), site)
    return tuple(
        QuorumRow(needed_count=need, nodes_count=nodes, up_frac=float(quorum_frac(nodes, need, down, subject.rates)))
        for need in range(nodes, max(nodes - 3, 0), -1)
    )


def _played(subject: Subject, question: GoodputQuestion, base: Priced, policy: str) -> Played:
    """Return histories of the job; what planes and silent corruption cost is laid over them as on average."""
    used = float(base.usable.used_frac)
    setting = setting_of(subject, base, policy)
    drawn = histories(setting, question.histories_count, question.length_s, question.seed)
    smooth = float(base.goodput.goodput_frac) / max(float(base.goodput.effective_frac) * used, TINY) if used else 0.0
    p10, p50, p90 = (float(value) for value in np.percentile(drawn.goodput_frac * smooth, (10.0, 50.0, 90.0)))
    return Played(
        histories_count=question.histories_count,
        length_s=question.length_s,
        goodput_p10_frac=p10,
        goodput_p50_frac=p50,
        goodput_p90_frac=p90,
        effective_frac=float(drawn.effective_frac.mean()),
        stops_count=float(drawn.stops_count.mean()),
        down_mean_count=float(drawn.down_mean_count.mean()),
        down_p99_count=float(np.percentile(drawn.down_max_count, 99.0)),
    )


def _checks(subject: Subject, question: GoodputQuestion, base: Priced, shares: Goodput) -> tuple[SelfCheck, ...]:
    """Return what must hold: the closed form against draws, shares that add up, and the direction of rates."""
    stops = float(base.stopping_per_s) * max(float(base.usable.running_frac), 1e-6)
    restart = subject.rates.elastic_restart_s if base.usable.elastic else subject.rates.restart_s
    lost = float(subject.rates.detect_s + restart + base.checkpoint.persist_s)
    times = (stops, lost, float(shares.interval_s), float(base.checkpoint.stall_s))
    closed, drawn = float(effective_frac(*times)), effective_drawn_frac(*times, CHECK_FAILURES, question.seed)
    whole = float(shares.goodput_frac) + sum(float(value) for value in shares.losses().values())
    worse = float(effective_frac(2.0 * stops, *times[1:]))
    return (
        SelfCheck(
            what=f"effective time, closed form against {CHECK_FAILURES:,} drawn failures, within 0.3 point",
            holds=abs(closed - drawn) <= CHECK_FRAC,
            found=closed,
            expected=drawn,
        ),
        SelfCheck(
            what="goodput and losses add up to all time", holds=abs(whole - 1.0) < 1e-9, found=whole, expected=1.0
        ),
        SelfCheck(what="twice the failures leave less", holds=worse < closed <= 1.0, found=worse, expected=closed),
    )


def _sentence(subject: Subject, question: GoodputQuestion, cards: float) -> str:
    what = f"training {subject.spec.id}" if subject.spec is not None else "a training job"
    return f"What do failures leave of {cards:,.0f} cards of {subject.pod.name}, {what}, spares: {question.spares}?"


def _aside(value: float, wide: Spread) -> tuple[str, ...]:
    """Return why a headline lies outside its own range, where it does."""
    if wide.p10 <= value <= wide.p90:
        return ()
    return (
        "the headline is at the facts' values: some stand near an end of their range, so draws of all lie beside it",
    )


def _notes(subject: Subject, question: GoodputQuestion, base: Priced) -> tuple[str, ...]:
    """Return what a reader must know: what is not counted, and where a simpler formula would mislead."""
    found: list[str] = []
    missing = failing.uncounted(subject.fabric, subject.parts)
    if missing:
        found.append(f"not counted: switches or modules of {', '.join(missing)}, whose number is not published")
    times = base.goodput.interval_s / 2.0 + subject.rates.detect_s + subject.rates.restart_s
    load = float(base.stopping_per_s * times)
    if load > FIRST_ORDER_MAX:
        found.append(f"first-order forms do not hold here: failures times (recovery + half an interval) is {load:.2f}")
    if subject.site.cabinet_cards_count <= subject.site.node_cards_count < subject.site.pod_cards_count:
        found.append("cabinets are not published: a shelf and a coolant unit are taken to serve one server")
    group = base.group
    left_over = group.pod_cards_count % group.group_cards_count
    if left_over:
        found.append(
            f"groups of {group.group_cards_count:g} cards leave {left_over:g} of {group.pod_cards_count:g} idle where "
            "they stay in a pod: --group takes another size"
        )
    return tuple(found)


def hashed(facts: tuple[UsedFact, ...]) -> str:
    """Return a short content hash of every fact in use."""
    lines = sorted(f"{used.where}={used.fact.value!r}" for used in facts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
