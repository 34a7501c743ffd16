"""Power, goodput and cost of an answer as numbers and sentences of its report."""

from superpod.plan.power.work import PHASES
from superpod.plan.report import Metric
from superpod.plan.whole.result import Money, Power, Whole
from superpod.units import DAY_S, percent, significant

MONTH_DAYS = 30.0
LEAST_FRAC = 0.001
CAUSES_SHOWN = 4


def whole_metrics(whole: Whole, work: str) -> tuple[Metric, ...]:
    """Return what an answer draws, keeps and costs, as far as it is known."""
    return (
        *failure_metrics(whole, work),
        *(power_metrics(whole.power, work) if whole.power is not None else ()),
        *(money_metrics(whole.money, work) if whole.money is not None else ()),
    )


def failure_metrics(whole: Whole, work: str) -> tuple[Metric, ...]:
    """Return what failures leave."""
    left = whole.failures.goodput_frac
    if work != "train":
        return (Metric(key="available_frac", label="left by failures", value=left, unit=""),)
    return (
        Metric(key="goodput_frac", label="goodput under failures", value=left, unit=""),
        Metric(key="kept_tokens_per_day", label="tokens a day, kept", value=whole.kept_per_s * DAY_S, unit="token"),
    )


def power_metrics(power: Power, work: str) -> tuple[Metric, ...]:
    """Return power of the site, a card of it, a token of it."""
    token = "a token" if work == "train" else "an output token"
    return (
        Metric(key="site_w", label="site power", value=power.site_w, unit="W"),
        Metric(key="site_w_per_card", label="site power, per card", value=power.card_w, unit="W"),
        Metric(key="energy_j_per_token", label=f"energy of {token}", value=power.token_energy_j, unit="J"),
    )


def money_metrics(money: Money, work: str) -> tuple[Metric, ...]:
    """Return dollars for an hour of a card and for a million tokens."""
    tokens = "million tokens" if work == "train" else "million output tokens"
    band = (money.p10_usd, money.p90_usd)
    return (
        Metric(key="usd_per_card_hour", label="an hour of a card", value=money.card_hour_usd, unit="USD"),
        Metric(key="usd_per_mtoken", label=tokens, value=money.mtoken_usd, unit="USD", band=band),
    )


def lost(whole: Whole) -> str:
    """Return the days of a month that failures take, by cause, the largest first."""
    left = whole.failures
    shown = sorted(((share, cause) for cause, share in left.losses.items() if share > LEAST_FRAC), reverse=True)
    days = significant(MONTH_DAYS * (1.0 - left.goodput_frac), 2)
    parts = [f"{cause} {percent(share)}" for share, cause in shown[:CAUSES_SHOWN]]
    rest = sum(share for share, _ in shown[CAUSES_SHOWN:])
    parts += [f"all else {percent(rest)}"] if rest else []
    said = f"{days} of {MONTH_DAYS:g} days are lost" + (f": {', '.join(parts)}" if parts else "")
    return f"{said}; spares: {left.policy}"


def whole_notes(whole: Whole) -> tuple[str, ...]:
    """Return what is missing, and what stands for the phases where the chip's power is not published."""
    said = list(whole.lacks)
    if whole.power is not None and whole.power.basis != PHASES:
        said.append(
            f"power: the {whole.power.basis} of its pods, whatever they do; nobody has published the chip's "
            "(--estimates takes an estimate, and the phases of the work)"
        )
    return tuple(said)
