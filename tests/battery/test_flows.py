"""What must hold for any flows on any links: fair rates, bytes kept, bounds, engines alike, classes as single flows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapes import SHAPES, pairs, run
from superpod.fabric.bundle import bundled
from superpod.fabric.flow import FlowResult, Transfers, max_min, simulate
from superpod.fabric.generators import draw
from superpod.fabric.route import Incidence, route
from superpod.fabric.symmetric import uniform
from superpod.fabric.topology import FloatArray, IntArray, Topology
from superpod.fabric.walk import MODES

EVERY_SHAPE = pytest.mark.parametrize("name", SHAPES)


@st.composite
def networks(draw_from: st.DrawFn) -> tuple[Incidence, FloatArray, FloatArray]:
    """Return flows over a few links with rates and sizes; some flows are spread with shares."""
    links = draw_from(st.integers(1, 8))
    flows = draw_from(st.integers(1, 20))
    seed = draw_from(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, links + 1, flows)
    chosen = [rng.permutation(links)[:length] for length in lengths]
    whole = draw_from(st.booleans())
    shares = [np.ones(length) if whole else rng.uniform(0.05, 1.0, length) for length in lengths]
    paths = Incidence(
        start=np.concatenate(([0], np.cumsum(lengths))),
        link=np.concatenate(chosen),
        share_frac=np.concatenate(shares),
        latency_s=np.zeros(flows),
        links_count=links,
    )
    return paths, rng.uniform(0.1, 10.0, links), rng.lognormal(0.0, 1.0, flows)


def solved(paths: Incidence, rates: FloatArray, sizes: FloatArray, engine: str, **more: object) -> FlowResult:
    return simulate(paths, rates, Transfers(size_bytes=sizes), engine=engine, **more)  # type: ignore[arg-type]


@settings(max_examples=80, deadline=None)
@given(networks())
def test_rates_are_max_min_fair(network: tuple[Incidence, FloatArray, FloatArray]) -> None:
    """Each flow crosses a link that is full and on which no flow is faster: the certificate needs no oracle."""
    paths, capacity, _ = network
    flows = len(paths)
    rate, tight = max_min(paths, capacity, np.ones(flows, dtype=bool), np.zeros(flows), np.full(flows, -1))
    load = np.bincount(paths.link, weights=paths.share_frac * rate[paths.flow], minlength=paths.links_count)
    assert np.all(load <= capacity * (1 + 1e-9))
    for flow in range(flows):
        link = tight[flow]
        beside = paths.flow[paths.link == link]
        assert load[link] == pytest.approx(capacity[link], rel=1e-9)
        assert rate[flow] >= rate[beside].max() * (1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(networks())
def test_both_engines_give_the_same_ends(network: tuple[Incidence, FloatArray, FloatArray]) -> None:
    numpy_ends, compiled_ends = (solved(*network, engine).finish_s for engine in ("numpy", "compiled"))
    np.testing.assert_allclose(compiled_ends, numpy_ends, rtol=1e-8)


@settings(max_examples=150, deadline=None)
@given(networks(), st.integers(0, 2**31), st.booleans())
def test_engines_agree_on_beginnings_and_dependencies(
    network: tuple[Incidence, FloatArray, FloatArray], seed: int, equal: bool
) -> None:
    """What the compiled engine leaves alone at an event, numpy solves anew; latencies count before what waits."""
    paths, capacity, sizes = network
    flows = len(paths)
    rng = np.random.default_rng(seed)
    waits = rng.permutation(flows)[: rng.integers(0, flows)]
    after = np.array([(late, rng.integers(0, late)) for late in waits if late], dtype=np.int64).reshape(-1, 2)
    start = np.where(rng.random(flows) < 0.5, 0.0, rng.exponential(1.0, flows))
    sizes = np.where(rng.random(flows) < 0.1, 0.0, 1.0 if equal else sizes)
    paths = replace(paths, latency_s=rng.uniform(0.0, 0.1, flows))
    ends = [
        simulate(paths, capacity, Transfers(size_bytes=sizes, start_s=start, after=after), engine=engine)
        for engine in ("numpy", "compiled")
    ]
    np.testing.assert_allclose(ends[1].finish_s, ends[0].finish_s, rtol=1e-8)
    assert np.all(ends[1].finish_s >= start + paths.latency_s)
    assert np.all(ends[1].finish_s[after[:, 0]] >= ends[1].finish_s[after[:, 1]] * (1 - 1e-12))


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(0, 1000))
def test_the_order_of_flows_and_links_changes_nothing(
    network: tuple[Incidence, FloatArray, FloatArray], seed: int
) -> None:
    paths, capacity, sizes = network
    rng = np.random.default_rng(seed)
    flow_order, link_order = rng.permutation(len(paths)), rng.permutation(paths.links_count)
    moved = [np.arange(paths.start[f], paths.start[f + 1]) for f in flow_order]
    place = np.argsort(link_order)
    other = Incidence(
        start=np.concatenate(([0], np.cumsum([len(part) for part in moved]))),
        link=place[paths.link[np.concatenate(moved)]],
        share_frac=paths.share_frac[np.concatenate(moved)],
        latency_s=np.zeros(len(paths)),
        links_count=paths.links_count,
    )
    plain = solved(paths, capacity, sizes, "numpy").finish_s
    mixed = solved(other, capacity[link_order], sizes[flow_order], "numpy").finish_s
    np.testing.assert_allclose(mixed, plain[flow_order], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(networks(), st.floats(0.01, 100.0))
def test_times_scale_with_bytes_and_rates(network: tuple[Incidence, FloatArray, FloatArray], factor: float) -> None:
    paths, capacity, sizes = network
    plain = solved(paths, capacity, sizes, "numpy").finish_s
    np.testing.assert_allclose(solved(paths, capacity * factor, sizes, "numpy").finish_s, plain / factor, rtol=1e-8)
    np.testing.assert_allclose(solved(paths, capacity, sizes * factor, "numpy").finish_s, plain * factor, rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(networks())
def test_nothing_beats_the_volume_bound(network: tuple[Incidence, FloatArray, FloatArray]) -> None:
    found = solved(*network, "numpy")
    assert found.makespan_s >= found.bound_s * (1 - 1e-9)
    assert np.all(found.link_bytes <= network[1] * found.makespan_s * (1 + 1e-9))


@settings(max_examples=40, deadline=None)
@given(networks())
def test_equal_flows_end_at_the_volume_bound(network: tuple[Incidence, FloatArray, FloatArray]) -> None:
    paths, capacity, _ = network
    found = solved(paths, capacity, np.ones(len(paths)), "numpy")
    assert found.makespan_s == pytest.approx(found.bound_s, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(networks(), st.sampled_from([1e-3, 1e-2, 5e-2]), st.sampled_from(["numpy", "compiled"]))
def test_batches_only_lengthen(
    network: tuple[Incidence, FloatArray, FloatArray], batch_frac: float, engine: str
) -> None:
    """Freed bandwidth is used late, never early; the whole becomes longer by no more than a batch an event."""
    exact, batched = solved(*network, engine), solved(*network, engine, batch_frac=batch_frac)
    assert batched.makespan_s >= exact.makespan_s * (1 - 1e-9)
    assert batched.makespan_s <= exact.makespan_s + exact.bound_s * batch_frac * (exact.solves_count + 1)
    assert batched.solves_count <= exact.solves_count


def conserved(topology: Topology, src: IntArray, dst: IntArray, paths: Incidence) -> None:
    """Assert that each flow leaves its source whole, arrives whole, and keeps its bytes in between."""
    links, nodes = topology.links, topology.nodes_count
    out = np.bincount(paths.flow * nodes + links.src[paths.link], weights=paths.share_frac, minlength=len(src) * nodes)
    into = np.bincount(paths.flow * nodes + links.dst[paths.link], weights=paths.share_frac, minlength=len(src) * nodes)
    balance = (out - into).reshape(len(src), nodes)
    flows = np.arange(len(src))
    np.testing.assert_allclose(balance[flows, src], 1.0, rtol=1e-9)
    np.testing.assert_allclose(balance[flows, dst], -1.0, rtol=1e-9)
    balance[flows, src] = balance[flows, dst] = 0.0
    np.testing.assert_allclose(balance, 0.0, atol=1e-9)


@EVERY_SHAPE
@pytest.mark.parametrize("mode", MODES)
def test_both_engines_find_the_same_paths(name: str, mode: str) -> None:
    """The compiled walk lists a flow's links in another order, and adds up the same shares."""
    topology = draw(SHAPES[name][0])
    src, dst = pairs(len(topology.ranks))
    some = np.random.default_rng(11).permutation(len(src))[:200]
    loads = []
    for engine in ("numpy", "compiled"):
        paths = route(topology, src[some], dst[some], mode, seed=5, engine=engine)
        key = paths.flow * paths.links_count + paths.link
        loads.append(np.bincount(key, weights=paths.share_frac, minlength=len(some) * paths.links_count))
    np.testing.assert_allclose(loads[1], loads[0], rtol=1e-9, atol=1e-12)


