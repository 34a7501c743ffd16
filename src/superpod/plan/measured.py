"""How much of a pass rests on measured operator tables, and how a report says so."""

from dataclasses import replace

from superpod.catalog.provenance import Fact, UsedFact
from superpod.compute.device import OperatorTable
from superpod.parallel.engine import Engine
from superpod.parallel.layout import Layout
from superpod.units import percent
from superpod.workload.build import build
from superpod.workload.op import Op, backward
from superpod.workload.phase import Phase

SOURCE = "aiconfigurator-tables"


def measured_note(engine: Engine, passes: tuple[tuple[str, Layout, Phase], ...]) -> tuple[str, ...]:
    """Return one sentence with the measured share of kernel time in each named pass; none without tables."""
    table = engine.device.table
    if table is None:
        return ()
    shares = " and ".join(
        f"{percent(measured_frac(engine, layout, phase))} of {name}" for name, layout, phase in passes
    )
    return (f"kernel time from measured operator tables: {shares}; the rest is analytic. Tables: {table.name}",)


def measured_frac(engine: Engine, layout: Layout, phase: Phase) -> float:
    """Return the share of a pass's kernel time that measured tables answer for."""
    part = (
        layout.partition
        if phase.kind == "train"
        else replace(layout.partition, sequence_parallel=phase.kind == "prefill")
    )
    work = build(engine.spec, phase, part, engine.precision)
    blocks = [(float(item.group.count), item.operators) for item in work.layers] + [(1.0, work.head)]
    whole = sum(count * float(engine.seconds(kernels(phase, ops))) for count, ops in blocks)
    known = sum(count * float(engine.measured_seconds(kernels(phase, ops))) for count, ops in blocks)
    return known / whole


def kernels(phase: Phase, operators: tuple[Op, ...]) -> tuple[Op, ...]:
    """Return the kernels of a pass: in training, those of the backward pass too."""
    if phase.kind != "train":
        return operators
    return (*operators, *(item for op in operators for item in backward(op)))


def table_facts(table: OperatorTable | None) -> tuple[UsedFact, ...]:
    """Return the tables as a fact of the answer."""
    if table is None:
        return ()
    return (UsedFact(where="tables/operators:time_s", fact=Fact(kind="benchmark", source=SOURCE, note=table.name)),)
