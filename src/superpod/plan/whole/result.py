"""What an answer draws, what failures leave of it, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass

from superpod.facility.cost_parts import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What failures leave: `goodput_frac` of the rate, and shares of all cards' time that are lost, by cause.

    Goodput and losses add up to 1. `policy`: what is kept back for failures and how it is used, or what an instance
    does after one; `stop_s`: mean time between failures that stop the job, or an instance.
    """

    goodput_frac: float
    losses: Mapping[str, float]
    policy: str
    stop_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Power in the mean while the work runs: IT, and the site with the facility's PUE; P10 and P90 of the site.

    `chip_w` is None where nobody has published what the chip draws; `basis` says what stands for it then.
    """

    it_w: float
    site_w: float
    p10_w: float
    p90_w: float
    card_w: float
    chip_w: float | None
    pue_ratio: float
    token_energy_j: float
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """US dollars: a second by part, an hour of a card, a million tokens that failures leave, with P10 and P90."""

    running: Running
    total_usd_per_s: float
    card_hour_usd: float
    mtoken_usd: float
    p10_usd: float
    p90_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What an answer draws, what failures leave of it, what it costs; None where a fact is unpublished: see `lacks`."""

    facility: str
    cards_count: float
    tokens_per_s: float
    failures: Left
    power: Power | None
    money: Money | None
    lacks: tuple[str, ...]

    @property
    def kept_per_s(self) -> float:
        """Tokens a second that failures leave."""
        return self.tokens_per_s * self.failures.goodput_frac
