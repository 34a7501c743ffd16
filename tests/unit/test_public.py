"""The public names are there, are those that the module promises, and cost nothing until used."""

import subprocess
import sys

import pytest

import superpod


def test_every_promised_name_is_bound_and_has_its_home() -> None:
    assert sorted(superpod.__all__) == sorted(superpod._HOMES)
    assert {getattr(superpod, name).__module__ for name in superpod.__all__} == set(superpod._HOMES.values())
    assert set(superpod.__all__) <= set(dir(superpod))


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, superpod; print(sorted({'numpy', 'pydantic', 'rich', 'click'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'supernode'"):
        superpod.supernode  # noqa: B018


def test_a_question_in_python() -> None:
    work = superpod.Serving(prompt_tokens=2048, output_tokens=512)
    report = superpod.evaluate(
        superpod.Catalogue(), superpod.Scenario(model="llama-3.1-70b", pod="hgx-h200", work=work)
    )
    assert report.headline.value > 0
    assert report.band[0] < report.headline.value < report.band[1]
