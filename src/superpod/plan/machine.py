"""From names to numbers: the pod, chip, fabric and number format that a scenario runs on."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superpod.catalog.huggingface import read_config, spec_from_config
from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import ModelSpec
from superpod.catalog.provenance import Fact, FactReader, UsedFact
from superpod.catalog.schema import Chip, Pod
from superpod.catalog.software import Software
from superpod.compute.device import Device, device, lag, supported
from superpod.errors import ScenarioError, UnknownNameError
from superpod.fabric.tiers import Fabric, build, ranks_per_chip
from superpod.operator_tables.choose import chosen
from superpod.parallel.engine import Engine, HostMemory
from superpod.plan.measured import table_facts
from superpod.plan.scenario import Scenario, Serving, Training
from superpod.workload.precision import PRECISIONS, Precision

# What `auto` takes, best first: training in 8 bits only where the chip has FP8; serving in FP8, else INT8.
AUTO_TRAIN = ("fp8", "bf16")
AUTO_SERVE = ("fp8", "int8", "bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything a search needs, resolved, with the facts that were read on the way."""

    spec: ModelSpec
    pod: Pod
    chip: Chip
    device: Device
    fabric: Fabric
    precision: Precision
    software: Software
    host: HostMemory
    pods_count: float
    cards_count: float
    facts: tuple[UsedFact, ...]
    redundant_count: float = 0.0

    @property
    def engine(self) -> Engine:
        """What a pass over the model needs."""
        return Engine(
            spec=self.spec,
            device=self.device,
            fabric=self.fabric,
            precision=self.precision,
            software=self.software,
            host=self.host,
            redundant_count=self.redundant_count,
        )

    @property
    def ranks_count(self) -> int:
        """Ranks of all cards."""
        return round(self.cards_count * self.fabric.ranks_per_chip)


def machine(
    catalogue: Catalogue, scenario: Scenario, *, spec: ModelSpec | None = None, precision: Precision | None = None
) -> Machine:
    """Resolve a scenario; raise UnknownNameError, MissingFactError, NoBasisError or ScenarioError.

    A model or a number format at hand stands for the names of the scenario.
    """
    spec = trained_spec(spec or read_model(catalogue, scenario.model), scenario)
    pod = catalogue.pod(scenario.pod)
    chip = catalogue.chip(pod.chip)
    pods_count, cards = size(pod, scenario)
    pod_reader, chip_reader = FactReader(kind="pods", entry=pod), FactReader(kind="chips", entry=chip)
    per_chip = ranks_per_chip(chip_reader, chip.dies_count, pod)
    precision = precision or cached(choose_precision(chip, scenario), scenario)
    calibration = catalogue.calibration(chip.calibration)
    made = device(chip_reader, chip, calibration, per_chip, (precision.matmul, precision.attention, "bf16"))
    fabric = build(catalogue, pod_reader, pod, pods_count, per_chip)
    if scenario.ideal_fabric:
        fabric = replace(fabric, ideal=True)
    software = hosted(choose_software(catalogue, scenario), pod, pod_reader)
    if software.own_collectives:
        fabric = replace(fabric, kernels=software.tables or "serving")
    if isinstance(scenario.work, Training):
        slowest = lag(calibration.chip_spread_frac, cards)
        made = replace(made, steady=True, lag_frac=slowest, attention=software.attention)
    host = host_memory(pod, pod_reader, per_chip, disks=reads_disks(scenario))
    made = replace(made, engine=software.tables, table=chosen(scenario.tables, chip.id, software.tables, per_chip))
    measured = [FactReader(kind="calibration", entry=calibration), FactReader(kind="software", entry=software)]
    measured += [
        FactReader(kind="links", entry=link) for link in {tier.link.id: tier.link for tier in fabric.tiers}.values()
    ]
    fits = tuple(
        UsedFact(where=f"{reader.kind}/{reader.entry.id}:{path}", fact=fact)
        for reader in measured
        for path, fact in reader.entry.facts.items()
    )
    return Machine(
        spec=spec,
        pod=pod,
        chip=chip,
        device=made,
        fabric=fabric,
        precision=precision,
        software=software,
        host=host,
        pods_count=pods_count,
        cards_count=cards,
        facts=(model_fact(spec), *chip_reader.cited(), *pod_reader.cited(), *fits, *table_facts(made.table)),
        redundant_count=float(scenario.work.redundant_count) if isinstance(scenario.work, Serving) else 0.0,
    )


def read_model(catalogue: Catalogue, name: str) -> ModelSpec:
    """Return a catalogued model, or the one that a `config.json` describes."""
    path = Path(name)
    try:
        return catalogue.model(name)
    except UnknownNameError:
        if path.suffix == ".json" or (name and path.is_dir()):
            return spec_from_config(read_config(path), model_name(path))
        raise


def model_fact(spec: ModelSpec) -> UsedFact:
    """Return who described the model: one source stands for all its shapes."""
    known = {"vendor", "authors", "benchmark", "third-party", "computed", "assumed"}
    kind: Any = spec.kind if spec.kind in known else "user"
    return UsedFact(where=f"models/{spec.id}:shapes", fact=Fact(kind=kind, source=spec.source, note=spec.note))


