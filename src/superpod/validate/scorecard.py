"""The scorecard: every prediction summed up, beside what trivial models and peers reach, with the limits it exceeds."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from superpod.catalog.read import read_toml
from superpod.validate.bands import Bands, Excess, exceeded
from superpod.validate.prediction import Prediction
from superpod.validate.statistics import (
    Floor,
    Order,
    Ranking,
    Summary,
    by_chip,
    by_quantity,
    by_source,
    floors,
    grouped,
    orders,
    rankings,
    summary,
    worst,
)

PEERS = Path(__file__).parent / "peers.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a peer's authors, or others, print of its accuracy. `mark`: authors, vendor, third-party or measured."""

    name: str
    figure: str
    on: str
    kind: str
    mark: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Everything that `superpod validate` says."""

    points_count: int
    predicted_count: int
    total: Summary
    kinds: tuple[Summary, ...]
    sources: tuple[Summary, ...]
    chips: tuple[Summary, ...]
    rankings: tuple[Ranking, ...]
    orders: tuple[Order, ...]
    floors: tuple[Floor, ...]
    peers: tuple[Peer, ...]
    worst: tuple[Prediction, ...]
    reasons: Mapping[str, int]
    exceeded: tuple[Excess, ...]
    predictions: tuple[Prediction, ...]


def scorecard(rows: Iterable[Prediction], bands: Bands, *, whole: bool) -> Scorecard:
    """Return the scorecard of predictions; `whole` is whether all that the bands were recorded on is there."""
    known = tuple(rows)
    predicted = {row.point for row in known if row.predicted is not None}
    points = {row.point for row in known}
    refused = {row.point: row.reason for row in known if row.point not in predicted}
    return Scorecard(
        points_count=len(points),
        predicted_count=len(predicted),
        total=summary("all", "all", known),
        kinds=grouped(known, by_quantity),
        sources=grouped(known, by_source),
        chips=grouped(known, by_chip),
        rankings=rankings(known),
        orders=orders(known),
        floors=floors(known),
        peers=peers(),
        worst=worst(known),
        reasons=dict(Counter(refused.values()).most_common()),
        exceeded=exceeded(known, bands, whole=whole),
        predictions=known,
    )


@lru_cache(maxsize=1)
def peers() -> tuple[Peer, ...]:
    """Return the published figures of peers."""
    return tuple(Peer(**table) for table in read_toml(PEERS)["peers"])
