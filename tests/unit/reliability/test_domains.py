"""Failure domains of a pod, spare policies, and what serving instances lose."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.errors import ScenarioError
from superpod.reliability.domains import Links, Site, domains, down_frac, sized, slowed_frac, stopping_per_s
from superpod.reliability.rates import read_rates
from superpod.reliability.serving import lost_requests_per_s, quorum_frac, serving_availability
from superpod.reliability.spares import POLICIES, Group, usable

DAY_S = 86_400.0
BOOK = Catalogue().failures("fleet")
RATES = read_rates(FactReader(kind="failures", entry=BOOK), BOOK, 2.17e-10)
LINKS = Links(
    tier="pod",
    optical_count=2688.0,
    module_count=5376.0,
    switches_count=112.0,
    parallel_count=16.0,
    unit_cards_count=384.0,
)
SITE = Site(cards_count=384.0, pod_cards_count=384.0, node_cards_count=8.0, cabinet_cards_count=24.0, links=(LINKS,))
GROUP = Group(cards_count=720.0, pod_cards_count=72.0, node_cards_count=4.0, group_cards_count=64.0, down_frac=0.01)


def test_rates_of_the_tree_add_up_to_the_book() -> None:
    tree = [item for item in domains(SITE, RATES) if not item.crossing]
    assert sum(float(item.all_per_s) for item in tree) == pytest.approx(48 * 4.63e-8)


def test_doubling_a_site_doubles_its_failures_and_keeps_its_share_down() -> None:
    twice = sized(SITE, 768.0)
    one, two = domains(SITE, RATES), domains(twice, RATES)
    assert float(stopping_per_s(two)) == pytest.approx(2.0 * float(stopping_per_s(one)), rel=1e-6)
    assert float(down_frac(two, twice)) == pytest.approx(float(down_frac(one, SITE)), rel=1e-6)


def test_masking_turns_stops_into_slowness() -> None:
    seen = domains(SITE, replace(RATES, module_masked_frac=0.0))
    masked = domains(SITE, replace(RATES, module_masked_frac=0.99))
    assert float(stopping_per_s(masked)) < float(stopping_per_s(seen))
    assert float(slowed_frac(masked, SITE, 0.1)) > float(slowed_frac(seen, SITE, 0.1)) == 0.0


def test_either_feed_is_enough() -> None:
    feeds = next(item for item in domains(SITE, RATES) if item.name == "power feeds")
    assert feeds.quorum == "1 of 2"
    assert float(feeds.failure_per_s) < 1e-4 * float(RATES.shared_failure_per_s)


@pytest.mark.parametrize("name", POLICIES)
def test_policies_leave_shares_and_more_failures_leave_less(name: str) -> None:
    good, bad = (usable(name, replace(GROUP, down_frac=share), RATES) for share in (0.001, 0.05))
    assert 0.0 <= float(bad.used_frac) < float(good.used_frac) <= 1.0


def test_64_of_72_holds_back_an_eighth_and_strands_little() -> None:
    found = usable("in-pod", GROUP, RATES)
    assert float(found.reserved_frac) == pytest.approx(8 / 72)
    assert float(found.stranded_frac) < 0.01


@given(share=st.floats(1e-4, 0.2))
def test_columns_of_policies_are_their_rows(share: float) -> None:
    together = usable("in-pod", replace(GROUP, down_frac=np.array([share, 0.01])), RATES)
    alone = usable("in-pod", replace(GROUP, down_frac=share), RATES)
    assert float(np.asarray(together.stranded_frac)[0]) == pytest.approx(float(alone.stranded_frac))


def test_unknown_policies_and_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'warm'"):
        usable("worm", GROUP, RATES)
    with pytest.raises(ScenarioError, match="do not fit a pod"):
        usable("in-pod", replace(GROUP, group_cards_count=128.0), RATES)


def test_waiting_for_repairs_costs_wide_instances_a_third() -> None:
    """EP320 on 20 servers at 4.2 failures in 1,000 node-days."""
    rate = 20 * 4.2e-3 / DAY_S
    found = serving_availability(20.0, replace(RATES, serving_restart_s=348.0, repair_mean_s=5.5 * DAY_S), rate)
    assert float(found.waiting_frac) == pytest.approx(1.0 - 0.32, abs=0.005)
    assert float(found.restarted_frac) == pytest.approx(1.0 - 0.0003, abs=5e-5)
    assert lost_requests_per_s(1000.0, rate) == pytest.approx(1000.0 * rate)


def test_a_smaller_quorum_is_met_more_often() -> None:
    assert quorum_frac(20, 18, 0.02, RATES) > quorum_frac(20, 20, 0.02, RATES)
    assert float(quorum_frac(20, 0, 0.02, RATES)) == pytest.approx(1.0)
