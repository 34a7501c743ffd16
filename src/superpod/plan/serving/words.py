"""What limits a fleet, in a sentence, and what would help."""

from superpod.plan.scenario import Serving
from superpod.plan.serving.result import CONDITIONS, Cause, Outcome, PoolUse, Sweep
from superpod.units import human, percent

RARE_FRAC = 0.01
IDLE_FRAC = 0.3
REMEDIES = {
    "alone": "prefill instances that read one prompt faster (more ranks each), a prefix cache, or a looser TTFT",
    "waiting": "more prefill instances, or fewer requests",
    "decode": "more decode instances, smaller batches, or a looser TPOT",
    "refused": "longer queues or more instances",
    "too-long": "instances with more memory for caches",
    "failed": "spare instances",
    "cut-off": "a longer run",
}


def binding(found: Outcome, work: Serving) -> str:
    """Return what limits: the commonest reason for a missed target, or what is fullest where nearly none is missed."""
    state = f"{'; '.join(load(use) for use in found.pools)}; caches fill {percent(found.cache_peak_frac)} at most"
    if found.condition == "overloaded":
        return f"overloaded, {CONDITIONS['overloaded']}: {state}"
    if not found.causes or found.causes[0].share_frac < RARE_FRAC:
        return f"nothing: {met(found)} meet both targets; {state}"
    first = found.causes[0]
    return f"{percent(first.share_frac)} of the requests miss because {reason(first, work)}; {state}"


def met(found: Outcome) -> str:
    """Return how many requests meet both targets, in words."""
    return "all" if found.met_frac == 1.0 else f"all but {percent(1.0 - found.met_frac)}"


def load(use: PoolUse) -> str:
    """Return how full a pool is."""
    who = "instances" if use.name == "all" else f"the {use.name} pool"
    if not use.room_count:
        return f"{who} reads {percent(use.busy_frac)} of the time"
    verb = "decode" if use.name == "all" else "decodes"
    return f"{who} {verb} {use.held_count:,.0f} requests at a time, with room for {use.room_count:,.0f}"


def reason(cause: Cause, work: Serving) -> str:
    """Return a reason with its target."""
    target = {"alone": work.ttft_s, "waiting": work.ttft_s, "decode": work.tpot_s}.get(cause.code)
    if target is None:
        return f"they were {cause.what}"
    return f"{cause.what} ({human(target, 's')})"


def advice(found: Outcome, work: Serving, rates: Sweep | None, cards_count: float) -> tuple[str, ...]:
    """Return what an architect would do next."""
    lines = [
        f"{percent(cause.share_frac)}: {reason(cause, work)}. Cure: {REMEDIES[cause.code]}."
        for cause in found.causes
        if cause.share_frac >= 0.005
    ]
    if found.condition != "overloaded" and max(use.load_frac for use in found.pools) < IDLE_FRAC:
        lines.append("The machine is mostly idle: fewer cards may do (--cards), or several such streams fit.")
    if rates is not None and rates.most_per_s:
        spare = rates.most_per_s / found.offered_per_s
        need = cards_count / spare
        lines.append(
            f"It serves up to {rates.most_per_s:.3g} requests/s with {percent(rates.wanted_frac)} within targets, "
            f"{spare:.2g} times this traffic: about {need:.0f} cards a stream like this one."
        )
    return tuple(lines)