def model_name(path: Path) -> str:
    """Return what to call a model given by file: the folder of a `config.json`, or the file's stem."""
    return path.resolve().parent.name if path.name == "config.json" else path.stem


def host_memory(pod: Pod, reader: FactReader, per_chip: float, *, disks: bool = False) -> HostMemory:
    """Return a rank's way to host memory: its own link, or a share of the CPUs on the fabric; to disks if asked."""
    host, ranks = pod.host, (pod.chips_count or 1.0) * per_chip
    rate = held = 0.0
    if host.link_bytes_per_s is not None:
        rate = reader.number("host.link_bytes_per_s", host.link_bytes_per_s) / per_chip
    elif host.bandwidth_bytes_per_s is not None and host.cpus_count is not None:
        cpus = reader.number("host.cpus_count", host.cpus_count)
        rate = cpus * reader.number("host.bandwidth_bytes_per_s", host.bandwidth_bytes_per_s) / ranks
    if rate and host.memory_bytes is not None:
        held = reader.number("host.memory_bytes", host.memory_bytes) / ranks
    room = reads = 0.0
    if disks and host.disk_bytes is not None:
        room = reader.number("host.disk_bytes", host.disk_bytes) / ranks
    if disks and host.disk_bytes_per_s is not None:
        reads = reader.number("host.disk_bytes_per_s", host.disk_bytes_per_s) / ranks
    return HostMemory(memory_bytes=held, bytes_per_s=rate, disk_bytes=room, disk_bytes_per_s=reads)


def reads_disks(scenario: Scenario) -> bool:
    """Return whether a question is about disks: prefixes are kept on them, or weights come from them."""
    traffic = scenario.traffic
    return traffic is not None and (traffic.prefix_cache == "disk" or bool(traffic.operations.autoscale))


def trained_spec(spec: ModelSpec, scenario: Scenario) -> ModelSpec:
    """Return the model with the multi-token-prediction layers that training is asked to carry along."""
    return replace(spec, mtp_layers_count=scenario.work.mtp_layers) if isinstance(scenario.work, Training) else spec


def size(pod: Pod, scenario: Scenario) -> tuple[float, float]:
    """Return (pods, cards): the pod as catalogued, or as many pods as asked, or enough pods for the cards asked."""
    if scenario.pods is not None and scenario.cards is not None:
        raise ScenarioError("both --pods and --cards are given", where=f"pods/{pod.id}", hint="give one of them")
    chips = FactReader(kind="pods", entry=pod).number("chips_count", pod.chips_count)
    if scenario.cards is not None:
        if scenario.cards < 1:
            raise ScenarioError(f"--cards is {scenario.cards}", where=f"pods/{pod.id}", hint="at least 1")
        return float(math.ceil(scenario.cards / chips)), float(scenario.cards)
    pods = float(scenario.pods) if scenario.pods is not None else pod.pods_count
    if pods < 1:
        raise ScenarioError(f"--pods is {pods:g}", where=f"pods/{pod.id}", hint="at least 1")
    return pods, pods * chips


def choose_precision(chip: Chip, scenario: Scenario) -> Precision:
    """Return the asked number format, or the first of the automatic ones whose rate the chip is known to have."""
    if scenario.precision != "auto":
        if scenario.precision not in PRECISIONS:
            raise ScenarioError(
                f"unknown precision {scenario.precision!r}",
                where="--precision",
                hint=f"one of auto, {', '.join(PRECISIONS)}",
            )
        return PRECISIONS[scenario.precision]
    order = AUTO_TRAIN if isinstance(scenario.work, Training) else AUTO_SERVE
    return next((PRECISIONS[name] for name in order if supported(chip, PRECISIONS[name].matmul)), PRECISIONS["bf16"])


def cached(precision: Precision, scenario: Scenario) -> Precision:
    """Return the format with the cache elements that the scenario asks for."""
    work = scenario.work
    wanted = 0.0 if isinstance(work, Training) else work.cache_bytes
    return replace(precision, kv_bytes=wanted) if wanted else precision


def hosted(software: Software, pod: Pod, reader: FactReader) -> Software:
    """Return the release with the times of the pod's host, where both its rating and that of the measurement are known.

    Anywhere else the times are as they were measured.
    """
    if software.thread_op_per_s is None or pod.host.thread_op_per_s is None:
        return software
    return software.on(reader.number("host.thread_op_per_s", pod.host.thread_op_per_s))


def choose_software(catalogue: Catalogue, scenario: Scenario) -> Software:
    """Return the release that the scenario names, or what current ones of its phase have in common.

    Raises UnknownNameError for a release that is not catalogued, ScenarioError for one of the other phase.
    """
    phase = "training" if isinstance(scenario.work, Training) else "serving"
    found = catalogue.software(scenario.software or phase)
    if found.phase != phase:
        raise ScenarioError(
            f"{found.name} is software for {found.phase}", where="--software", hint=f"this question is about {phase}"
        )
    return found
