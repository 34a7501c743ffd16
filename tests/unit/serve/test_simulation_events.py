"""What can happen to a request, told by a hand-worked number, an invariant, or a slower simulation."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from step_samples import costs, tables
from superpod.errors import ScenarioError
from superpod.serve.simulation import columns as c
from superpod.serve.simulation import lives, loop, shelf
from superpod.serve.simulation.answer import Served, Simulated
from superpod.serve.simulation.build import world
from superpod.serve.simulation.fleet import Fleet, Link, Mishap, Pool, Prefixes, Scaler, Store
from superpod.serve.simulation.run import simulate
from superpod.serve.step_tables import decode_span, mixed_step, prompt_pass, read_chunk
from superpod.traffic.requests import ClosedLoop, Trace, pieces_of, starts, trace

FAST = Link(bytes_per_s=1e11, latency_s=1e-3, overlap_frac=0.9)


def served(found: Simulated) -> Served:
    assert found.served is not None
    return found.served


def load(count: int = 400, rate: float = 30.0, seed: int = 0, prompt: int = 3000, output: int = 300) -> Trace:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    return trace(times, rng.integers(1, prompt, count), rng.integers(1, output, count), rng.integers(-1, 20, count))


def with_prefixes(requests: Trace, seed: int = 0, roots: int = 12, size: int = 128) -> Trace:
    """Return requests whose prompts begin like one of few, for a part of their length."""
    rng, rows, following = np.random.default_rng(seed), [], 10_000
    for tokens in requests.prompt_tokens:
        blocks = int(-(-tokens // size))
        shared, root = int(rng.integers(0, blocks + 1)), int(rng.integers(roots))
        rows.append([root * 100 + n if n < shared else following + n for n in range(blocks)])
        following += blocks
    return Trace(
        arrival_s=requests.arrival_s,
        prompt_tokens=requests.prompt_tokens,
        output_tokens=requests.output_tokens,
        session=requests.session,
        block_start=starts(np.array([len(row) for row in rows])),
        blocks=np.array([item for row in rows for item in row]),
        block_tokens=size,
    )


SMALL: dict[str, Any] = {"capacity_tokens": 12_000.0}
TIERS = Prefixes(
    peers=Link(bytes_per_s=1e11),
    host=Store(capacity_bytes=4e9, link=Link(bytes_per_s=2e10, latency_s=1e-4)),
    disk=Store(capacity_bytes=1e12, link=Link(bytes_per_s=2e9)),
)


def fleets() -> dict[str, Fleet]:
    plain, small, many = costs(), costs(**SMALL), costs(groups_count=4.0, **SMALL)
    drafts = costs(tables(emitted=1.7), **SMALL)
    turns = costs(tables(mixed=False))
    return {
        "one": Fleet(pool=Pool(costs=plain)),
        "four": Fleet(pool=Pool(costs=plain, instances_count=4, router="least-load")),
        "in turns": Fleet(pool=Pool(costs=turns, instances_count=2)),
        "prompts first": Fleet(pool=Pool(costs=plain, instances_count=2, order="prompts-first")),
        "recompute": Fleet(pool=Pool(costs=small, instances_count=2, block_tokens=16)),
        "swap": Fleet(pool=Pool(costs=drafts, instances_count=2, preemption="swap"), swap=FAST),
        "reserved": Fleet(pool=Pool(costs=small, instances_count=2, reserves_output=True)),
        "groups": Fleet(pool=Pool(costs=many, router="least-load", block_tokens=16)),
        "sticky": Fleet(pool=Pool(costs=plain, instances_count=3, router="sticky")),
        "apart": Fleet(
            pool=Pool(costs=small, instances_count=3),
            decode=Pool(costs=many, router="least-load"),
            transfer=FAST,
        ),
        "apart, swap": Fleet(
            pool=Pool(costs=plain),
            decode=Pool(costs=drafts, instances_count=2, preemption="swap"),
            transfer=FAST,
            swap=FAST,
        ),
        "prefixes": Fleet(pool=Pool(costs=small, instances_count=3, router="prefix-aware"), prefixes=TIERS),
        "prefixes apart": Fleet(
            pool=Pool(costs=small, instances_count=2),
            decode=Pool(costs=small, instances_count=2),
            transfer=FAST,
            prefixes=TIERS,
        ),
        "mishaps": Fleet(
            pool=Pool(costs=small, instances_count=3),
            decode=Pool(costs=many, instances_count=2),
            transfer=FAST,
            prefixes=Prefixes(),
            mishaps=(
                Mishap(at_s=2.0, instance=0, down_s=3.0),
                Mishap(at_s=3.0, instance=4, down_s=2.0),
                Mishap(at_s=4.0, instance=3, down_s=5.0, slow_factor=1.5),
            ),
        ),
        "scaled": Fleet(
            pool=Pool(costs=small, scaler=Scaler(target_ratio=2.0, every_s=0.5, delay_s=1.0, most_count=4)),
        ),
    }


EVERY_FLEET = pytest.mark.parametrize("name", fleets())


def asked(name: str, **options: Any) -> Trace:
    requests = load(**options)
    return with_prefixes(requests) if fleets()[name].prefixes is not None else requests


def same(one: Served, other: Served, rel: float = 0.0) -> None:
    for name in Served.__dataclass_fields__:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rel, atol=0.0, err_msg=name)


@EVERY_FLEET
def test_every_request_ends_once_with_its_tokens(name: str) -> None:
    requests = asked(name)
    found = simulate(fleets()[name], requests)
    rows = served(found)
    assert np.array_equal(rows.number, np.arange(400))
    assert found.counts["finished"] == 400
    assert np.array_equal(rows.prompt_tokens, requests.prompt_tokens)
    assert np.array_equal(rows.output_tokens, requests.output_tokens)
    assert (rows.admitted_s >= rows.arrival_s).all()
    assert (rows.first_token_s > rows.admitted_s).all()
    assert (rows.finish_s >= rows.first_token_s).all()
    assert (rows.finish_s[rows.output_tokens > 1] > rows.first_token_s[rows.output_tokens > 1]).all()
    assert (rows.hit_tokens < rows.prompt_tokens).all()
    assert sum(use.output_tokens for use in found.instances) == requests.output_tokens.sum()
    if not rows.preempted_count.any():
        read = sum(use.prompt_tokens for use in found.instances)
        assert read == (requests.prompt_tokens - rows.hit_tokens).sum()


@EVERY_FLEET
def test_compiled_and_uncompiled_give_the_same_bits(name: str) -> None:
    pytest.importorskip("numba")
    requests = asked(name)
    fast, slow = (simulate(fleets()[name], requests, engine=engine) for engine in ("compiled", "python"))
    same(served(fast), served(slow))
    for column, values in fast.series.items():
        np.testing.assert_array_equal(values, slow.series[column], err_msg=column)
    assert fast.instances == slow.instances


@EVERY_FLEET
def test_a_stride_is_its_steps_one_by_one(name: str) -> None:
    """Only a route that follows prefixes sees what an instance drops as of its last event, not of its last step."""
    requests = asked(name)
    whole, single = (served(simulate(fleets()[name], requests, one_by_one=each)) for each in (False, True))
    if fleets()[name].pool.router == "prefix-aware":
        assert whole.latency_s.mean() == pytest.approx(single.latency_s.mean(), rel=0.02)
    else:
        same(whole, single, rel=1e-9)


@EVERY_FLEET
def test_memory_is_never_over_its_room(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the steps that are begun; and what is held adds up to what requests and prefixes hold."""
    plan, seen = loop.plan, []

    def watched(w: Any, prices: Any, i: int, now: float) -> None:
        plan(w, prices, i, now)
        p, k = w.instance[i + c.POOL], w.instance[i + c.STEP] + w.instance[i + c.PLAN]
        for n in range(w.instance[i + c.GROUPS]):
            g = w.instance[i + c.FIRST_GROUP] + n * c.GROUP_ROW
            assert w.group[g + c.COUNT] <= w.pool[p + c.SEQUENCES]
            seen.append(lives.in_use(w, p, g, k) / w.pool[p + c.CAPACITY])

    monkeypatch.setattr(loop, "plan", watched)
    simulate(fleets()[name], asked(name, rate=60.0), engine="python")
    assert 0.0 < max(seen) <= 1.0
    assert min(seen) >= 0.0


