"""The hardware of a published point: which pod of the catalogue its words mean, how many cards, which network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from superpod.catalog.load import Catalogue
from superpod.catalog.read import read_toml
from superpod.errors import NoBasisError

ROWS = Path(__file__).parent / "hardware.toml"
BITS_PER_BYTE = 8.0
NODE_CARDS = 8.0  # cards of a node, where a pod of many nodes prints a rate a node without their number
EACH = re.compile(r"(\d+)\s*x\s*(\d+(?:\.\d+)?)\s*Gb(?:/s|ps|it/s)", re.IGNORECASE)
WHOLE = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*Gb(?:/s|ps|it/s)[^,;]*?(?:per|/)[ -]?node", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Words that all stand in a hardware text, and what they mean."""

    words: tuple[str, ...]
    pod: str = ""
    chip: str = ""
    per_card: float = 1.0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a point was measured.

    `cards` are packages, as the catalogue counts them; `network_bytes_per_s` is the scale-out rate of one card where
    the text prints its own, else None.
    """

    pod: str
    chip: str
    cards: float
    network_bytes_per_s: float | None = None


def place_of(catalogue: Catalogue, hardware: str, chips: float, title: str = "") -> Place:
    """Return where `chips` counted units of a source's hardware stand; raise NoBasisError where no entry is known."""
    text = re.sub(r"(\d) gb\b", r"\1gb", hardware.lower())
    fitting = [row for row in _rows() if all(word in text for word in row.words) and row.title in title]
    row = max(fitting, key=lambda item: sum(map(len, item.words)), default=None)
    if row is None or not (row.pod or row.chip):
        raise NoBasisError(f"no pod of the catalogue for {hardware!r}", where="hardware")
    if row.pod and row.pod not in catalogue.names("pods"):
        raise NoBasisError(f"no pod {row.pod!r} for {hardware!r}", where="hardware")
    if not row.pod and row.chip not in catalogue.names("chips"):
        raise NoBasisError(f"no chip {row.chip!r} for {hardware!r}", where="hardware")
    chip = catalogue.pod(row.pod).chip if row.pod else row.chip
    cards = max(1.0, chips / row.per_card)
    return Place(pod=row.pod, chip=chip, cards=cards, network_bytes_per_s=_network(catalogue, row.pod, hardware))


def pod_of(catalogue: Catalogue, hardware: str, chips: float) -> str:
    """Return the pod's id; raise NoBasisError where the catalogue has only the chip, or nothing."""
    place = place_of(catalogue, hardware, chips)
    if not place.pod:
        raise NoBasisError(f"only a bare chip is known for {hardware!r}", where="hardware")
    return place.pod


def catalogue_at(catalogue: Catalogue, place: Place) -> Catalogue:
    """Return the catalogue with the point's own network rate in place of the pod's."""
    if place.network_bytes_per_s is None or not place.pod:
        return catalogue
    if catalogue.pod(place.pod).scale_out is None:
        return catalogue
    own: Mapping[str, float] = {f"pods/{place.pod}:scale_out.bandwidth_bytes_per_s": place.network_bytes_per_s}
    return replace(catalogue, overrides={**own, **catalogue.overrides})


def _network(catalogue: Catalogue, pod: str, hardware: str) -> float | None:
    """Return one card's scale-out rate printed as `8x400 Gb/s` or `800 Gb/s ... per node`, None where none is."""
    if not pod:
        return None
    cards = min(float(catalogue.pod(pod).chips_count), NODE_CARDS)
    each, whole = EACH.search(hardware), WHOLE.search(hardware)
    if each:
        gigabits = float(each[1]) * float(each[2])
    elif whole:
        gigabits = float(whole[1].replace(",", ""))
    else:
        return None
    return gigabits * 1e9 / BITS_PER_BYTE / cards


@lru_cache(maxsize=1)
def _rows() -> tuple[Row, ...]:
    tables = read_toml(ROWS)["rows"]
    return tuple(Row(**{**table, "words": tuple(table["words"])}) for table in tables)
