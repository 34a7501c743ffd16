"""The layers of Llama-3.1-8B as LLMServingSim timed them in vLLM (MIT), as samples for `superpod.calibrate`.

A folder `profiler/perf/<card>/meta-llama/Llama-3.1-8B/bf16/tp1` of github.com/casys-kaist/LLMServingSim: products by
tokens of a pass, attention of one chunk of a prompt or of equal decoding sequences. Elementwise layers are left out:
the L2 cache answers them there. Each kernel is timed alone; nothing here is end to end.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from superpod.calibrate.samples import Samples, attention, families, product
from superpod.catalog.load import Catalogue

PRODUCTS = {  # layer: (columns, depth) of Llama-3.1-8B
    "qkv_proj": (6144, 4096),
    "o_proj": (4096, 4096),
    "gate_up_proj": (28672, 4096),
    "down_proj": (4096, 14336),
    "lm_head": (128256, 4096),
}
HEADS = {"heads": 32.0, "kv_heads": 8.0, "head_dim": 128.0, "value_dim": 128.0, "kv_bytes": 2.0, "window": np.inf}
Array = np.ndarray[Any, Any]


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def samples(catalogue: Catalogue, chip: str, part: Any, time_us: Array, family: Array) -> Samples:
    """Return kernels with the rates of their chip."""
    made, count = catalogue.chip(chip), len(time_us)
    return Samples(
        parts=(part,),
        flop_per_s=np.full(count, dict(made.matrix_flop_per_s.items())["bf16"]),
        bytes_per_s=np.full(count, made.memory.bandwidth_bytes_per_s),
        time_s=time_us * 1e-6,
        family=family,
        chip=np.array([chip] * count),
        fixed_s=np.zeros(count),
    )


def products(catalogue: Catalogue, folder: Path, chip: str) -> Samples:
    """Return the products of a layer and the vocabulary projection; families are (columns, depth)."""
    rows = [
        (float(row.get("tokens") or row["sequences"]), *PRODUCTS[row["layer"]], float(row["time_us"]))
        for name in ("dense", "per_sequence")
        for row in read(folder / f"{name}.csv")
        if row["layer"] in PRODUCTS
    ]
    tokens, columns, depth, time_us = np.array(rows, dtype=float).T
    part = product(tokens, columns, depth, np.ones(len(rows)), "bf16")
    return samples(catalogue, chip, part, time_us, families(columns, depth))


def heads(catalogue: Catalogue, folder: Path, chip: str, *, decode: bool) -> Samples:
    """Return attention of one chunk behind what was read before, or of decoding sequences; families are its length.

    There is one shape of heads: how attention changes with it is left to the lender's chips.
    """
    names = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
    table = np.array([[float(row[name]) for name in names] for row in read(folder / "attention.csv")])
    alone = table[(table[:, 0] == 0.0) if decode else (table[:, 2] == 0.0)]
    chunk, behind, count, cached, time_us = alone.T
    one = np.ones(len(alone))
    keys = cached + 1.0 if decode else behind + chunk
    part = attention(
        sequences=count if decode else one,
        query_tokens=one if decode else chunk,
        keys=keys,
        causal=0.0 * one if decode else one,
        decode=decode,
        **{name: value * one for name, value in HEADS.items()},
    )
    return samples(catalogue, chip, part, time_us, families(keys))
