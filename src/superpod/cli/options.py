"""Options that verbs share, and what they mean: a catalogue, an output, a scenario.

Heavy imports stand inside functions here and in the verbs: `superpod --help` must not wait for numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from superpod.plan.scenario import Scenario, Serving, Training

if TYPE_CHECKING:
    from superpod.catalog.load import Catalogue

Command = TypeVar("Command", bound=Callable[..., Any])
TABLES = ("none", "auto", "all", "trtllm", "sglang", "vllm")
PRECISIONS = ("auto", "bf16", "fp8", "int8", "fp4")
CACHE_BYTES = {"auto": 0.0, "bf16": 2.0, "fp8": 1.0}  # bytes of an element; auto: as the number format has it
DURATION_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0}
SIZE_UNITS = {
    "": 1.0,
    "b": 1.0,
    **{f"{prefix}b": 1e3 ** (power + 1) for power, prefix in enumerate("kmgtp")},
    **{f"{prefix}ib": 1024.0 ** (power + 1) for power, prefix in enumerate("kmgtp")},
}
# Option -> the layout degree that it pins.
PINS = {
    "tp": "tensor",
    "cp": "context",
    "pp": "pipeline",
    "vp": "virtual",
    "dp": "data",
    "ep": "expert",
    "etp": "expert_tensor",
    "micro_batch": "micro_batch",
    "zero": "zero",
    "recompute": "recompute",
    "shard": "shard",
    "schedule": "schedule",
    "split": "split",
    "overlap": "overlap",
    "tensor_overlap": "tensor_overlap",
    "cp_kind": "context_kind",
    "offload": "offload",
    "order": "order",
}
MODULES = ("core_attn", "mla_up_proj", "layernorm", "mlp", "moe_act", "moe", "shared_experts")
TRAINING_NAMES = ("batch", "seq", "tp", "cp", "pp", "vp", "dp", "ep", "etp", "micro_batch", "zero", "recompute")
SERVING_NAMES = ("prompt", "output", "ttft", "tpot", "mode", "mtp", "acceptance")
RATIO_MAX = 1e4  # a load over the mean is at most the ranks that share it
OUTPUT_FLAGS = ("--html", "--svg", "--heat-map", "--export", "--trace", "--out", "--trace-window")


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Seconds, with or without a unit: 2, 2s, 500ms."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; fail on anything that is not a positive duration."""
        seconds = parse_duration(str(value))
        if not seconds:
            self.fail(f"{value!r} is no duration; write 2, 2s, 500ms, 5min or 1h", param, ctx)
        return seconds


class Size(click.ParamType):  # type: ignore[type-arg]  # as above
    """Bytes, with or without a unit: 1000000, 64MB, 1GiB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return bytes; fail on anything that is not a positive size."""
        size = parse_size(str(value))
        if size is None:
            self.fail(f"{value!r} is no size; write bytes as 1000000, 64MB or 1GiB", param, ctx)
        return size


class Words(click.ParamType):  # type: ignore[type-arg]  # as Duration
    """One of some words, or several of some others joined by +."""

    name = "words"

    def __init__(self, *single: str, joined: tuple[str, ...] = ()) -> None:
        self.single, self.joined = single, joined

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the words, those that are joined in their own order; fail on any other."""
        given = str(value).split("+")
        if str(value) in self.single:
            return str(value)
        if unknown := [word for word in given if word not in self.joined]:
            known = ", ".join(self.single) + (f", or {', '.join(self.joined)} joined by +" if self.joined else "")
            self.fail(f"found {unknown[0]!r}, expected {known}", param, ctx)
        return "+".join(word for word in self.joined if word in given)


def parse_size(text: str) -> float | None:
    """Return bytes; None for anything that is not a positive size.

    >>> parse_size("64MB"), parse_size("1GiB"), parse_size("1e6")
    (64000000.0, 1073741824.0, 1000000.0)
    """
    match = re.fullmatch(r"([0-9.]+(?:e[+-]?\d+)?)\s*([a-z]*)", text.strip().lower())
    try:
        size = float(match[1]) * SIZE_UNITS[match[2]] if match else 0.0
    except (KeyError, ValueError):
        size = 0.0
    return size if 0 < size < float("inf") else None


def parse_duration(text: str) -> float | None:
    """Return seconds; None for anything that is not a duration from 0 up."""
    match = re.fullmatch(r"([0-9.]+(?:e-?\d+)?)\s*([a-z]*)", text.strip().lower())
    try:
        seconds = float(match[1]) * DURATION_UNITS[match[2]] if match else -1.0
    except (KeyError, ValueError):
        seconds = -1.0
    return seconds if 0 <= seconds < float("inf") else None


COUNT = click.IntRange(min=1)
DURATION = Duration()
SIZE = Size()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where an answer goes beside the terminal, and the command that asked for it."""

    json: bool = False
    html: Path | None = None
    svg: Path | None = None
    command: str = "superpod"


