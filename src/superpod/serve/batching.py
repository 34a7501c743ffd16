"""Continuous batching in the steady state: decode steps, some of which also read prompts.

A group of tensor ranks holds a batch of requests, with pipeline stages as many batches as there are stages. Each
finished request is replaced by a new prompt at once (a closed loop, or a queue that is never empty). Prompts are read
in chunks within the engine's budget of tokens a step, riding along in decode steps or taking turns with them. No
arrivals, no tails: see `docs/theory/serving.md`.
"""

from dataclasses import dataclass, replace

import numpy as np

from superpod.catalog.model_spec import LinearAttention
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.result import Num
from superpod.serve.iteration import draft_time, pass_time
from superpod.serve.memory import cache_budget, weights_bytes
from superpod.serve.steady import Requests
from superpod.workload.build import kv_cache_bytes, layer
from superpod.workload.op import ATTENTION, DECODE_ATTENTION
from superpod.workload.phase import Phase, decode_phase, prefill_phase

ROUNDS = 12  # of the fixed point between requests that decode and requests that are being read


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The steady state of an attention group: of `held_count` requests `decoding_count` are past their prompt.

    `step_s` is the mean step, `plain_s` one that only decodes, `mixed_s` one with a chunk of `chunk_tokens` of prompts;
    `mixed_frac` of the steps are such. `tpot_s` is the time between two tokens of a request, `ttft_s` that from taking
    a request up to its first token, `tokens_per_s` what the group puts out.
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

    Where the engine admits a request only if its whole output fits, each takes prompt + output; else a mean request is
    half way through its output. Less than 1 where none fits.
    """
    grown = requests.output_tokens * (1.0 if engine.software.reserves_output else 0.5)
    context = requests.prompt_tokens + grown
    deeper = 1.0 + engine.spec.mtp_layers_count / engine.spec.layers_count * (requests.draft_tokens > 0)
    held = weights_bytes(engine.spec, layout, engine.precision) * deeper
    one = kv_cache_bytes(engine.spec, context, layout.partition, engine.precision) * deeper
    return np.minimum(cache_budget(engine, held) / one, engine.software.sequences_count / layout.pipeline)


def batching(engine: Engine, layout: Layout, requests: Requests, held: Num, *, groups_in_step: Num = 1.0) -> Batching:
    """Return the steady state of a group that holds `held` requests.

    With b of them decoding and S steps a request, b / S prompts arrive a step, q = b P / S tokens. A step reads c of
    them, at least a whole prompt where the budget allows; a share f = q / c of the steps does. `groups_in_step` groups
    wait for each other in every layer (experts spread over all of them), and a step is mixed if it is for any of them:
    1 - (1 - f)^g. Requests being read do not decode: b = held / (1 + residence / (S t)).
    """
    steps = np.maximum(requests.output_tokens / requests.tokens_per_step, 1.0)
    prompt = requests.prompt_tokens
    decoding: Num = held * 1.0
    found = _state(engine, layout, requests, held, decoding, groups_in_step)
    for _ in range(ROUNDS):
        reading = found.step_s / 2.0 + np.ceil(prompt / found.chunk_tokens) * found.mixed_s
        wanted = held / (1.0 + reading / (steps * found.step_s))
        most = _budget(engine, wanted) * steps / prompt  # prompts cannot be read faster
        decoding = 0.5 * (decoding + np.maximum(np.minimum(wanted, most), np.minimum(held, 1e-3)))
        found = _state(engine, layout, requests, held, decoding, groups_in_step)
    return found


def _budget(engine: Engine, decoding: Num) -> Num:
    """Return the prompt tokens that one step may read."""
    most = engine.software.step_tokens_count
    return np.maximum(most - decoding, 1.0) if engine.software.scheduling == "mixed" else most + 0.0 * decoding


def _state(
    engine: Engine, layout: Layout, requests: Requests, held: Num, decoding: Num, groups_in_step: Num
) -> Batching:
    steps = np.maximum(requests.output_tokens / requests.tokens_per_step, 1.0)
    budget = _budget(engine, decoding)
    wanted = decoding * requests.prompt_tokens / steps
    chunk = np.minimum(np.maximum(wanted, requests.prompt_tokens), budget)
    share = np.minimum(wanted / chunk, 1.0)
    share = _any_of(share, groups_in_step)
    phase = decode_phase(decoding, requests.prompt_tokens + requests.output_tokens / 2.0, 1.0 + requests.draft_tokens)
    plain = pass_time(engine, layout, phase).time_s + draft_time(engine, layout, phase, requests.draft_tokens).time_s
    mixed = mixed_time(engine, layout, requests, phase, chunk, plain)
    mean = plain + share * (mixed - plain)
    reading = mean / 2.0 + np.ceil(requests.prompt_tokens / chunk) * mixed
    return Batching(
        held_count=held,
        decoding_count=decoding,
        chunk_tokens=chunk,
        mixed_frac=share,
        plain_s=plain,
        mixed_s=mixed,
        step_s=mean,
        tpot_s=mean / requests.tokens_per_step,
        ttft_s=reading,
        tokens_per_s=decoding * requests.tokens_per_step / mean,
    )


def _any_of(share: Num, count: Num) -> Num:
    """Return the chance that at least one of `count` events of chance `share` happens: 1 - (1 - share)^count."""
    exponent = np.maximum(count * np.log1p(-np.minimum(share, 1.0 - 1e-12)), -40.0)  # exp(-40) is nothing
    found: Num = -np.expm1(exponent)
    return found


def mixed_time(
    engine: Engine, layout: Layout, requests: Requests, decoding: Phase, chunk_tokens: Num, plain_s: Num
) -> Num:
    """Return the time of a step that also reads `chunk_tokens` of prompts.

    Riding along, all tokens share the products and collectives of one pass, and attention runs for both kinds apart;
    taking turns, a pass of prompts stands before the decode step. Never shorter than the decode step alone.
    """
    prompts = chunk_tokens / requests.prompt_tokens
    if engine.software.scheduling == "alternate":
        return plain_s + pass_time(engine, layout, prefill_phase(prompts, requests.prompt_tokens)).time_s
    reading = prefill_phase(prompts, requests.prompt_tokens)
    together = replace(reading, tokens=chunk_tokens + decoding.tokens, sequences=prompts + decoding.sequences)
    products = pass_time(engine, layout, together).time_s - attention_time(engine, layout, together)
    apart = attention_time(engine, layout, reading) + attention_time(engine, layout, decoding)
    return np.maximum(products + apart, plain_s)


def attention_time(engine: Engine, layout: Layout, phase: Phase) -> Num:
    """Return the time of the attention kernels alone, over all layers of a pass."""
    spent: Num = 0.0
    for group in engine.spec.layers:
        if isinstance(group.attention, LinearAttention):
            continue
        work = layer(engine.spec, group, phase, layout.partition, engine.precision)
        core = tuple(op for op in work.attention if op.kind in {ATTENTION, DECODE_ATTENTION})
        spent = spent + group.count * engine.seconds(core)
    return spent


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
    steps = max(requests.output_tokens / requests.tokens_per_step, 1.0)
    waves = float(np.floor(requests_count / most))
    rest = requests_count - waves * most
    spent = waves * steps * _wave_step(engine, layout, requests, most)
    if rest >= 1.0:
        spent += steps * _wave_step(engine, layout, requests, rest)
    return spent, most


def _wave_step(engine: Engine, layout: Layout, requests: Requests, held: float) -> float:
    """Return a request's time over its steps: reading and decoding of `held` requests at once."""
    found = batching(engine, layout, requests, held)
    steps = max(requests.output_tokens / requests.tokens_per_step, 1.0)
    return held * requests.output_tokens / float(found.tokens_per_s) / steps
