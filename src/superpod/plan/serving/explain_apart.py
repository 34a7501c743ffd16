"""Words and numbers of a deployment whose attention and feed-forward run on ranks of their own."""

from collections.abc import Mapping
from dataclasses import replace

from superpod.plan.machine import Machine
from superpod.plan.report import Candidate, Metric
from superpod.plan.scenario import Serving
from superpod.plan.serving.search import Deployment, search
from superpod.serve.steady import Apart, Decode
from superpod.units import percent

PLACES = {
    "attention": "attention",
    "feed-forward and experts": "feed-forward",
    "dispatch": "the way to the feed-forward ranks",
    "combine": "the way back to the attention ranks",
    "fill of the pipe": "the fill of the pipe",
    "vocabulary projection": "the vocabulary projection",
    "host": "the host",
    "draft": "the drafts",
}


def split_degrees(one: Decode, apart: Apart) -> dict[str, float]:
    """Return the split in numbers: ranks of both sides, and the micro-batches that follow each other through them."""
    return {
        "attention_ranks": float(one.layout.tensor * one.layout.data),
        "feed_forward_ranks": float(apart.layout.tensor * apart.layout.data),
        "micro_batches": float(apart.parts_count),
    }


def split_words(one: Decode, apart: Apart) -> str:
    """Return the split, what sets its pace, and how busy each place is."""
    sizes = split_degrees(one, apart)
    leaf = max(one.term.leaves(), key=lambda leaf: float(leaf.time_s))
    many = f"{sizes['micro_batches']:,.0f} micro-batch{'es' if sizes['micro_batches'] > 1 else ''}"
    paced = percent(float(leaf.time_s) / float(one.term.time_s))
    near, far, links = (
        percent(float(share))
        for share in (apart.attention_busy_frac, apart.feed_forward_busy_frac, apart.links_busy_frac)
    )
    return (
        f"{sizes['attention_ranks']:,.0f} attention ranks, {sizes['feed_forward_ranks']:,.0f} feed-forward ranks, "
        f"{many}: {paced} of the {one.term.name} waits for {PLACES[leaf.name]}; attention ranks are busy {near}, "
        f"feed-forward ranks {far}, the links between them {links}"
    )


def gain_words(best: Deployment, together: Deployment | None) -> str:
    """Return how the split does against the best deployment without it, in one line."""
    if together is None:
        return "no deployment without the split meets the targets"
    ratio = best.tokens_per_s / together.tokens_per_s
    verb = "gains" if ratio > 1.0005 else "loses" if ratio < 0.9995 else "is even"
    line = f"the split {verb}: {ratio:.2f}x the best deployment without it ({together.mode})"
    if together.mode == "aggregated":
        return line
    return f"{line}, {decode_gain(best, together):.2f}x a rank that decodes"


def decode_gain(best: Deployment, together: Deployment) -> float:
    """Return the rate of a rank that decodes over that of the other deployment, feed-forward ranks counted."""
    return float(best.decode.tokens_per_s_rank) / float(together.decode.tokens_per_s_rank)


def split_notes(machine: Machine, work: Serving, best: Deployment) -> tuple[str, ...]:
    """Return the split of a simulated deployment, and its steady state against the best one without; else nothing."""
    if best.decode.apart is None:
        return ()
    together = search(machine, replace(work, mode="auto"), {}).best
    less = together is not None and together.tokens_per_s > best.tokens_per_s
    cure = " Cure: leave out --mode afd." if less else ""
    return (
        f"The split: {split_words(best.decode, best.decode.apart)}. In the steady state of the mean request "
        f"{gain_words(best, together)}.{cure}",
    )


def split_metrics(machine: Machine, best: Deployment, apart: Apart) -> tuple[Metric, ...]:
    """Return the cards of both sides and how busy they are."""
    each = machine.fabric.ranks_per_chip
    sizes = split_degrees(best.decode, apart)
    near, far = (sizes[name] * best.decode_instances / each for name in ("attention_ranks", "feed_forward_ranks"))
    return (
        Metric(key="attention_cards", label="of them attention", value=near, unit="cards"),
        Metric(key="feed_forward_cards", label="of them feed-forward", value=far, unit="cards"),
        Metric(
            key="attention_busy_frac", label="attention ranks busy", value=float(apart.attention_busy_frac), unit=""
        ),
        Metric(
            key="feed_forward_busy_frac",
            label="feed-forward ranks busy",
            value=float(apart.feed_forward_busy_frac),
            unit="",
        ),
    )


def without(best: Deployment, together: Deployment | None, layout: Mapping[str, float | str]) -> tuple[Candidate, ...]:
    """Return the best deployment without the split as one to compare with."""
    if together is None:
        return ()
    return (Candidate(layout=layout, value=together.tokens_per_s, why=gain_words(best, together)),)
