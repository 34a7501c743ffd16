"""Spare policies against brute force: servers drawn up and down, clustered, and the policy played card by card."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.reliability.formulas import correlation, enough_frac
from superpod.reliability.montecarlo import Setting, histories
from superpod.reliability.rates import read_rates
from superpod.reliability.spares import POLICIES, Group, usable

DAY_S = 86_400.0
BOOK = Catalogue().failures("fleet")
RATES = read_rates(FactReader(kind="failures", entry=BOOK), BOOK)
RHO = float(correlation(RATES.down_ratio, RATES.observed_nodes_count))
MOMENTS = 40_000
POD = Group(cards_count=384.0, pod_cards_count=384.0, node_cards_count=8.0, group_cards_count=32.0, down_frac=0.019)
RACK = Group(cards_count=72.0, pod_cards_count=72.0, node_cards_count=4.0, group_cards_count=32.0, down_frac=0.009)
SITE = Group(cards_count=16384.0, pod_cards_count=8.0, node_cards_count=8.0, group_cards_count=8.0, down_frac=0.019)
GROUPS = {"pod": POD, "rack": RACK}
Drawn = npt.NDArray[np.bool_]


def drawn(nodes: int, down_frac: float, moments: int = MOMENTS) -> Drawn:
    """Return which of `nodes` servers are down at each moment: a share drawn from a beta, then each by itself."""
    rng = np.random.default_rng(5)
    size = 1.0 / RHO - 1.0
    share = rng.beta(down_frac * size, (1.0 - down_frac) * size, moments)
    return rng.random((moments, nodes)) < share[:, None]


def played(name: str, group: Group, down: Drawn) -> float:
    """Return the mean share of cards that a job has: the words of each policy, card by card."""
    each, size = int(group.node_cards_count), int(group.group_cards_count)
    nodes = down.shape[1]
    if name == "none":
        return float((~down.any(axis=1)).mean())
    if name == "warm":
        spares = float(usable("warm", group, RATES).spares_count) / each
        return float((down.sum(axis=1) <= spares).mean()) * (1.0 - spares / nodes)
    if name == "in-pod":
        healthy = each * (~down).sum(axis=1)
        return float((healthy // size * size).mean()) / (nodes * each)
    units = size // each
    whole = down[:, : nodes // units * units].reshape(len(down), -1, units)
    left = float((~whole.any(axis=2)).sum(axis=1).mean()) * size
    return left / (whole.shape[1] * size if name == "recabled" else nodes * each)


@pytest.mark.parametrize("name", ["none", "warm", "in-pod", "recabled", "shrink"])
@pytest.mark.parametrize("machine", GROUPS)
def test_a_policy_leaves_what_brute_force_leaves(name: str, machine: str) -> None:
    group = GROUPS[machine]
    nodes = int(group.cards_count / group.node_cards_count)
    found = usable(name, group, RATES)
    assert float(found.used_frac) == pytest.approx(played(name, group, drawn(nodes, float(group.down_frac))), abs=0.006)


def test_a_stand_by_card_a_group_against_brute_force() -> None:
    """33 cards in 4 servers: a group goes on with one card broken, and is lost by a second or by a whole server."""
    group = replace(POD, alone_frac=0.75)
    rng = np.random.default_rng(6)
    size = 1.0 / RHO - 1.0
    one, whole = 0.019 * 0.75 / 8.0, 0.019 * 0.25
    cards = rng.random((MOMENTS, 33)) < rng.beta(one * size, (1.0 - one) * size, MOMENTS)[:, None]
    servers = rng.random((MOMENTS, 4)) < rng.beta(whole * size, (1.0 - whole) * size, MOMENTS)[:, None]
    works = (cards.sum(axis=1) <= 1) & ~servers.any(axis=1)
    assert float(usable("one-more", group, RATES).used_frac) == pytest.approx(works.mean() * 32 / 33, abs=0.006)


@pytest.mark.parametrize("count", range(0, 12, 2))
def test_no_other_number_of_warm_spares_leaves_more(count: int) -> None:
    best = usable("warm", POD, RATES)
    other = usable("warm", replace(POD, standby_nodes_count=count), RATES)
    assert float(other.used_frac) <= float(best.used_frac) + 1e-12


def test_a_small_pod_holds_back_a_twelfth_and_a_large_site_a_fortieth() -> None:
    """4 of 48 servers; waiting 1.6 % of the time costs less than a fifth server. 2,048 servers need 3 to 5 %."""
    small = usable("warm", POD, RATES)
    assert float(small.spares_count) / 8.0 == 4.0
    assert float(small.waiting_frac) == pytest.approx(0.016, abs=0.004)
    assert 0.03 < float(usable("warm", SITE, RATES).reserved_frac) < 0.05


def test_large_sites_keep_their_chance() -> None:
    """Independent blocks of 400, drawn: the gamma's chance is within a point."""
    blocks = drawn(400, 0.019, 4000).sum(axis=1)
    rng = np.random.default_rng(7)
    down = sum(rng.permutation(blocks) for _ in range(5))
    for spares in (40, 60, 80):
        found = float(enough_frac(2000.0, float(spares), 0.019, RATES.down_ratio, RATES.observed_nodes_count))
        assert found == pytest.approx(float((np.asarray(down) <= spares).mean()), abs=0.025)


def setting(group: Group, policy: str) -> Setting:
    """Return a job whose servers are down as often as the group says."""
    down = float(group.down_frac) / (1.0 - float(group.down_frac))
    rate = group.nodes_count * down / float(RATES.repair_mean_s)
    return Setting(
        group=group,
        policy=policy,
        stopping_per_s=rate,
        repaired_frac=1.0,
        lost_s=600.0,
        interval_s=3000.0,
        stall_s=10.0,
        spares_count=float(usable(policy, group, RATES).spares_count) / group.node_cards_count,
        rates=RATES,
    )


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "one-more"])
@pytest.mark.parametrize("machine", GROUPS)
def test_histories_leave_on_average_what_the_closed_form_leaves(name: str, machine: str) -> None:
    """Histories draw repairs in time, the closed form asks a moment: within two points of each other."""
    group = GROUPS[machine]
    found = histories(setting(group, name), 1500, 90.0 * DAY_S, 3)
    assert found.used_frac.mean() == pytest.approx(float(usable(name, group, RATES).used_frac), abs=0.02)


def test_servers_down_at_once_cluster_in_histories_as_in_the_trace() -> None:
    """400 servers, 2.32 % down: 5.9 times the variance of a binomial and a 99th percentile of 31, as the trace has."""
    group = replace(SITE, cards_count=3200.0, down_frac=0.0232)
    job = setting(group, "warm")
    found = histories(job, 4000, DAY_S / 4.0, 3)
    down = found.down_mean_count
    share = down.mean() / 400
    assert share == pytest.approx(0.0232, rel=0.1)
    assert down.var() / (400 * share * (1.0 - share)) == pytest.approx(5.9, rel=0.15)
    assert np.percentile(down, 99.0) == pytest.approx(31, rel=0.2)