@EVERY_SHAPE
@pytest.mark.parametrize("mode", MODES)
def test_every_route_keeps_its_bytes(name: str, mode: str) -> None:
    topology = draw(SHAPES[name][0])
    rng = np.random.default_rng(7)
    src, dst = pairs(len(topology.ranks))
    some = rng.permutation(len(src))[:200]
    conserved(topology, src[some], dst[some], route(topology, src[some], dst[some], mode, seed=3))


@EVERY_SHAPE
def test_classes_end_when_single_flows_do(name: str) -> None:
    """L1 = L2: the last end and the volume bound on every structure, the mean end where classes are exact."""
    fabric, routing = SHAPES[name]
    classes = uniform(fabric)
    assert classes is not None
    by_class = classes.run(1e6)
    topology = draw(fabric)
    small = bundled(topology).topology
    src, dst = pairs(len(topology.ranks))
    single, paths = run(small, src, dst, 1e6, routing)
    ends, class_ends = single.finish_s - paths.latency_s, by_class.finish_s - classes.paths.latency_s
    assert class_ends.max() == pytest.approx(ends.max(), rel=1e-9)
    assert by_class.bound_s == pytest.approx(single.bound_s, rel=1e-9)
    weight = classes.flows_count / classes.flows_count.sum()
    assert weight @ classes.paths.latency_s == pytest.approx(paths.latency_s.mean(), rel=1e-9)
    if classes.exact:
        assert weight @ class_ends == pytest.approx(ends.mean(), rel=1e-9)
        for end, count in zip(class_ends, classes.flows_count, strict=True):
            same = np.isclose(ends, end, rtol=1e-9).sum()
            assert same >= count * len(topology.ranks) * (1 - 1e-9)


