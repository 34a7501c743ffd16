"""What must hold for every collective on every structure, whatever its formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import FABRICS, MESHES, STRUCTURES, Level, fabric, level
from superpod.fabric.collectives import COLLECTIVES, LOWER_BOUNDS, collective_time
from superpod.fabric.tiers import Fabric, Group

MESSAGES = np.concatenate([[0.0, 1.0], np.logspace(1, 11, 41)])
EVERY_FABRIC = pytest.mark.parametrize("name", FABRICS)
EVERY_COLLECTIVE = pytest.mark.parametrize("kind", COLLECTIVES)


def groups_of(machine: Fabric) -> list[Group]:
    """Return groups that fit: every power of two, some odd sizes, near and spread out."""
    ranks = machine.ranks_count
    sizes = [
        float(size)
        for size in (2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 32, 60, 64, 65, 100, 128, 256, 512)
        if size <= ranks
    ]
    strides = [float(stride) for stride in (1, 2, 4, 8, 16, 64)]
    return [Group(size=size, stride=stride) for size in sizes for stride in strides if size * stride <= ranks]


def test_every_collective_has_a_bound() -> None:
    assert COLLECTIVES.keys() == LOWER_BOUNDS.keys()


@EVERY_FABRIC
@EVERY_COLLECTIVE
def test_one_rank_sends_nothing(kind: str, name: str) -> None:
    for stride in (1.0, 2.0, 8.0):
        assert collective_time(kind, FABRICS[name], Group(size=1.0, stride=stride), 1e9) == 0.0


@EVERY_FABRIC
@EVERY_COLLECTIVE
def test_more_bytes_never_take_less_time(kind: str, name: str) -> None:
    for group in groups_of(FABRICS[name]):
        spent = np.asarray(collective_time(kind, FABRICS[name], group, MESSAGES))
        assert np.all(np.diff(spent) >= -1e-12 * spent[1:]), group


@pytest.mark.parametrize("kind", sorted(set(COLLECTIVES) - {"all_to_all"}))  # low-latency sends carry S/n to each peer
@pytest.mark.parametrize("name", ["switch", "switch with kernels of serving", "switch with kernels of sglang"])
def test_more_ranks_of_one_switch_never_take_less_time(kind: str, name: str) -> None:
    sizes = np.arange(2.0, FABRICS[name].ranks_count + 1.0)
    for message in MESSAGES:
        spent = np.broadcast_to(collective_time(kind, FABRICS[name], Group(size=sizes), message), sizes.shape)
        assert np.all(np.diff(spent) >= -1e-12 * spent[1:]), message


@EVERY_FABRIC
@EVERY_COLLECTIVE
def test_twice_the_bytes_take_at_most_twice_the_time(kind: str, name: str) -> None:
    """The choice never jumps: between any two sizes time grows at most as bytes do."""
    for group in groups_of(FABRICS[name])[::7]:
        spent = np.asarray(collective_time(kind, FABRICS[name], group, MESSAGES[1:]))
        assert np.all(spent[1:] / spent[:-1] <= MESSAGES[2:] / MESSAGES[1:-1] * (1.0 + 1e-12)), group


@EVERY_FABRIC
@EVERY_COLLECTIVE
def test_never_below_its_bound(kind: str, name: str) -> None:
    for group in groups_of(FABRICS[name]):
        spent = np.asarray(collective_time(kind, FABRICS[name], group, MESSAGES))
        bound = np.asarray(LOWER_BOUNDS[kind](FABRICS[name], group, MESSAGES))
        assert np.all(bound >= 0.0), group
        assert np.all(spent >= bound * (1.0 - 1e-12)), group


@EVERY_FABRIC
@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all"])
def test_no_rank_takes_in_more_than_all_its_links_carry(kind: str, name: str) -> None:
    """Each rank must take in (n - 1)/n of the bytes, and it has the links of all tiers together and no more."""
    machine = FABRICS[name]
    links = sum(tier.bytes_per_s for tier in machine.tiers)
    for group in groups_of(machine):
        spent = np.asarray(collective_time(kind, machine, group, MESSAGES))
        assert np.all(spent >= MESSAGES * (1.0 - 1.0 / group.size) / links * (1.0 - 1e-12)), group


def cut_share(structure: str, dims: tuple[int, ...], axis: int) -> float:
    """Return what crosses the middle of one axis, one direction, as a share of half of all ranks' injection.

    Counted link by link: a full mesh joins every pair along an axis, a mesh neighbours, a torus also the two ends; a
    rank's injection is spread evenly over its ports.
    """
    side, ranks = dims[axis], float(np.prod(dims))
    lines = ranks / side
    if structure == "full_mesh":
        links, ports = (side // 2) * (side - side // 2), sum(dim - 1 for dim in dims)
    else:
        links, ports = 2 if structure == "torus" else 1, 2 * len(dims)
    return lines * links / (ports * ranks / 2.0)


@pytest.mark.parametrize("dims", [(8,), (16,), (4, 2), (8, 8), (4, 4, 4), (8, 4, 2)])
@pytest.mark.parametrize("structure", sorted(MESHES))
def test_all_to_all_is_never_faster_than_the_bisection(structure: str, dims: tuple[int, ...]) -> None:
    """Half of each rank's bytes cross the middle of every axis, whatever the route."""
    ranks = int(np.prod(dims))
    machine = fabric(Level(structure=structure, arity=ranks, dims=dims))
    spent = np.asarray(collective_time("all_to_all", machine, Group(size=float(ranks)), MESSAGES))
    for axis in range(len(dims)):
        bound = MESSAGES / 2.0 / (machine.tiers[0].bytes_per_s * cut_share(structure, dims, axis))
        assert np.all(spent >= bound * (1.0 - 1e-12)), axis
        assert np.all(
            np.asarray(LOWER_BOUNDS["all_to_all"](machine, Group(size=float(ranks)), MESSAGES))
            >= bound * (1.0 - 1.0 / ranks) * (1.0 - 1e-12)
        ), axis


