"""Physical bounds of every answer, for every pod and a model of each kind."""

import numpy as np
import pytest

from superpod.catalog.load import Catalogue
from superpod.compute.cost import roofline_time
from superpod.errors import InfeasibleError, NoBasisError, ScenarioError
from superpod.fabric.collectives import COLLECTIVES, LOWER_BOUNDS
from superpod.fabric.tiers import Group
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.serving import search as serve_search
from superpod.plan.training import search as train_search
from superpod.serve.memory import usable_bytes
from superpod.workload.build import build
from superpod.workload.op import Op
from superpod.workload.phase import decode_phase

CATALOGUE = Catalogue(estimates=True)
PODS = CATALOGUE.names("pods")
MODELS = ("llama-3.1-70b", "gpt-oss-120b", "deepseek-v3")
TRAINING, SERVING = Training(), Serving()


def made(pod: str, model: str, work: Training | Serving) -> Machine:
    return machine(CATALOGUE, Scenario(model=model, pod=pod, work=work))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("pod", PODS)
def test_training_stays_under_the_roofline_and_in_memory(pod: str, model: str) -> None:
    try:
        system = made(pod, model, TRAINING)
        best = train_search.search(system, TRAINING, {}).best
    except (NoBasisError, ScenarioError) as error:
        pytest.skip(str(error))
    if best is None:
        return
    peak = max(system.device.matrix_flop_per_s.values()) * system.ranks_count
    assert best.step.model_flop / best.step.time_s < peak
    assert best.memory.total_bytes <= system.device.memory_bytes
    assert best.ranks_used <= system.ranks_count
    leaves = sum(float(leaf.time_s) for leaf in best.step.term.leaves())
    assert leaves == pytest.approx(float(best.step.time_s), rel=1e-9)
    assert all(float(leaf.time_s) >= 0 for leaf in best.step.term.leaves())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("pod", PODS)
def test_serving_stays_under_the_roofline_and_in_memory(pod: str, model: str) -> None:
    try:
        system = made(pod, model, SERVING)
        best = serve_search.search(system, SERVING, {}).best
    except (InfeasibleError, NoBasisError, ScenarioError) as error:
        pytest.skip(str(error))
    if best is None:
        return
    assert best.tpot_s <= SERVING.tpot_s
    assert best.ttft_s <= SERVING.ttft_s
    budget = usable_bytes(system.engine)
    assert best.decode.memory.total_bytes <= budget
    assert best.prefill.memory.total_bytes <= budget
    layout = best.decode.layout
    phase = decode_phase(best.decode.sequences, SERVING.prompt_tokens + SERVING.output_tokens / 2, 1.0)
    work = build(system.spec, phase, layout.partition, system.precision)
    floor = sum(item.group.count * sum(bound(op, system) for op in item.operators) for item in work.layers)
    assert best.decode.term.time_s >= floor
    assert serve_search.instance_ranks(layout) * best.decode_instances <= system.ranks_count


def bound(op: Op, system: Machine) -> float:
    return float(roofline_time(op, system.device))


@pytest.mark.parametrize("kind", sorted(COLLECTIVES))
@pytest.mark.parametrize("pod", PODS)
def test_no_collective_beats_the_pods_own_links(pod: str, kind: str) -> None:
    fabric = made(pod, "llama-3.1-70b", SERVING).fabric
    size = 2.0 ** np.arange(0, np.floor(np.log2(fabric.ranks_count)) + 1)
    for message in (1e3, 1e6, 1e9):
        spent = COLLECTIVES[kind](fabric, Group(size=size), np.full_like(size, message))
        assert np.all(spent >= LOWER_BOUNDS[kind](fabric, Group(size=size), np.full_like(size, message)) * (1 - 1e-12))
        assert spent[0] == 0.0