@EVERY_FLEET
def test_nothing_is_held_when_all_is_done(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    cut_off = loop.cut_off
    monkeypatch.setattr(loop, "cut_off", lambda w: (kept.append(w), cut_off(w)))
    simulate(fleets()[name], asked(name, rate=60.0))
    group = kept[0].group.reshape(-1, c.GROUP_ROW)
    assert not group[:, [c.BATCH, c.JOINED, c.STEPS_SUM, c.HELD, c.COUNT, c.LOAD, c.QUEUE_LENGTH]].any()
    assert (group[:, c.WAIT : c.RUNS_LAST + 1] == c.NONE).all()
    assert not kept[0].instance.reshape(-1, c.INSTANCE)[:, c.HOLDS].any()
    assert not kept[0].entry.reshape(-1, c.ENTRY)[:, c.HOLDERS].any()


def chunks(requests: Trace, prices: Any, reading: list[int], done: dict[int, int], left: int) -> tuple[Any, ...]:
    """Return (chunk of each prompt, sum and maximum of what reading them costs): first come, first read."""
    found, read, most = {}, 0.0, 0.0
    for n in reading:
        part = min(left, int(requests.prompt_tokens[n]) - done[n])
        if part > 0:
            beside, alone = read_chunk(prices, float(part), float(done[n]))
            found[n], left, read, most = part, left - part, read + beside, max(most, alone)
    return found, read, most


def token_by_token(requests: Trace, prices: Any, budget: int) -> tuple[list[float], list[float]]:
    """Return (first tokens, ends) of one group with endless memory whose prompts ride along, one step after another."""
    now, waiting, reading, decoding = 0.0, list(range(requests.requests_count)), [], {}
    done = dict.fromkeys(waiting, 0)
    first, end = [0.0] * len(waiting), [0.0] * len(waiting)
    while waiting or reading or decoding:
        if not reading and not decoding:
            now = max(now, float(requests.arrival_s[waiting[0]]))
        while waiting and requests.arrival_s[waiting[0]] <= now:
            reading.append(waiting.pop(0))
        parts, read, most = chunks(requests, prices, reading, done, budget - len(decoding))
        batch, context = float(len(decoding)), sum(decoding.values()) / max(len(decoding), 1)
        tokens, count = float(sum(parts.values())), float(len(parts))
        now += mixed_step(prices, batch, context, tokens, tokens, count, read, most)
        decoding = {n: cached + 1 for n, cached in decoding.items()}
        for n, part in parts.items():
            done[n] += part
            if done[n] == requests.prompt_tokens[n]:
                reading.remove(n)
                first[n] = now
                decoding[n] = done[n]
        for n in [n for n, cached in decoding.items() if cached - done[n] == requests.output_tokens[n] - 1]:
            end[n] = now
            del decoding[n]
    return first, end


def test_a_simulation_token_by_token_gives_the_same_times() -> None:
    requests = load(300, rate=12.0)
    first, end = token_by_token(requests, tables(), 2048)
    rows = served(simulate(fleets()["one"], requests))
    np.testing.assert_allclose(rows.first_token_s, first, rtol=1e-9)
    np.testing.assert_allclose(rows.finish_s, end, rtol=1e-9)


def test_one_request_by_hand() -> None:
    prices = tables()
    rows = served(simulate(fleets()["one"], trace([1.0], [3000], [100])))
    pass_s = 0.0
    for part, behind in ((2048, 0), (952, 2048)):
        read, alone = read_chunk(prices, float(part), float(behind))
        pass_s += prompt_pass(prices, float(part), float(part), 1.0, read, alone)
    assert rows.first_token_s[0] == pytest.approx(1.0 + pass_s, rel=1e-12)
    assert rows.finish_s[0] == pytest.approx(1.0 + pass_s + decode_span(prices, 1.0, 3000.0, 99), rel=1e-12)


def test_a_cache_is_handed_over_layer_by_layer() -> None:
    link = Link(bytes_per_s=1e9, latency_s=0.002, overlap_frac=0.75)
    fleet = Fleet(pool=Pool(costs=costs()), decode=Pool(costs=costs()), transfer=link)
    found = simulate(fleet, trace([0.0], [1000], [10]))
    read, alone = read_chunk(tables(), 1000.0, 0.0)
    pass_s = prompt_pass(tables(), 1000.0, 1000.0, 1.0, read, alone)
    sent = 1000 * 1e5 / 1e9
    first = max(sent, pass_s + 0.25 * sent) + 0.002
    rows = served(found)
    assert rows.first_token_s[0] == pytest.approx(first, rel=1e-12)
    assert rows.finish_s[0] == pytest.approx(first + decode_span(tables(), 1.0, 1000.0, 9), rel=1e-12)
    assert found.series["transfer_bytes"].sum() == pytest.approx(1e8, rel=1e-12)
    assert (rows.reader[0], rows.decoder[0]) == (0, 1)


@pytest.mark.parametrize("name", ["recompute", "swap", "groups"])
def test_memory_that_runs_out_preempts(name: str) -> None:
    rows = served(simulate(fleets()[name], asked(name, rate=60.0)))
    assert rows.preempted_count.sum() > 0
    assert not served(simulate(fleets()["reserved"], asked(name, rate=60.0))).preempted_count.any()


def test_what_fits_nowhere_or_waits_too_long_is_turned_away() -> None:
    pool = Pool(costs=costs(capacity_tokens=5000.0), queue_max_count=2)
    found = simulate(Fleet(pool=pool), trace([0.0] * 6, [4000, 6000, 4000, 4000, 4000, 4000], [100] * 6))
    assert [int(status) for status in served(found).status] == [c.FINISHED, c.TOO_LONG, c.FINISHED, *[c.REFUSED] * 3]
    assert found.counts == {"finished": 2, "refused": 3, "too long": 1, "failed": 0, "cut off": 0}


def test_a_prefix_is_read_once() -> None:
    blocks = np.arange(8)
    requests = Trace(
        arrival_s=np.array([0.0, 10.0, 20.0]),
        prompt_tokens=np.array([1000, 1000, 1024]),
        output_tokens=np.array([5, 5, 5]),
        session=np.full(3, -1),
        block_start=np.array([0, 8, 16, 24]),
        blocks=np.tile(blocks, 3),
        block_tokens=128,
    )
    rows = served(simulate(Fleet(pool=Pool(costs=costs()), prefixes=Prefixes()), requests))
    assert list(rows.hit_tokens) == [0, 896, 896]  # whole blocks of what was read
    none = served(simulate(Fleet(pool=Pool(costs=costs())), requests))
    assert not none.hit_tokens.any()
    assert rows.ttft_s[1] < none.ttft_s[1]


def test_tiers_behind_are_read_over_their_links() -> None:
    """Two instances in turn: the second finds the prefix in the first's memory, or in host memory."""
    requests = with_prefixes(trace([0.0, 10.0], [1280, 1280], [5, 5]), roots=1)
    requests = Trace(
        arrival_s=requests.arrival_s,
        prompt_tokens=requests.prompt_tokens,
        output_tokens=requests.output_tokens,
        session=requests.session,
        block_start=np.array([0, 10, 20]),
        blocks=np.tile(np.arange(10), 2),
        block_tokens=128,
    )
    pool = Pool(costs=costs(), instances_count=2)
    peers = simulate(Fleet(pool=pool, prefixes=Prefixes(peers=Link(bytes_per_s=1e9, latency_s=0.5))), requests)
    assert list(served(peers).hit_tokens) == [0, 1279]
    assert peers.series["peer_bytes"].sum() == pytest.approx(1280 * 1e5)
    assert served(peers).ttft_s[1] > 1280 * 1e5 / 1e9 + 0.5
    store = Store(capacity_bytes=1e9, link=Link(bytes_per_s=1e12))
    host = simulate(Fleet(pool=pool, prefixes=Prefixes(host=store)), requests)
    assert list(served(host).hit_tokens) == [0, 1279]
    tight = Store(capacity_bytes=5 * 128 * 1e5, link=Link(bytes_per_s=1e12))
    disk = simulate(Fleet(pool=pool, prefixes=Prefixes(host=tight, disk=store)), requests)
    assert list(served(disk).hit_tokens) == [0, 1279]
    assert disk.series["disk_bytes"].sum() == pytest.approx(5 * 128 * 1e5)
    assert disk.series["host_bytes"].sum() == pytest.approx(5 * 128 * 1e5)


def test_shelves_are_least_recently_used_tables() -> None:
    fleet = Fleet(pool=Pool(costs=costs(capacity_tokens=50.0 * 16)), prefixes=Prefixes())
    w, h, rng = world(fleet, None, 16), 0, np.random.default_rng(0)
    wanted: OrderedDict[int, None] = OrderedDict()
    for key in rng.zipf(1.3, 5000) % 300:
        entry, new, dropped = shelf.put_or_touch(w, h, int(key))
        assert new == (int(key) not in wanted)
        wanted[int(key)] = None
        wanted.move_to_end(int(key))
        if dropped != c.NONE:
            assert dropped == wanted.popitem(last=False)[0]
        assert w.entry[entry + c.KEY] == key
    assert all(shelf.find(w, h, key) != c.NONE for key in wanted)
    shelf.wipe(w, h)
    assert all(shelf.find(w, h, key) == c.NONE for key in wanted)


def test_a_failed_instance_gives_its_requests_to_others() -> None:
    requests = load(300, rate=20.0)
    pool = Pool(costs=costs(), instances_count=2)
    down = Mishap(at_s=3.0, instance=1, down_s=5.0)
    rows = served(simulate(Fleet(pool=pool, mishaps=(down,)), requests))
    well = served(simulate(Fleet(pool=pool), requests))
    assert (rows.status == c.FINISHED).all()
    assert rows.preempted_count.sum() > 0
    meanwhile = (rows.arrival_s > 3.0) & (rows.arrival_s < 8.0)
    assert (rows.decoder[meanwhile] == 0).all()
    assert (rows.decoder[rows.arrival_s > 9.0] == 1).any()
    assert rows.latency_s.mean() > well.latency_s.mean()
    found = simulate(Fleet(pool=pool, mishaps=(down,)), requests)
    assert found.instances[1].up_s == pytest.approx(found.makespan_s - 5.0)


def test_nobody_to_serve_is_a_failure() -> None:
    fleet = Fleet(pool=Pool(costs=costs()), mishaps=(Mishap(at_s=0.01, instance=0, down_s=5.0),))
    found = simulate(fleet, trace([0.0, 1.0, 6.0], [1000, 1000, 1000], [500, 500, 500]))
    assert [int(status) for status in served(found).status] == [c.FAILED, c.FAILED, c.FINISHED]


def test_fewer_cards_take_longer_steps() -> None:
    slow = Mishap(at_s=0.0, instance=0, down_s=1e6, slow_factor=2.0)
    requests = trace([0.0], [1000], [200])
    once, twice = (served(simulate(Fleet(pool=Pool(costs=costs()), mishaps=m), requests)) for m in ((), (slow,)))
    assert twice.latency_s[0] == pytest.approx(2.0 * once.latency_s[0], rel=1e-12)


@pytest.mark.parametrize("measure", ["queue", "memory", "busy"])
def test_instances_follow_the_load(measure: Any) -> None:
    target = {"queue": 2.0, "memory": 0.5, "busy": 0.7}[measure]
    scaler = Scaler(target_ratio=target, measure=measure, every_s=1.0, delay_s=2.0, most_count=6)
    pool = Pool(costs=costs(**SMALL), router="least-load", scaler=scaler)
    rush, calm = load(600, rate=60.0), load(100, rate=0.5, seed=1)
    requests = trace(
        np.concatenate([rush.arrival_s, rush.arrival_s[-1] + calm.arrival_s]),
        np.concatenate([rush.prompt_tokens, calm.prompt_tokens]),
        np.concatenate([rush.output_tokens, calm.output_tokens]),
    )
    found = simulate(Fleet(pool=pool), requests)
    assert found.counts["finished"] == 700
    up = found.series["instances_up"]
    assert up[0] <= 1.0 + 1e-9
    assert up.max() > 1.5
    assert up[-2] < up.max()
    fixed = simulate(Fleet(pool=Pool(costs=costs(**SMALL), router="least-load")), requests)
    assert served(found).latency_s.mean() < served(fixed).latency_s.mean()


def test_a_closed_loop_keeps_so_many_under_way() -> None:
    requests = load(500)
    found = simulate(fleets()["one"], ClosedLoop(concurrency_count=16, requests=pieces_of(requests, 37), think_s=0.0))
    rows = served(found)
    assert found.counts["finished"] == 500
    assert (np.sort(rows.arrival_s)[:16] == 0.0).all()
    assert np.array_equal(np.sort(rows.arrival_s)[16:], np.sort(rows.finish_s)[: 500 - 16])
    thinking = served(simulate(fleets()["one"], ClosedLoop(concurrency_count=16, requests=[requests], think_s=0.5)))
    assert np.array_equal(np.sort(thinking.arrival_s)[16:], np.sort(thinking.finish_s)[: 500 - 16] + 0.5)


@pytest.mark.parametrize("name", ["groups", "prefixes apart", "mishaps"])
def test_a_stream_in_pieces_is_the_whole(name: str) -> None:
    requests = asked(name)
    parts: list[Served] = []
    found = simulate(fleets()[name], pieces_of(requests, 23), sink=parts.append)
    assert found.served is None
    whole = served(simulate(fleets()[name], requests))
    number = np.concatenate([part.number for part in parts])
    finish = np.concatenate([part.finish_s for part in parts])
    np.testing.assert_array_equal(finish[np.argsort(number)], whole.finish_s)


def test_more_under_way_than_there_is_room_for_at_first() -> None:
    count = 20_000
    found = simulate(fleets()["one"], trace(np.zeros(count), np.full(count, 10), np.full(count, 2)))
    assert found.counts["finished"] == count


def test_an_interrupt_keeps_what_there_is() -> None:
    def until_stopped() -> Any:
        yield load(200)
        raise KeyboardInterrupt

    found = simulate(fleets()["one"], until_stopped())
    assert found.interrupted
    assert 0 < found.counts["finished"] < 200
    assert found.counts["finished"] + found.counts["cut off"] == 200


def test_sessions_stay_where_they_are() -> None:
    rows = served(simulate(fleets()["sticky"], load(seed=3)))
    session = load(seed=3).session
    assert all(len(set(rows.decoder[session == one])) == 1 for one in set(session) - {-1})
    assert len(set(rows.decoder)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Pool(costs=costs(), instances_count=0),
        lambda: Pool(costs=costs(), block_tokens=0),
        lambda: Pool(costs=costs(), scaler=Scaler(target_ratio=1.0, fewest_count=2, most_count=4)),
        lambda: Fleet(pool=Pool(costs=costs()), decode=Pool(costs=costs())),
        lambda: Fleet(pool=Pool(costs=costs(), preemption="swap")),
        lambda: simulate(Fleet(pool=Pool(costs=costs())), trace([], [], []), engine="fortran"),
        lambda: simulate(
            Fleet(pool=Pool(costs=costs()), mishaps=(Mishap(at_s=0.0, instance=1, down_s=1.0),)), trace([], [], [])
        ),
    ],
)
def test_what_cannot_be_is_said(wrong: Any) -> None:
    with pytest.raises(ScenarioError):
        wrong()
