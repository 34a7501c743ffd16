"""Published end-to-end measurements, predicted with nothing fitted to any of them.

Each case has a band of its own; a case that leaves it fails by itself, whatever the mean does.
"""

import pytest

from superpod.catalog.load import Catalogue
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.plan.train_search import price
from superpod.serve.steady import Requests, decode, prefill

CATALOGUE = Catalogue()

# Korthikanti et al., arXiv 2205.05198, Table 5: seconds per iteration on A100-80GB, fp16, sequences of 2,048 tokens.
# (model, GPUs, batch, micro-batch, pipeline, chunks, recompute, measured)
TABLE_5 = [
    ("gpt-22b", 8, 4, 4, 1, 1, "full", 1.42),
    ("gpt-22b", 8, 4, 4, 1, 1, "selective", 1.10),
    ("gpt3-175b", 64, 64, 1, 8, 3, "full", 18.13),
    ("gpt3-175b", 64, 64, 1, 8, 3, "selective", 13.75),
    ("mt-nlg-530b", 280, 280, 1, 35, 3, "full", 49.05),
    ("mt-nlg-530b", 280, 280, 1, 35, 3, "selective", 37.83),
    ("gpt-1t", 512, 512, 1, 64, 1, "full", 94.42),
    ("gpt-1t", 512, 512, 1, 64, 1, "selective", 71.49),
]

# CloudMatrix384, arXiv 2506.12708: DeepSeek-R1 INT8 decode on 160 NPUs, EP320, one draft token accepted at 70 %.
# (batch per NPU, prompt, output, measured tokens/s/NPU)
DECODE = [
    (128, 1024, 1024, 2733),
    (112, 2048, 256, 2360),
    (96, 4096, 256, 1943),
    (24, 4096, 256, 974),
    (8, 4096, 256, 538),
]
PREFILL = 6688  # tokens/s/NPU, prompts of 4,096, balanced routing


@pytest.mark.parametrize("case", TABLE_5, ids=lambda case: f"{case[0]}-{case[6]}")
def test_training_step_times_of_table_5(case: tuple[str, int, int, int, int, int, str, float]) -> None:
    model, cards, batch, micro_batch, pipeline, virtual, recompute, measured = case
    work = Training(batch_sequences=batch, sequence_tokens=2048)
    made = machine(CATALOGUE, Scenario(model=model, pod="hgx-a100", work=work, cards=cards, precision="fp16"))
    layout = Layout(
        tensor=8.0,
        pipeline=float(pipeline),
        virtual=float(virtual),
        micro_batch=float(micro_batch),
        zero="0",
        recompute=recompute,
        overlap="none",
        sequence_parallel=recompute == "selective",
        fused_attention=False,
    )
    step, memory = price(made, work, layout)
    assert float(step.time_s) == pytest.approx(measured, rel=0.10)
    assert float(memory.total_bytes) < made.device.memory_bytes  # it ran


def cloudmatrix() -> tuple[Machine, Engine]:
    made = machine(CATALOGUE, Scenario(model="deepseek-r1", pod="cloudmatrix384", work=Serving()))
    engine = made.engine
    return made, engine


@pytest.mark.parametrize("case", DECODE, ids=lambda case: f"batch-{case[0]}-{case[1]}-{case[2]}")
def test_decode_rates_of_cloudmatrix384(case: tuple[int, int, int, float]) -> None:
    batch, prompt, output, measured = case
    made, engine = cloudmatrix()
    requests = Requests(prompt_tokens=prompt, output_tokens=output, draft_tokens=1, acceptance_frac=0.7)
    found = decode(engine, Layout(data=320.0, expert=320.0), batch / made.fabric.ranks_per_chip, requests)
    assert float(found.tokens_per_s_rank) * made.fabric.ranks_per_chip == pytest.approx(measured, rel=0.30)


def test_prefill_rate_of_cloudmatrix384() -> None:
    made, engine = cloudmatrix()
    requests = Requests(prompt_tokens=4096, output_tokens=256, draft_tokens=0, acceptance_frac=0.7)
    found = prefill(engine, Layout(data=32.0, expert=32.0, staged=32.0), 2.0, requests)
    assert float(found.tokens_per_s_rank) * made.fabric.ranks_per_chip == pytest.approx(PREFILL, rel=0.30)
