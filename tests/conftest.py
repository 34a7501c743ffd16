"""What every test shares: silent numeric faults are errors, and published measurements may be absent."""

import os
from pathlib import Path

import numpy as np
import pytest

# Not in a fixture: parametrised values are computed while tests are collected.
np.seterr(all="raise")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def validation_points() -> Path:
    """The file of published measurements; tests that need it are skipped where it is not at hand."""
    folder = Path(os.environ.get("SUPERPOD_VALIDATION_DATA") or ROOT.parent / "shared" / "data" / "validation")
    points = folder / "points.jsonl"
    if not points.is_file():
        pytest.skip("no published measurements here: point SUPERPOD_VALIDATION_DATA at the folder of points.jsonl")
    return points


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that accepts today's answers as the new goldens."""
    parser.addoption("--update-goldens", action="store_true", help="write tests/golden/goldens.json anew")
