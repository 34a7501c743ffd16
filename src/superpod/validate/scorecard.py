"""The scorecard: every prediction summed up, beside what trivial models and peers reach, with the limits it exceeds."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from superpod.catalog.load import Catalogue
from superpod.catalog.read import read_toml
from superpod.validate.bands import Bands
from superpod.validate.excess import Excess, exceeded, in_part, without_limit
from superpod.validate.floors import Floor, floors, peaks_of
from superpod.validate.prediction import Prediction
from superpod.validate.rankings import Order, Ranking, orders, rankings
from superpod.validate.statistics import (
    Coverage,
    Summary,
    Tally,
    by_chip,
    by_quantity,
    by_source,
    coverages,
    grouped,
    summary,
    tallies,
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
    """Everything that `superpod validate` says.

    `unlimited` are predicted sources without a recorded limit, `unjudged` those whose limit is of more numbers than are
    predicted here, so that it says nothing.
    """

    points_count: int
    complete_count: int
    predicted_count: int
    tallies: tuple[Tally, ...]
    total: Summary
    kinds: tuple[Summary, ...]
    sources: tuple[Summary, ...]
    chips: tuple[Summary, ...]
    coverages: tuple[Coverage, ...]
    rankings: tuple[Ranking, ...]
    orders: tuple[Order, ...]
    floors: tuple[Floor, ...]
    peers: tuple[Peer, ...]
    worst: tuple[Prediction, ...]
    reasons: Mapping[str, int]
    exceeded: tuple[Excess, ...]
    unlimited: tuple[str, ...]
    unjudged: tuple[str, ...]
    predictions: tuple[Prediction, ...]


def scorecard(
    rows: Iterable[Prediction], bands: Bands, *, whole: bool, catalogue: Catalogue | None = None
) -> Scorecard:
    """Return the scorecard of predictions; `whole` is whether all that the bands were recorded on is there.

    `catalogue` has the peaks of the chips; the shipped one where none is given.
    """
    known = tuple(rows)
    counts = tallies(known)
    predicted = {row.point for row in known if row.predicted is not None}
    refused = {row.point: row.reason for row in known if row.point not in predicted}
    points_count = sum(item.points_count for item in counts)
    return Scorecard(
        points_count=points_count,
        complete_count=points_count - sum(item.incomplete_count for item in counts),
        predicted_count=len(predicted),
        tallies=counts,
        total=summary("all", "all", known),
        kinds=grouped(known, by_quantity),
        sources=grouped(known, by_source),
        chips=grouped(known, by_chip),
        coverages=coverages(known),
        rankings=rankings(known),
        orders=orders(known),
        floors=floors(known, peaks_of(known, catalogue or Catalogue())),
        peers=peers(),
        worst=worst(known),
        reasons=dict(Counter(refused.values()).most_common()),
        exceeded=exceeded(known, bands, whole=whole),
        unlimited=without_limit(known, bands),
        unjudged=() if whole else in_part(known, bands),
        predictions=known,
    )


@lru_cache(maxsize=1)
def peers() -> tuple[Peer, ...]:
    """Return the published figures of peers."""
    return tuple(Peer(**table) for table in read_toml(PEERS)["peers"])
