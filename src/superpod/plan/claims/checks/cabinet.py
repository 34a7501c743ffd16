"""The power of a cabinet, pod by pod: as published, and as the pod's parts make it."""

import numpy as np

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.catalog.schema import Pod
from superpod.errors import MissingFactError, SuperpodError
from superpod.plan.claims.checks.finding import Finding, given, max_power, shown, stated
from superpod.plan.claims.verdict import PodAnswer
from superpod.plan.machine import machine
from superpod.plan.power.site import COOLING, fill, subject
from superpod.plan.scenario import Scenario, Training

MODEL = "llama-3.1-8b"  # any: what parts draw at the limits of the chips does not depend on it


def cabinet_power(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check the power of a cabinet, pod by pod: the least of one-cabinet supernodes, and the least of all."""
    pods = counted(catalogue)
    answers = tuple(answered(catalogue, pod, stated(claim)) for pod in pods)
    known = {pod.name: one.published for pod, one in zip(pods, answers, strict=True) if one.published is not None}
    single = min(known[pod.name] for pod in pods if pod.name in known and cabinets(pod) == 1.0)
    below = [name for name, power in known.items() if power < stated(claim)]
    compute = given(claim, "cloudmatrix384_compute_cabinet_w")
    return Finding(
        arithmetic="maximum over cabinets, and parts at the limits of the chips over cabinets, pod by pod; "
        f"CloudMatrix384's compute cabinet alone {shown(compute, 'W')}",
        computed=single,
        even=min(known.values()),
        because=f"not so for {' and '.join(below)}; {claim.remark}" if below else claim.remark,
        pods=tuple(sorted(answers, key=lambda one: -(one.published or one.computed or 0.0))),
    )


def counted(catalogue: Catalogue) -> tuple[Pod, ...]:
    """Return the pods whose cabinets somebody has counted; cascades are left out."""
    pods = [catalogue.pod(name) for name in catalogue.names("pods")]
    return tuple(pod for pod in pods if pod.power.cabinets_count is not None)


def cabinets(pod: Pod) -> float:
    """Return the cabinets of a pod."""
    return FactReader(kind="pods", entry=pod).number("power.cabinets_count", pod.power.cabinets_count)


def has_published_power(pod: Pod) -> bool:
    """Return whether somebody has said what a pod draws at most; the catalogue's own estimates say nothing here."""
    fact = pod.facts.get("power.max_w")
    return pod.power.max_w is not None and fact is not None and fact.kind != "estimate"


def answered(catalogue: Catalogue, pod: Pod, limit_w: float) -> PodAnswer:
    """Return one pod's answer: by what is published, else by its parts, else none."""
    count = cabinets(pod)
    fact = pod.facts["power.max_w"]
    published = max_power(pod) / count if has_published_power(pod) else None
    computed, why = rated(catalogue, pod)
    watts = published if published is not None else computed
    answer = "refused" if watts is None else "yes" if watts > limit_w else "no"
    if published is None and computed is not None:
        answer += ", by its parts"
    said = [f"mean of {count:g} cabinets"] if count > 1.0 else []
    said += [fact.note] if published is not None and fact.note else []
    said += [why] if why else []
    return PodAnswer(
        pod=pod.name,
        published=published,
        source=(fact.source or fact.kind or "") if published is not None else "",
        computed=computed,
        answer=answer,
        because="; ".join(said),
    )


def rated(catalogue: Catalogue, pod: Pod) -> tuple[float | None, str]:
    """Return what a cabinet draws with all chips at their limits, by its parts; None and why where that is not known.

    Chips, CPUs, boards, switches, modules and losses of supplies, counted as for `superpod power`, under cold plates.
    """
    try:
        own = catalogue.chip(pod.chip)
        FactReader(kind="chips", entry=own).number("power.max_w", own.power.max_w)
        made = machine(catalogue, Scenario(model=MODEL, pod=pod.id, work=Training()))
        about = subject(catalogue, made, COOLING, ())
    except MissingFactError as error:
        return None, f"parts: {error.where} is not published"
    except SuperpodError as error:
        return None, f"parts: {error.message}"
    watts = float(np.ravel(fill(about).machine(about.max_w).power_w)[0]) / cabinets(pod)
    chip = made.chip.facts.get("power.max_w")
    estimated = "the chip's power is an estimate" if chip is not None and chip.kind == "estimate" else ""
    return watts, "; ".join(part for part in (estimated, *(f"without {item}" for item in about.uncounted)) if part)
