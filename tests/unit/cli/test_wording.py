"""Numbers as people read them, and answers as JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.cli.facts import short_name
from superpod.cli.jsonform import dumps, to_json
from superpod.cli.wording import DASH, fact_text, quantity, span, unit_of
from unit.cli import samples


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "W", DASH),
        (float("nan"), "W", DASH),
        (1.9e6, "W", "1.90 MW"),
        (0.0493, "s", "49.3 ms"),
        (86_400.0 * 40, "s", "40.0 days"),
        (0.2171, "", "21.7 %"),
        (14_980.0, "", "14,980"),
        (1.0, "count", "1"),
        (302_138.4, "token/s", "302,138 token/s"),
        (2.5e8, "token/s", "250 Mtoken/s"),
        (295.0, "1/s", "295 /s"),
        (4.1e-7, "USD/token", "0.410 USD/M tokens"),
        (2.5e7, "USD", "25.0 million USD"),
    ],
)
def test_quantities(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("pods/a:power.max_w", "W"),
        ("chips/a:matrix_flop_per_s.bf16", "FLOP/s"),
        ("tiers.pod.bandwidth_bytes_per_s", "B/s"),
        ("memory.capacity_bytes", "B"),
        ("tiers.pod.latency_s", "s"),
        ("tiers.pod.bisection_frac", ""),
        ("price.usd", "USD"),
        ("electricity_usd_per_j", "USD/J"),
        ("chips_count", "count"),
    ],
)
def test_units_come_from_the_path(path: str, unit: str) -> None:
    assert unit_of(path) == unit


def test_every_fact_of_the_catalogue_has_words() -> None:
    catalogue = Catalogue()
    for kind, read in (("pods", catalogue.pod), ("chips", catalogue.chip), ("facilities", catalogue.facility)):
        for name in catalogue.names(kind):
            for path, fact in read(name).facts.items():
                assert fact_text(path, fact.value)
                assert span(path, fact.low, fact.high)
                assert short_name(path)


def test_json_keeps_field_names_and_knows_no_infinity() -> None:
    document = json.loads(dumps("serve", {"report": samples.REPORT, "sources": samples.SOURCES}))
    assert document["schema"] == 1
    assert document["verb"] == "serve"
    report = document["report"]
    assert report["headline"] == {
        "key": "output_tokens_per_s_card",
        "label": "Output tokens per second and card",
        "value": 1943.4,
        "unit": "token/s",
        "band": None,
    }
    assert report["band"] == [1655.0, 2210.0]
    assert report["breakdowns"][1]["parts"][0]["parts"][0]["time_s"] == 0.0139
    assert report["facts"][5]["fact"]["missing"] is True
    assert document["sources"]["paper"]["title"] == "Serving LLMs <fast> & wide"


def test_json_of_numpy_and_paths() -> None:
    answer = {"a": np.float64(1.5), "b": np.array([1, 2]), "c": Path("x/y"), "d": float("inf"), "e": {"y", "x"}}
    expected = {"a": 1.5, "b": [1, 2], "c": str(Path("x/y")), "d": None, "e": ["x", "y"]}
    assert to_json(answer) == expected


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        to_json(object())
