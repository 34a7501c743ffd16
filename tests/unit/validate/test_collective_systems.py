"""Where collectives and operators were measured: rows name what exists, and what was read off the rows themselves."""

import pytest

from superpod.catalog.load import Catalogue
from superpod.validate.collectives import _systems
from superpod.validate.point import shipped_points
from superpod.validate.programs import program, program_number, program_of
from superpod.validate.run import predict_one

CATALOGUE = Catalogue()


def test_systems_name_pods_links_and_programs() -> None:
    for row in _systems():
        assert row.pod in CATALOGUE.names("pods")
        assert program(row.program).launch_s >= 0.0
        assert not row.network or CATALOGUE.link(row.network)
        assert not row.bandwidth or program_number(f"{row.bandwidth}.bandwidth_bytes_per_s") > 0.0


@pytest.mark.parametrize(
    ("title", "launch_s", "in_sample"),
    [("LLMCompass (ISCA 2024) artifact", 29e-6, True), ("InferSim", 0.0, False), ("", 0.0, False)],
)
def test_programs_by_title(title: str, launch_s: float, in_sample: bool) -> None:
    found = program_of(title)
    assert (found.launch_s, found.in_sample) == (launch_s, in_sample)


def test_only_sources_that_gave_a_number_of_their_own_are_in_sample() -> None:
    found: dict[str, bool] = {}
    for point in shipped_points():
        if point.kind in {"operator", "collective"}:
            for row in predict_one(CATALOGUE, point):
                found[row.source] = found.get(row.source, False) or row.in_sample
    marked = {title for title, inside in found.items() if inside}
    assert all(any(word in title for word in ("APEX+", "vTrain", "ML Engineering", "LLMCompass")) for title in marked)
    assert marked
    assert len(marked) < len(found)
