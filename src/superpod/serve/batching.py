"""Continuous batching in the steady state: decode steps, some of which also read prompts.

A group of tensor ranks holds a batch of requests, with pipeline stages as many batches as there are stages. Each
finished request is replaced by a new prompt at once (a closed loop, or a queue that is never empty). Prompts are read
in chunks within the engine's budget of tokens a step, riding along in decode steps or taking turns with them. No
arrivals, no tails: see `docs/theory/serving.md`.
"""

from dataclasses import dataclass

import numpy as np

from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.result import Num
from superpod.serve.iteration import draft_time, mixed_pass_time, pass_time
from superpod.serve.memory import cache_budget, held_weights_bytes, sequence_cache_bytes
from superpod.serve.steady import Requests, held_tokens
from superpod.workload.phase import Phase, decode_phase, prefill_phase

ROUNDS = 6  # secants of the fixed point between requests that decode and requests that are being read
STEEPEST = 0.9  # bound on a secant's slope: how fast the requests that decode may grow with those assumed to


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The steady state of an attention group: of `held_count` requests `decoding_count` are past their prompt.

    `step_s` is the mean step, `plain_s` one that only decodes, `mixed_s` one with a chunk of `chunk_tokens` of prompts;
    `mixed_frac` of the steps are such. `tpot_s` is the time between two tokens of a request, `ttft_s` that from sending
    a request to its first token, by Little's law: reading it, and waiting where the budget reads no faster.
    `tokens_per_s` is what the group puts out.
    """

    held_count: Num
    decoding_count: Num
    chunk_tokens: Num
    mixed_frac: Num
    plain_s: Num
    mixed_s: Num
    step_s: Num
    tpot_s: Num
    ttft_s: Num
    tokens_per_s: Num


def slots(engine: Engine, layout: Layout, requests: Requests) -> Num:
    """Return how many requests one batch can hold: by the engine's own limit and by memory for their caches.

    Each takes `held_tokens`; with p pipeline stages p batches share the engine's limit and the memory of a rank. Less
    than 1 where none fits.
    """
    drafts = requests.draft_tokens > 0
    held = held_weights_bytes(engine, layout, drafts=drafts)
    one = sequence_cache_bytes(engine, layout, held_tokens(engine, requests), drafts=drafts)
    return np.minimum(cache_budget(engine, held) / one, engine.software.sequences_count / layout.pipeline)


def batching(
    engine: Engine,
    layout: Layout,
    requests: Requests,
    held: Num,
    *,
    groups_in_step: Num = 1.0,
    near: Num | None = None,
) -> Batching:
    """Return the steady state of a group that holds `held` requests.

    With b of them decoding and S steps a request, b / S prompts arrive a step, q = b P / S tokens. A step reads c of
    them, at least a whole prompt where the budget allows; a share f = q / c of the steps does. `groups_in_step` groups
    wait for each other in every layer (experts spread over all of them), and a step is mixed if it is for any of them:
    1 - (1 - f)^g. Requests being read do not decode: b = held / (1 + residence / (S t)), and no more than the budget
    can read prompts for. Solved by secants; a start `near` the answer needs one.
    """
    most = np.minimum(held, most_decoding(engine, requests))
    decoding = most if near is None else np.minimum(near, most)
    found = _state(engine, layout, requests, held, decoding, groups_in_step)
    slope: Num = 0.0
    last = (decoding, decoding)
    for turn in range(ROUNDS if near is None else 1):
        wanted = np.minimum(held / (1.0 + _residence(found, requests) / (_steps(requests) * found.step_s)), most)
        apart = decoding - last[0]
        if turn:
            slope = np.clip((wanted - last[1]) / np.where(apart == 0.0, 1.0, apart), 0.0, STEEPEST)
        last = (decoding, wanted)
        decoding = np.minimum(decoding + (wanted - decoding) / (1.0 - slope), most)
        found = _state(engine, layout, requests, held, decoding, groups_in_step)
    return found


def most_decoding(engine: Engine, requests: Requests) -> float:
    """Return how many requests can decode while the budget of B tokens a step still reads a prompt for each that ends.

    Taking turns, b P / S <= B; riding along, the 1 + drafts query tokens of each come off the budget too:
    b (1 + drafts + P / S) <= B.
    """
    arriving = requests.prompt_tokens / _steps(requests)
    beside = 1.0 + requests.draft_tokens if engine.software.scheduling == "mixed" else 0.0
    return engine.software.step_tokens_count / (beside + arriving)


def _steps(requests: Requests) -> float:
    """Return the decode steps of a request."""
    return max(requests.output_tokens / requests.tokens_per_step, 1.0)


def _residence(found: Batching, requests: Requests) -> Num:
    """Return the time that reading a prompt takes: half a step of waiting, then its share of each mixed step.

    Prompts fill the chunks without gaps: P / c steps, at least one.
    """
    return found.step_s / 2.0 + np.maximum(requests.prompt_tokens / found.chunk_tokens, 1.0) * found.mixed_s


def _state(
    engine: Engine, layout: Layout, requests: Requests, held: Num, decoding: Num, groups_in_step: Num
) -> Batching:
    software, steps = engine.software, _steps(requests)
    query_tokens = 1.0 + requests.draft_tokens
    budget = software.step_tokens_count - (decoding * query_tokens if software.scheduling == "mixed" else 0.0)
    arriving = decoding * requests.prompt_tokens / steps
    chunk = np.minimum(np.maximum(arriving, requests.prompt_tokens), budget)
    share = _any_of(np.minimum(arriving / chunk, 1.0), groups_in_step)
    phase = decode_phase(decoding, requests.prompt_tokens + requests.output_tokens / 2.0, query_tokens)
    reading = prefill_phase(chunk / requests.prompt_tokens, requests.prompt_tokens)
    draft = draft_time(engine, layout, phase, requests.draft_tokens).time_s
    plain = pass_time(engine, layout, phase).time_s + draft
    mixed = mixed_time(engine, layout, reading, phase, plain, draft)
    mean = plain + share * (mixed - plain)
    return Batching(
        held_count=held,
        decoding_count=decoding,
        chunk_tokens=chunk,
        mixed_frac=share,
        plain_s=plain,
        mixed_s=mixed,
        step_s=mean,
        tpot_s=mean * steps / requests.output_tokens,
        ttft_s=steps * mean * (held / decoding - 1.0),
        tokens_per_s=decoding * requests.output_tokens / (steps * mean),
    )


def _any_of(share: Num, count: Num) -> Num:
    """Return the chance that at least one of `count` events of chance `share` happens: 1 - (1 - share)^count."""
    exponent = np.maximum(count * np.log1p(-np.minimum(share, 1.0 - 1e-12)), -40.0)  # exp(-40) is nothing
    found: Num = -np.expm1(exponent)
    return found


def mixed_time(engine: Engine, layout: Layout, reading: Phase, decoding: Phase, plain_s: Num, draft_s: Num) -> Num:
    """Return the time of a step that also reads prompts, beside one that only decodes in `plain_s`, drafts with it.

    Riding along, one pass does both and drafts follow; taking turns, a pass of prompts stands before the decode step.
    Never shorter than the decode step alone.
    """
    if engine.software.scheduling == "alternate":
        return plain_s + pass_time(engine, layout, reading).time_s
    return np.maximum(mixed_pass_time(engine, layout, reading, decoding).time_s + draft_s, plain_s)


def first_wave_wait(engine: Engine, layout: Layout, requests: Requests, held: Num) -> Num:
    """Return the mean wait for a first token where `held` requests are all given at once: half of reading them all.

    Prompts are read in passes that fill the engine's budget of tokens.
    """
    tokens = held * requests.prompt_tokens
    chunk = np.minimum(tokens, engine.software.step_tokens_count)
    one = pass_time(engine, layout, prefill_phase(chunk / requests.prompt_tokens, requests.prompt_tokens)).time_s
    return 0.5 * one * tokens / chunk


def offline_time(engine: Engine, layout: Layout, requests: Requests, requests_count: float) -> tuple[float, float]:
    """Return (seconds, requests held at once) of a group that is given `requests_count` equal requests at once.

    Full waves and a last one that is smaller, each for as long as its requests have steps. `held` under 1 means that no
    request fits.
    """
    most = float(np.minimum(slots(engine, layout, requests), requests_count))
    if most < 1.0:
        return 0.0, most
    steps = _steps(requests)
    waves = float(np.floor(requests_count / most))
    rest = requests_count - waves * most
    spent = waves * steps * _wave_step(engine, layout, requests, most)
    if rest >= 1.0:
        spent += steps * _wave_step(engine, layout, requests, rest)
    return spent, most


def _wave_step(engine: Engine, layout: Layout, requests: Requests, held: float) -> float:
    """Return a request's time over its steps: reading and decoding of `held` requests at once."""
    found = batching(engine, layout, requests, held)
    return held * requests.output_tokens / float(found.tokens_per_s) / _steps(requests)
