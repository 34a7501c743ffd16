"""From points to predictions: what is refused, and which points differ in the hardware alone."""

from collections.abc import Mapping
from dataclasses import replace

from superpod.catalog.load import Catalogue
from superpod.validate.bands import Bands
from superpod.validate.point import Point, shipped_points
from superpod.validate.rankings import FORMAT
from superpod.validate.run import predict, predict_one, twin_of
from superpod.validate.scorecard import scorecard


def served(config: Mapping[str, object], hardware: str = "H200") -> Point:
    case = next(point for point in shipped_points() if point.kind == "inference")
    return replace(case, config=config, hardware=hardware)


def test_twins_differ_in_hardware_and_number_format_alone() -> None:
    old = served({"isl": 128, "tp": 1, "quantisation": "FP8"})
    new = served({"isl": 128, "tp": 1, "quantisation": "FP4"}, "B200")
    longer = served({"isl": 256, "tp": 1, "quantisation": "FP8"})
    work, other, third = (twin_of(point, "tpot").partition(FORMAT) for point in (old, new, longer))
    assert work[0] == other[0] != third[0]
    assert (work[2], other[2]) == ("FP8", "FP4")


def test_a_shipped_case_completes_a_point_of_its_id_and_source() -> None:
    case = shipped_points()[0]
    bare = replace(case, complete=False, missing=("everything",), config={})
    assert predict_one(Catalogue(), bare) == predict_one(Catalogue(), case)
    assert predict_one(Catalogue(), replace(bare, url="elsewhere"))[0].reason == "incomplete: everything"


def test_refused_and_incomplete_points_are_all_counted() -> None:
    cases = [point for point in shipped_points() if point.id.startswith("seqsel-")][:3]
    lacking = replace(cases[0], id="unheard of", complete=False, missing=("tp",), metric="some words")
    unknown = replace(cases[1], hardware="abacus", metric="other words")
    assert predict_one(Catalogue(), lacking)[0].reason == "incomplete: tp"
    card = scorecard(predict(Catalogue(), [lacking, unknown, cases[2]]), Bands(), whole=False)
    assert (card.points_count, card.complete_count, card.predicted_count) == (3, 2, 1)
    assert sum(item.refused_count for item in card.tallies) == card.points_count - card.predicted_count