def common(command: Command) -> Command:
    """Add the options of every verb."""
    file = click.Path(dir_okay=False, path_type=Path)
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    for option in (
        click.option(
            "--estimates", is_flag=True, help="Use the catalogue's flagged estimates for unpublished numbers."
        ),
        click.option(
            "--set", "settings", multiple=True, metavar="KIND/ID:PATH=NUMBER", help="Replace one number, in SI units."
        ),
        click.option(
            "--catalog",
            "folders",
            multiple=True,
            type=folder,
            envvar="SUPERPOD_CATALOG",
            show_envvar=True,
            help="Also read this catalogue folder; later ones win.",
        ),
        click.option("--svg", type=file, hidden=True, help="Save what the terminal shows as an SVG picture."),
        click.option("--html", type=file, metavar="FILE", help="Also write a self-contained HTML report."),
        click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON."),
    ):
        command = option(command)
    return command


def machine_size(command: Command) -> Command:
    """Add `--pods N` and `--cards N`."""
    command = click.option("--cards", type=COUNT, metavar="N", help="Use this many cards.")(command)
    return click.option("--pods", type=COUNT, metavar="N", help="Use this many pods.")(command)


def machine(command: Command) -> Command:
    """Add the options of a scenario that are the same for all work."""
    command = click.option("--facility", default="us-large", show_default=True, metavar="NAME", help="The building.")(
        command
    )
    command = click.option(
        "--software", default="", metavar="RELEASE", help="Engine or framework whose host costs and defaults apply."
    )(command)
    command = click.option(
        "--tables",
        type=click.Choice(TABLES),
        default="none",
        show_default=True,
        help="Measured operator tables, by engine; needs the extra `tables`.",
    )(command)
    return click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True)(command)


