"""Whole answers as they were: a change in any of them is meant, and told in the changelog.

pytest tests/golden --update-goldens
"""

import json
from pathlib import Path
from typing import Any

import pytest

from superpod.catalog.load import Catalogue
from superpod.plan.evaluate import evaluate
from superpod.plan.report import Report
from superpod.plan.scenario import Scenario, Serving, Training

GOLDENS = Path(__file__).parent / "goldens.json"
ESTIMATES = Catalogue(estimates=True)
PUBLISHED = Catalogue()
RTOL = 1e-9

LONG = Training(batch_sequences=15360)
QUICK = Serving(prompt_tokens=1024, output_tokens=256, ttft_s=1.0, tpot_s=0.02)
DRAFTS = Serving(draft_tokens=1)
SCENARIOS: dict[str, tuple[Catalogue, Scenario]] = {
    "train deepseek-v3 on 2,048 H800": (
        PUBLISHED,
        Scenario(model="deepseek-v3", pod="hgx-h800", cards=2048, work=LONG),
    ),
    "train llama-3.1-405b on 16 NVL72": (
        PUBLISHED,
        Scenario(model="llama-3.1-405b", pod="gb200-nvl72", pods=16, work=LONG),
    ),
    "train gpt3-175b on CloudMatrix384": (
        PUBLISHED,
        Scenario(model="gpt3-175b", pod="cloudmatrix384", work=Training()),
    ),
    "train deepseek-v3 on Atlas 950": (PUBLISHED, Scenario(model="deepseek-v3", pod="atlas950-1024", work=Training())),
    "train moe-10t on 432 pods": (PUBLISHED, Scenario(model="moe-10t", pod="cloudmatrix384-x432", work=LONG)),
    "train gpt-oss-120b on Ironwood": (
        PUBLISHED,
        Scenario(model="gpt-oss-120b", pod="ironwood-9216", cards=1024, work=LONG),
    ),
    "train qwen3-235b-a22b on UB-Mesh": (
        ESTIMATES,
        Scenario(model="qwen3-235b-a22b", pod="ub-mesh-1024", work=Training()),
    ),
    "serve deepseek-r1 with drafts on CloudMatrix384": (
        PUBLISHED,
        Scenario(model="deepseek-r1", pod="cloudmatrix384", work=DRAFTS),
    ),
    "serve llama-3.1-70b on H200": (PUBLISHED, Scenario(model="llama-3.1-70b", pod="hgx-h200", work=Serving())),
    "serve kimi-k2 on GB300": (PUBLISHED, Scenario(model="kimi-k2", pod="gb300-nvl72", work=Serving())),
    "serve deepseek-v3.2 on 96 H100": (
        PUBLISHED,
        Scenario(model="deepseek-v3.2", pod="hgx-h100", cards=96, work=Serving()),
    ),
    "serve gpt-oss-120b quickly on B200": (PUBLISHED, Scenario(model="gpt-oss-120b", pod="hgx-b200", work=QUICK)),
    "serve qwen3-32b on Trainium3": (PUBLISHED, Scenario(model="qwen3-32b", pod="trn3-ultraserver", work=Serving())),
    "serve glm-4.5 on AL128": (ESTIMATES, Scenario(model="glm-4.5", pod="panjiu-al128", work=Serving())),
}


def essence(report: Report) -> dict[str, Any]:
    """Return what a reader would notice: numbers, breakdowns, memory, layout and the binding limit."""
    return {
        "headline": report.headline.value,
        "band": list(report.band),
        "metrics": {item.key: item.value for item in report.metrics},
        "breakdowns": {
            f"{term.name}: {leaf.name}": float(leaf.time_s) for term in report.breakdowns for leaf in term.leaves()
        },
        "memory": {f"{pool}: {share.name}": share.amount_bytes for pool, parts in report.memory for share in parts},
        "layout": dict(report.layout),
        "binding": report.binding,
        "considered": report.considered_count,
        "feasible": report.feasible_count,
    }


@pytest.fixture(scope="module")
def goldens(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.config.getoption("--update-goldens"):
        made = {name: essence(evaluate(*question)) for name, question in SCENARIOS.items()}
        GOLDENS.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    kept: dict[str, Any] = json.loads(GOLDENS.read_text(encoding="utf-8"))
    return kept


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_answer_is_what_it_was(goldens: dict[str, Any], name: str) -> None:
    differences = list(compared(goldens[name], essence(evaluate(*SCENARIOS[name])), name))
    assert not differences, "\n".join(differences)


def test_no_golden_is_left_over(goldens: dict[str, Any]) -> None:
    assert goldens.keys() == SCENARIOS.keys()


def compared(was: Any, now: Any, where: str) -> Any:
    """Yield what differs, place by place."""
    if isinstance(was, dict):
        for key in sorted({*was, *now}):
            yield from compared(was.get(key), now.get(key), f"{where} / {key}")
    elif isinstance(was, list):
        for number, (old, new) in enumerate(zip(was, now, strict=True)):
            yield from compared(old, new, f"{where}[{number}]")
    elif isinstance(was, float) and isinstance(now, int | float):
        if now != pytest.approx(was, rel=RTOL, abs=1e-15):
            yield f"{where}: was {was!r}, is {now!r}"
    elif was != now:
        yield f"{where}: was {was!r}, is {now!r}"