@EVERY_SHAPE
def test_bundled_switches_change_nothing_under_spraying(name: str) -> None:
    topology = draw(SHAPES[name][0])
    small = bundled(topology)
    assert small.topology.nodes_count <= topology.nodes_count
    for total, part in ((topology, small.topology),):
        assert part.links.bytes_per_s.sum() == pytest.approx(total.links.bytes_per_s.sum(), rel=1e-12)
    rng = np.random.default_rng(11)
    src, dst = pairs(len(topology.ranks))
    some = rng.permutation(len(src))[:300]
    sizes = rng.lognormal(0.0, 1.0, len(some)) * 1e6
    whole, _ = run(topology, src[some], dst[some], sizes)
    less, _ = run(small.topology, small.node_of[src[some]], small.node_of[dst[some]], sizes)
    np.testing.assert_allclose(less.finish_s, whole.finish_s, rtol=1e-8)


@EVERY_SHAPE
def test_more_bandwidth_never_takes_longer(name: str) -> None:
    fabric, routing = SHAPES[name]
    faster = replace(fabric, tiers=tuple(replace(tier, bytes_per_s=2.0 * tier.bytes_per_s) for tier in fabric.tiers))
    slow, fast = (uniform(one) for one in (fabric, faster))
    assert slow is not None
    assert fast is not None
    assert fast.run(1e6).bound_s == pytest.approx(slow.run(1e6).bound_s / 2.0, rel=1e-12)
    del routing