def training_work(command: Command) -> Command:
    """Add the options of a training step and of its layout."""
    degrees = [
        click.option(f"--{name}", type=COUNT, metavar="N", help=f"Pin {PINS[name].replace('_', '-')} parallelism.")
        for name in ("tp", "cp", "pp", "vp", "dp", "ep", "etp")
    ]
    options = [
        click.option(
            "--batch", type=COUNT, default=4096, show_default=True, metavar="SEQUENCES", help="Sequences a step."
        ),
        click.option("--seq", type=COUNT, default=4096, show_default=True, metavar="TOKENS", help="Tokens a sequence."),
        *degrees,
        click.option("--micro-batch", type=COUNT, metavar="SEQUENCES", help="Pin the sequences of one pass."),
        click.option("--zero", type=click.Choice(("0", "1", "2", "3")), help="Pin the ZeRO stage."),
        click.option(
            "--recompute",
            type=Words("none", "selective", "full", joined=MODULES),
            metavar="WHAT",
            help="Pin recomputation: none, selective, full, or modules joined by +.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse what is no number that can be computed with: nan, which lies in no range, infinity, and what overflows."""
    if not math.isfinite(value) or value > RATIO_MAX:
        raise click.BadParameter(f"found {value:g}, expected a number up to {RATIO_MAX:,.0f}", context, parameter)
    return value


def serving_work(command: Command) -> Command:
    """Add the options of steady-state serving."""
    options = [
        click.option(
            "--prompt", type=COUNT, default=4096, show_default=True, metavar="TOKENS", help="Prompt of a request."
        ),
        click.option(
            "--output", type=COUNT, default=1024, show_default=True, metavar="TOKENS", help="Output of a request."
        ),
        click.option(
            "--ttft", type=DURATION, default="5s", show_default=True, metavar="TIME", help="Time to the first token."
        ),
        click.option(
            "--tpot", type=DURATION, default="50ms", show_default=True, metavar="TIME", help="Time per output token."
        ),
        click.option(
            "--mode",
            type=click.Choice(("auto", "aggregated", "disaggregated", "afd")),
            default="auto",
            show_default=True,
            help="Prompts read by pools of their own or not; afd: attention and FFN on ranks of their own too.",
        ),
        click.option(
            "--mtp", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Draft tokens a step."
        ),
        click.option(
            "--kv",
            type=click.Choice(tuple(CACHE_BYTES)),
            default="auto",
            show_default=True,
            help="Number format of the KV cache.",
        ),
        click.option(
            "--imbalance",
            type=click.FloatRange(min=1.0),
            callback=finite,
            default=1.0,
            show_default=True,
            metavar="RATIO",
            help="Load of the fullest expert rank over the mean, by the router's liking.",
        ),
        click.option(
            "--acceptance",
            type=click.FloatRange(0.0, 1.0),
            callback=finite,
            default=0.7,
            show_default=True,
            metavar="FRACTION",
            help="Share of draft tokens that is accepted.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def open_catalogue(options: Mapping[str, Any]) -> Catalogue:
    """Return the shipped catalogue with the user's folders and numbers over it."""
    from superpod.catalog.load import SHIPPED, Catalogue, parse_overrides

    return Catalogue(
        folders=(SHIPPED, *options["folders"]),
        overrides=parse_overrides(options["settings"]),
        estimates=options["estimates"],
    )


def outputs(options: Mapping[str, Any]) -> Outputs:
    """Return where the answer goes."""
    command = click.get_current_context().find_root().meta.get("superpod.command", "superpod")
    return Outputs(json=options["as_json"], html=options["html"], svg=options["svg"], command=command)


def training(options: Mapping[str, Any]) -> Training:
    """Return the training work that the options describe."""
    return Training(batch_sequences=options["batch"], sequence_tokens=options["seq"])


def serving(options: Mapping[str, Any]) -> Serving:
    """Return the serving work that the options describe."""
    return Serving(
        prompt_tokens=options["prompt"],
        output_tokens=options["output"],
        ttft_s=options["ttft"],
        tpot_s=options["tpot"],
        draft_tokens=options["mtp"],
        acceptance_frac=options["acceptance"],
        mode=options["mode"],
        cache_bytes=CACHE_BYTES[options["kv"]],
        imbalance_ratio=options["imbalance"],
    )


def scenario(model: str, pod: str, work: Training | Serving, options: Mapping[str, Any]) -> Scenario:
    """Return one question; options that a verb does not have keep their defaults."""
    pods, cards = options.get("pods"), options.get("cards")
    refuse_two_sizes(options)
    fixed = {degree: options[name] for name, degree in PINS.items() if options.get(name) is not None}
    return Scenario(
        model=model,
        pod=pod,
        work=work,
        pods=pods,
        cards=cards,
        precision=options["precision"],
        facility=options["facility"],
        software=options.get("software", ""),
        tables=options.get("tables", "none"),
        fixed=fixed if isinstance(work, Training) else {},
    )


def refuse_two_sizes(options: Mapping[str, Any]) -> None:
    """Raise a usage error where the machine is sized twice."""
    if options.get("pods") is not None and options.get("cards") is not None:
        raise click.UsageError("give --pods or --cards, not both: each sizes the machine")


def refuse_given(names: tuple[str, ...], because: str) -> None:
    """Raise a usage error where the user gave an option that means nothing here."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} {because}")


def question_words(arguments: list[str]) -> list[str]:
    """Return the command's words without those that only say where the answer goes.

    >>> question_words(["claims", "--html", "out.html", "--json"])
    ['claims']
    >>> question_words(["serve", "--trace", "in.csv", "--export", "vllm", "run.sh"])
    ['serve', '--trace', 'in.csv']
    """
    kept: list[str] = []
    asked = {"--trace"} if arguments[:1] == ["serve"] else set()  # the requests of `serve`, what `train` writes
    flags = {*OUTPUT_FLAGS} - asked
    pairs = {"--export"} if arguments[:1] in (["serve"], ["train"]) else set()  # a format and a file
    skip, joined = 0, tuple(f"{flag}=" for flag in flags)
    for word in arguments:
        if skip:
            skip -= 1
        elif word in flags:
            skip = 2 if word in pairs else 1
        elif word != "--json" and not word.startswith(joined):
            kept.append(word)
    return kept
