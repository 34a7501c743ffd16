"""What instances do in a window of a simulation, written down span by span."""

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.layout import Layout
from superpod.plan.machine import machine
from superpod.plan.scenario import Scenario, Serving
from superpod.serve.costs import Settings, step_costs
from superpod.serve.simulation.answer import DOINGS, Simulated
from superpod.serve.simulation.fleet import Fleet, Link, Pool
from superpod.serve.simulation.run import simulate
from superpod.traffic.arrivals import poisson
from superpod.traffic.generate import generated
from superpod.traffic.lengths import Independent, fixed, lognormal_of_mean

LENGTHS = Independent(prompt=lognormal_of_mean(900.0, 3000.0), output=fixed(100))


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    made = machine(Catalogue(), Scenario(model="llama-3.1-8b", pod="hgx-h100", work=Serving(), cards=8))
    pool = Pool(costs=step_costs(made.engine, Layout(), Settings(capacity_tokens=60_000.0)), instances_count=3)
    return Fleet(pool=pool, decode=pool, transfer=Link(bytes_per_s=50e9))


def run(fleet: Fleet, window: tuple[float, float] | None, engine: str = "python") -> Simulated:
    stream = generated(poisson(30.0), LENGTHS, seed=3, requests_count=400)
    return simulate(fleet, stream, engine=engine, window=window)


def test_spans_of_a_whole_run_are_what_instances_were_busy_with(fleet: Fleet) -> None:
    found = run(fleet, (0.0, 1e9))
    spans = found.spans
    assert spans is not None
    steps = spans.doing != DOINGS.index("receives")
    lasted = spans.end_s - spans.begin_s
    for number, use in enumerate(found.instances):
        mine = steps & (spans.instance == number)
        assert float(lasted[mine].sum()) == pytest.approx(use.busy_s, rel=1e-9)
        order = np.argsort(spans.begin_s[mine], kind="stable")
        assert np.all(spans.begin_s[mine][order][1:] >= spans.end_s[mine][order][:-1] - 1e-12)
    assert float(spans.amount_count[~steps].sum()) == pytest.approx(
        float(found.series["transfer_bytes"].sum()), rel=1e-9
    )


def test_a_window_holds_what_touches_it_and_changes_nothing(fleet: Fleet) -> None:
    bare, found = run(fleet, None), run(fleet, (4.0, 6.0))
    assert bare.spans is None
    assert found.spans is not None
    assert len(found.spans.begin_s) > 10
    assert np.all((found.spans.end_s > 4.0) & (found.spans.begin_s < 6.0))
    assert bare.served is not None
    assert found.served is not None
    np.testing.assert_array_equal(bare.served.finish_s, found.served.finish_s)


def test_compiled_writes_the_same_down(fleet: Fleet) -> None:
    pytest.importorskip("numba")
    slow, fast = (run(fleet, (4.0, 6.0), engine).spans for engine in ("python", "compiled"))
    assert slow is not None
    assert fast is not None
    for name in slow.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(slow, name), getattr(fast, name), err_msg=name)
