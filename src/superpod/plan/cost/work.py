"""What work costs on a machine: tokens in and out while serving, tokens and whole runs of training."""

from dataclasses import dataclass

from superpod.facility.cost_parts import MILLION, Footprint, Running, mtoken_usd
from superpod.plan.cost.result import RunCost, TokenCost
from superpod.plan.machine import Machine
from superpod.plan.scenario import Serving, Training
from superpod.plan.serving.search import Deployment, decode_ranks
from superpod.plan.spread import Spread
from superpod.plan.training.search import Trained
from superpod.plan.whole.result import Left


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a machine does, and what share of its time failures leave for it.

    `in_tokens_per_s` are prompts; `decode_frac` is the share of cards that write answers, where pools are apart.
    """

    kind: str
    sentence: str
    out_tokens_per_s: float
    in_tokens_per_s: float
    decode_frac: float | None
    productive_frac: float


def work_of(
    made: Machine, work: Training | Serving, plan: Trained | Deployment, tokens_per_s: float, left: Left
) -> Work:
    """Return the rates of a plan that a search found, and what failures leave of them."""
    if isinstance(work, Training) or isinstance(plan, Trained):
        return Work(
            kind="train",
            sentence=f"training {made.spec.name}",
            out_tokens_per_s=tokens_per_s,
            in_tokens_per_s=0.0,
            decode_frac=None,
            productive_frac=left.goodput_frac,
        )
    return Work(
        kind="serve",
        sentence=f"serving {made.spec.name}, {work.prompt_tokens:,} tokens in and {work.output_tokens:,} out",
        out_tokens_per_s=tokens_per_s,
        in_tokens_per_s=tokens_per_s / work.output_tokens * work.prompt_tokens,
        decode_frac=_decoding(made, plan),
        productive_frac=left.goodput_frac,
    )


def _decoding(made: Machine, plan: Deployment) -> float | None:
    """Return the share of the cards that decode; None where instances do both."""
    if plan.mode == "aggregated":
        return None
    return plan.decode_instances * float(decode_ranks(plan.decode)) / made.ranks_count


def out_share_frac(work: Work) -> float:
    """Return the share of all money that tokens of output, or of training, pay for."""
    return work.decode_frac if work.decode_frac is not None and work.in_tokens_per_s > 0.0 else 1.0


def token_cost(work: Work, spent: Running, trail: Footprint, wide: Spread) -> TokenCost:
    """Return dollars for a million tokens.

    Pools apart: each pays for its own tokens by its cards. One pool: all is laid on the output, and shown for input
    and output together too. Energy and carbon are per token of output, or of training.
    """
    total, useful = float(spent.total_usd_per_s), work.productive_frac
    rate = work.out_tokens_per_s * useful
    apart = work.decode_frac is not None and work.in_tokens_per_s > 0.0
    share = out_share_frac(work)
    both = work.in_tokens_per_s + work.out_tokens_per_s
    return TokenCost(
        work=work.kind,
        tokens_per_s=work.out_tokens_per_s,
        out_mtoken_usd=float(mtoken_usd(total * share, work.out_tokens_per_s, useful)),
        in_mtoken_usd=float(mtoken_usd(total * (1.0 - share), work.in_tokens_per_s, useful)) if apart else None,
        both_mtoken_usd=float(mtoken_usd(total, both, useful)) if work.kind == "serve" else None,
        energy_mtoken_usd=float(mtoken_usd(spent.energy_usd_per_s, work.out_tokens_per_s, useful)),
        token_energy_j=float(trail.site_w) / rate,
        mtoken_carbon_kg=float(trail.carbon_kg_per_s) / rate * MILLION,
        how="each pool pays for its own tokens" if apart else "all is laid on these tokens",
        spread=wide,
    )


def run_cost(work: Work, tokens_usd: TokenCost, trail: Footprint, tokens: float, water_known: bool) -> RunCost | None:
    """Return a run: time = tokens / (rate x goodput), money by the token, all else by the second; None of no tokens."""
    if not tokens:
        return None
    time_s = tokens / (work.out_tokens_per_s * work.productive_frac)
    millions, wide = tokens / MILLION, tokens_usd.spread
    whole = tokens_usd.out_mtoken_usd * millions
    return RunCost(
        run_tokens=tokens,
        time_s=time_s,
        whole_usd=whole,
        p10_usd=wide.p10 * millions,
        p90_usd=wide.p90 * millions,
        lost_usd=whole * (1.0 - work.productive_frac),
        energy_j=float(trail.site_w) * time_s,
        carbon_kg=float(trail.carbon_kg_per_s) * time_s,
        water_m3=float(trail.water_m3_per_s) * time_s if water_known else None,
    )
