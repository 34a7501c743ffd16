"""Random fleets with everything mixed: what must hold whatever serves, and whatever befalls it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from step_samples import costs, tables
from superpod.serve.costs import StepCosts, scaled
from superpod.serve.simulation import columns as c
from superpod.serve.simulation import lives, loop
from superpod.serve.simulation.answer import STATUS, Served, Simulated
from superpod.serve.simulation.fleet import Fleet, Link, Mishap, Pool, Prefixes, Scaler, Store
from superpod.serve.simulation.run import simulate
from superpod.traffic.requests import Trace, starts, trace

SEEDS = st.integers(0, 2**32 - 1)
TARGETS = {"busy": 0.7, "memory": 0.5, "queue": 2.0}


def some_costs(rng: np.random.Generator) -> StepCosts:
    return costs(
        tables(mixed=bool(rng.random() < 0.7), emitted=float(rng.choice([1.0, 1.7]))),
        groups_count=float(rng.integers(1, 4)),
        groups_together=bool(rng.random() < 0.6),
        capacity_tokens=float(rng.choice([4000, 6500, 12_000, 60_000])),
        sequences_max_count=float(rng.choice([2, 8, 64])),
        step_max_tokens=float(rng.choice([256, 2048])),
        state_bytes=float(rng.choice([0.0, 5e6])),
    )


def some_link(rng: np.random.Generator) -> Link:
    return Link(
        bytes_per_s=float(10.0 ** rng.uniform(8.5, 11.0)),
        latency_s=float(rng.choice([0.0, 1e-3, 0.05])),
        overlap_frac=float(rng.choice([0.0, 0.5, 0.98])),
    )


def some_pool(rng: np.random.Generator, *, first: bool) -> Pool:
    count, scaler = int(rng.integers(1, 4)), None
    if rng.random() < 0.3:
        measure: Any = str(rng.choice(list(TARGETS)))
        scaler = Scaler(
            target_ratio=TARGETS[measure],
            measure=measure,
            every_s=0.5,
            delay_s=float(rng.choice([0.0, 1.0])),
            most_count=count + int(rng.integers(0, 3)),
        )
    choices: dict[str, Any] = {
        "preemption": str(rng.choice(["recompute", "swap"])),
        "router": str(rng.choice(["round-robin", "least-load", "prefix-aware", "sticky"])),
    }
    return Pool(
        costs=some_costs(rng),
        instances_count=count,
        block_tokens=int(rng.choice([1, 16, 64])),
        reserves_output=bool(rng.random() < 0.2),
        queue_max_count=int(rng.integers(1, 20)) if first and rng.random() < 0.2 else None,
        queue_max_s=float(rng.choice([0.5, 3.0])) if first and rng.random() < 0.2 else None,
        scaler=scaler,
        **choices,
    )


def some_prefixes(rng: np.random.Generator) -> Prefixes:
    host = Store(capacity_bytes=float(10.0 ** rng.uniform(7.5, 10.0)), link=some_link(rng))
    disk = Store(capacity_bytes=float(10.0 ** rng.uniform(8.0, 11.0)), link=some_link(rng))
    return Prefixes(
        peers=some_link(rng) if rng.random() < 0.5 else None,
        host=host if rng.random() < 0.7 else None,
        disk=disk if rng.random() < 0.5 else None,
    )


def some_fleet(rng: np.random.Generator) -> Fleet:
    pool = some_pool(rng, first=True)
    decode = some_pool(rng, first=False) if rng.random() < 0.5 else None
    total = pool.most_count + (decode.most_count if decode else 0)
    mishaps = tuple(
        Mishap(
            at_s=float(rng.uniform(0.0, 12.0)),
            instance=int(rng.integers(total)),
            down_s=float(rng.choice([0.5, 3.0, 10.0])),
            slow_factor=None if rng.random() < 0.6 else float(rng.uniform(1.0, 2.0)),
            link_factor=float(rng.uniform(1.0, 4.0)),
        )
        for _ in range(int(rng.integers(0, 4)))
    )
    return Fleet(
        pool=pool,
        decode=decode,
        transfer=some_link(rng) if decode else None,
        swap=some_link(rng),
        prefixes=some_prefixes(rng) if rng.random() < 0.5 else None,
        mishaps=mishaps,
    )


def some_load(rng: np.random.Generator) -> Trace:
    """Return requests whose prompts begin like one of few, for a part of their length."""
    count, size, rows = 80, 128, []
    plain = trace(
        np.cumsum(rng.exponential(1.0 / float(rng.choice([5.0, 20.0, 80.0])), count)),
        rng.lognormal(6.5, 1.0, count).astype(int).clip(1, 5000),
        rng.integers(1, 400, count),
        rng.integers(-1, 12, count),
    )
    for number, tokens in enumerate(plain.prompt_tokens):
        blocks = int(-(-tokens // size))
        shared, root = int(rng.integers(0, blocks + 1)), int(rng.integers(6))
        rows.append([root * 100 + n if n < shared else 10_000 + 100 * number + n for n in range(blocks)])
    return replace(
        plain,
        block_start=starts(np.array([len(row) for row in rows])),
        blocks=np.array([item for row in rows for item in row]),
        block_tokens=size,
    )


def drawn(seed: int) -> tuple[Fleet, Trace]:
    rng = np.random.default_rng(seed)
    return some_fleet(rng), some_load(rng)


def served(found: Simulated) -> Served:
    assert found.served is not None
    return found.served


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_every_request_ends_once_and_time_goes_forward(seed: int) -> None:
    fleet, load = drawn(seed)
    found = simulate(fleet, load, engine="python")
    rows, count = served(found), load.requests_count
    assert np.array_equal(rows.number, np.arange(count))
    assert sum(found.counts.values()) == count
    assert found.counts["cut off"] == 0
    done = rows.finished
    assert (done.admitted_s >= done.arrival_s).all()
    assert (done.first_token_s > done.admitted_s).all()
    assert (done.finish_s >= done.first_token_s).all()
    assert (done.hit_tokens < done.prompt_tokens).all()
    assert sum(use.output_tokens for use in found.instances) == done.output_tokens.sum()
    for use in found.instances:
        assert use.busy_s <= use.up_s * (1.0 + 1e-9) + 1e-9
        assert use.up_s <= found.makespan_s * (1.0 + 1e-9)
    inside = float(found.series["in_flight"].sum()) * found.bin_s
    assert inside == pytest.approx(float(rows.latency_s.sum()), rel=1e-6, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_memory_is_never_over_its_room(seed: int) -> None:
    fleet, load = drawn(seed)
    plan = loop.plan

    def watched(w: Any, prices: Any, i: int, now: float) -> None:
        plan(w, prices, i, now)
        p, k = w.instance[i + c.POOL], w.instance[i + c.STEP] + w.instance[i + c.PLAN]
        assert w.hour[i + c.DUE] >= now
        for n in range(w.instance[i + c.GROUPS]):
            g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
            assert 0 <= lives.in_use(w, p, g, k) <= w.pool[p + c.CAPACITY]
            assert 0 <= w.group[g + c.COUNT] <= w.pool[p + c.SEQUENCES]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "plan", watched)
        simulate(fleet, load, engine="python")


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_bytes_handed_over_are_those_of_the_caches(seed: int) -> None:
    fleet, load = drawn(seed)
    decode = replace(fleet.pool, queue_max_count=None, queue_max_s=None)
    pair = replace(fleet, decode=decode, transfer=fleet.swap, mishaps=())
    found = simulate(pair, load, engine="python")
    rows = served(found)
    if not rows.preempted_count.any():
        done = rows.finished
        sizes = pair.pool.costs.token_bytes * done.prompt_tokens + pair.pool.costs.state_bytes
        moved = float(sizes[done.output_tokens > 1].sum())
        assert float(found.series["transfer_bytes"].sum()) == pytest.approx(moved, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_the_same_seed_gives_the_same_answer_compiled_or_not(seed: int) -> None:
    pytest.importorskip("numba")
    fleet, load = drawn(seed)
    slow, fast, again = (simulate(fleet, load, engine=engine) for engine in ("python", "compiled", "compiled"))
    for name in Served.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(served(slow), name), getattr(served(fast), name), err_msg=name)
        np.testing.assert_array_equal(getattr(served(again), name), getattr(served(fast), name), err_msg=name)


def slower(pool: Pool, factor: float) -> Pool:
    wait = None if pool.queue_max_s is None else pool.queue_max_s * factor
    prices = replace(pool.costs, tables=scaled(pool.costs.tables, factor))
    scaler = pool.scaler
    if scaler is not None:
        scaler = replace(scaler, every_s=scaler.every_s * factor, delay_s=scaler.delay_s * factor)
    return replace(pool, costs=prices, queue_max_s=wait, scaler=scaler)


def slow_link(link: Link, factor: float) -> Link:
    return replace(link, bytes_per_s=link.bytes_per_s / factor, latency_s=link.latency_s * factor)


def slow_store(store: Store | None, factor: float) -> Store | None:
    return None if store is None else replace(store, link=slow_link(store.link, factor))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_twice_the_costs_and_gaps_is_twice_the_time(seed: int) -> None:
    """A power of two changes no digit: the times are exactly twice as long, and nothing else changes."""
    fleet, load = drawn(seed)
    prefixes = fleet.prefixes
    if prefixes is not None:
        peers = None if prefixes.peers is None else slow_link(prefixes.peers, 2.0)
        prefixes = Prefixes(peers=peers, host=slow_store(prefixes.host, 2.0), disk=slow_store(prefixes.disk, 2.0))
    twice = replace(
        fleet,
        pool=slower(fleet.pool, 2.0),
        decode=None if fleet.decode is None else slower(fleet.decode, 2.0),
        transfer=None if fleet.transfer is None else slow_link(fleet.transfer, 2.0),
        swap=None if fleet.swap is None else slow_link(fleet.swap, 2.0),
        prefixes=prefixes,
        mishaps=tuple(replace(item, at_s=2.0 * item.at_s, down_s=2.0 * item.down_s) for item in fleet.mishaps),
    )
    one = served(simulate(fleet, load, engine="python"))
    two = served(simulate(twice, replace(load, arrival_s=2.0 * load.arrival_s), engine="python"))
    assert np.array_equal(one.status, two.status)
    assert np.array_equal(one.hit_tokens, two.hit_tokens)
    done = one.status == STATUS.index("finished")
    np.testing.assert_allclose(two.first_token_s[done], 2.0 * one.first_token_s[done], rtol=1e-9)
    np.testing.assert_allclose(two.finish_s, 2.0 * one.finish_s, rtol=1e-9)