@pytest.mark.parametrize("bisection_frac", [1.0, 0.5, 0.25, 0.05])
@pytest.mark.parametrize("structure", sorted(set(STRUCTURES) - MESHES))
def test_all_to_all_is_never_faster_than_a_tapered_bisection(structure: str, bisection_frac: float) -> None:
    """Half of each rank's bytes cross the middle, which carries a share of half of the ranks' injection."""
    machine = fabric(Level(structure=structure, arity=64, bisection_frac=bisection_frac))
    spent = np.asarray(collective_time("all_to_all", machine, Group(size=64.0), MESSAGES))
    bound = MESSAGES / 2.0 / (bisection_frac * machine.tiers[0].bytes_per_s)
    assert np.all(spent >= bound * (1.0 - 1e-12))


@pytest.mark.parametrize("structure", STRUCTURES)
@EVERY_COLLECTIVE
def test_leaving_a_tier_never_saves_time(kind: str, structure: str) -> None:
    """The same members cost at least as much when they are spread over a much slower tier of the same links.

    Not over one that is a little slower: five members load a line of four; four of them and an outer tier share that.
    """
    machine = fabric(level(structure), level("clos"), slower=32.0)
    for size in (2.0, 3.0, 4.0, 5.0, 8.0):
        inside = np.asarray(collective_time(kind, machine, Group(size=size), MESSAGES))
        for stride in (2.0, 4.0, 8.0):
            if size * stride > 64.0 or size * stride <= 8.0:
                continue
            spread = np.asarray(collective_time(kind, machine, Group(size=size, stride=stride), MESSAGES))
            assert np.all(spread >= inside * (1.0 - 1e-12)), (size, stride)


@EVERY_FABRIC
@EVERY_COLLECTIVE
def test_a_perfect_fabric_is_free(kind: str, name: str) -> None:
    machine = FABRICS[name]
    perfect = Fabric(
        tiers=machine.tiers,
        ranks_per_chip=machine.ranks_per_chip,
        ranks_per_pod=machine.ranks_per_pod,
        pods_count=machine.pods_count,
        ideal=True,
    )
    assert np.all(np.asarray(collective_time(kind, perfect, Group(size=8.0), MESSAGES)) == 0.0)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(COLLECTIVES)),
    name=st.sampled_from(sorted(FABRICS)),
    rows=st.lists(
        st.tuples(st.integers(1, 512), st.integers(0, 9), st.just(0.0) | st.floats(1.0, 1e12)),
        min_size=1,
        max_size=8,
    ),
)
def test_columns_give_what_their_rows_give(kind: str, name: str, rows: list[tuple[int, int, float]]) -> None:
    machine = FABRICS[name]
    fitting = [(min(size, int(machine.ranks_count)), doublings, message) for size, doublings, message in rows]
    sizes = np.array([float(size) for size, _, _ in fitting])
    strides = np.array([2.0 ** min(d, int(np.log2(machine.ranks_count / size))) for size, d, _ in fitting])
    messages = np.array([message for _, _, message in fitting])
    batch = collective_time(kind, machine, Group(size=sizes, stride=strides), messages)
    single = [
        float(collective_time(kind, machine, Group(size=float(size), stride=float(stride)), float(message)))
        for size, stride, message in zip(sizes, strides, messages, strict=True)
    ]
    np.testing.assert_allclose(np.broadcast_to(batch, sizes.shape), single, rtol=1e-12, atol=0.0)
