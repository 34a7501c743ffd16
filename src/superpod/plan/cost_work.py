"""What work costs on a machine: tokens in and out while serving, tokens and whole runs of training."""

from dataclasses import dataclass, replace

from superpod.catalog.load import Catalogue
from superpod.facility.cost_parts import MILLION, Footprint, Running, mtoken_usd
from superpod.plan.cost_result import RunCost, TokenCost
from superpod.plan.evaluate import evaluate
from superpod.plan.goodput import GoodputQuestion, goodput_of
from superpod.plan.machine import machine
from superpod.plan.report import Report
from superpod.plan.scenario import Scenario, Serving, Training


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


def worked(catalogue: Catalogue, scenario: Scenario, failures: GoodputQuestion) -> Work:
    """Return a scenario's rates on its machine; a serving instance restarts on a spare server."""
    report = evaluate(catalogue, scenario)
    made = machine(catalogue, scenario)
    if isinstance(scenario.work, Training):
        left = goodput_of(catalogue, made, report.metric("step_s").value, failures)
        return Work(
            kind="train",
            sentence=f"training {made.spec.name}",
            out_tokens_per_s=report.headline.value,
            in_tokens_per_s=0.0,
            decode_frac=None,
            productive_frac=float(left.goodput.goodput_frac),
        )
    left = goodput_of(catalogue, made, 0.0, replace(failures, instance_cards_count=_instance(report)))
    work = scenario.work
    return Work(
        kind="serve",
        sentence=f"serving {made.spec.name}, {work.prompt_tokens:,} tokens in and {work.output_tokens:,} out",
        out_tokens_per_s=report.headline.value,
        in_tokens_per_s=_prompts(report, work),
        decode_frac=_decoding(report),
        productive_frac=float(left.serving.restarted_frac) * (1.0 - left.down_frac),
    )


def _instance(report: Report) -> int:
    """Return the cards of the widest instance: its expert-parallel width, else all."""
    degrees = [float(value) for name, value in report.layout.items() if "expert" in name and not isinstance(value, str)]
    return max(1, round(min(max(degrees, default=report.cards_count), report.cards_count)))


def _prompts(report: Report, work: Serving) -> float:
    return report.metric("requests_per_s").value * work.prompt_tokens


def _decoding(report: Report) -> float | None:
    found = [metric.value for metric in report.metrics if metric.key == "decode_cards"]
    return found[0] / report.cards_count if found else None


def token_cost(work: Work, spent: Running, trail: Footprint) -> TokenCost:
    """Return dollars for a million tokens.

    Pools apart: each pays for its own tokens by its cards. One pool: all is laid on the output, and shown for input
    and output together too. Energy and carbon are per token of output, or of training.
    """
    total, useful = float(spent.total_usd_per_s), work.productive_frac
    rate = work.out_tokens_per_s * useful
    apart = work.decode_frac is not None and work.in_tokens_per_s > 0.0
    share = work.decode_frac if apart and work.decode_frac is not None else 1.0
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
    )


def run_cost(work: Work, total_usd_per_s: float, trail: Footprint, tokens: float, water_known: bool) -> RunCost:
    """Return a run: time = tokens / (rate x goodput), everything else by the second."""
    time_s = tokens / (work.out_tokens_per_s * work.productive_frac)
    whole = total_usd_per_s * time_s
    return RunCost(
        run_tokens=tokens,
        time_s=time_s,
        whole_usd=whole,
        lost_usd=whole * (1.0 - work.productive_frac),
        energy_j=float(trail.site_w) * time_s,
        carbon_kg=float(trail.carbon_kg_per_s) * time_s,
        water_m3=float(trail.water_m3_per_s) * time_s if water_known else None,
    )
