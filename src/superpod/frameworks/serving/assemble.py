"""Commands of one file as one deployment: equal ones are instances of a pool, and the router says how many."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from superpod.catalog.load import Catalogue
from superpod.errors import ScenarioError
from superpod.frameworks.serving.pool import Pool, ServingImport
from superpod.frameworks.settings import Settings, scalar

# Checkpoints that only bear a model's name.
DISTILLED = re.compile(r"distill|eagle|draft|lora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """One command: the pool that it is an instance of, its address, and what else it says."""

    pool: Pool
    model: str = ""
    precision: str | None = None
    address: tuple[str, str] = ("", "")
    unread: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """What a router is told: its policy, the addresses (host, port) of the instances of each mode, and how many."""

    policy: str = ""
    addresses: Mapping[str, tuple[tuple[str, str], ...]]
    counts: Mapping[str, int] = field(default_factory=dict)

    def mode_of(self, address: tuple[str, str]) -> str:
        """Return the mode of an instance by its address, or by its port where that says enough; empty for none."""
        for place in (lambda item: item == address, lambda item: item[1] == address[1]):
            modes = {mode for mode, known in self.addresses.items() if any(map(place, known))}
            if len(modes) == 1:
                return modes.pop()
        return ""


def addresses(urls: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return (host, port) of each word that is an address, a protocol before it or none."""
    found = (re.fullmatch(r"(?:\w+://)?([^:/\s]+|\$\S+):(\d+)/?.*", url) for url in urls)
    return tuple((match[1], match[2]) for match in found if match)


def assembled(
    engine: str, software: str, where: str, launched: list[Launched], router: Router | None, unread: Iterable[str]
) -> ServingImport:
    """Return the deployment; raise ScenarioError where no command starts an instance."""
    if not launched:
        raise ScenarioError(
            f"found no command that starts an instance of {engine}, expected one or more",
            where=where,
            hint="commands of other nodes of an instance (rank 1 and above, headless) do not count",
        )
    counts: dict[Pool, int] = {}
    for one in launched:
        key = replace(one.pool, instances=1)
        counts[key] = counts.get(key, 0) + one.pool.instances
    pools = [replace(pool, instances=count) for pool, count in counts.items()]
    if router is not None:
        pools = [told(pool, pools, router) for pool in pools]
    notes = list(dict.fromkeys([*unread, *(note for one in launched for note in one.unread)]))
    models = list(dict.fromkeys(one.model for one in launched if one.model))
    formats = list(dict.fromkeys(one.precision for one in launched if one.precision))
    if len(models) > 1:
        raise ScenarioError(
            f"found several models, {', '.join(models)}, expected one", where=where, hint="give one deployment a file"
        )
    notes += [f"number formats {', '.join(formats)}: read as the first"] if len(formats) > 1 else []
    return ServingImport(
        engine=engine,
        software=software,
        where=where,
        model=models[0] if models else "",
        model_id=catalogued(models[0]) if models else "",
        precision=formats[0] if formats else None,
        pools=tuple(sorted(pools, key=lambda pool: pool.mode != "decode")),
        router=router.policy if router else "",
        unread=tuple(notes),
        ignored_count=len(frozenset[str]().union(*(one.ignored for one in launched))),
    )


def told(pool: Pool, pools: list[Pool], router: Router) -> Pool:
    """Return a pool with as many instances as the router knows of, where its mode is that pool's alone."""
    alone = sum(other.mode == pool.mode for other in pools) == 1
    known = max(len(router.addresses.get(pool.mode, ())), router.counts.get(pool.mode, 0))
    return replace(pool, instances=max(pool.instances, known)) if alone else pool


def catalogued(model: str) -> str:
    """Return the catalogue's name of a model by that of its checkpoint, empty where none fits.

    The longest name that the checkpoint's begins with, up to a dash: `DeepSeek-V3-0324` is deepseek-v3, `DeepSeek-V3.1`
    is not.
    """
    name = model.rstrip("/").rsplit("/", 1)[-1].lower().removeprefix("meta-")
    if DISTILLED.search(name):
        return ""
    catalogue = Catalogue()
    known = {alias: found for found in catalogue.names("models") for alias in (found, *catalogue.model(found).aliases)}
    fitting = [alias for alias in known if name == alias or name.startswith(f"{alias}-")]
    return known[max(fitting, key=len)] if fitting else ""


def noted(settings: Settings, notes: Mapping[str, str]) -> list[str]:
    """Return a remark on each setting of `notes` that is not off, with how it is read."""
    found = []
    for name, how in notes.items():
        if name not in settings:
            continue
        value = settings.values[name].value
        words = value if isinstance(value, list) else [value]
        said = "" if value is True else f" {' '.join(map(str, words))}"
        if str(scalar(value)).lower() not in {"false", "0", "none", "1.0", "fcfs", "auto"}:
            found.append(f"{settings.said(name)}{said}: {how}")
    return found


def divides(settings: Settings, name: str, part: int, whole: int, what: str) -> None:
    """Raise ScenarioError where a degree does not divide the ranks that it is cut from."""
    if whole % part:
        raise settings.problem(name, f"a divisor of {what} {whole}")


def precision_of(settings: Settings, formats: Mapping[str, str], name: str = "quantization") -> tuple[str | None, str]:
    """Return a row of PRECISIONS by what the command says of number formats, and a remark on what has none."""
    said = settings.word(name)
    if said and said not in {"none", "auto"}:
        for word, row in formats.items():
            if word in said:
                return row, ""
        return None, f"{settings.said(name)} {said}: not modelled; give the nearest number format with --precision"
    kind = settings.word("dtype")
    rows = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
    return rows.get(kind), f"{settings.said('dtype')} {kind}: 32 bits are not modelled" if kind in {
        "float",
        "float32",
    } else ""


def cache_of(settings: Settings, name: str) -> float:
    """Return bytes of an element of the KV cache, 2 for `auto`, which is 16 bits unless the checkpoint says otherwise.

    4-bit formats carry an 8-bit scale for 16 elements, 0.5625 bytes.
    """
    said = settings.word(name)
    if not said or said in {"auto", "bf16", "bfloat16", "float16", "fp16"}:
        return 2.0
    for word, size in {"fp8": 1.0, "int8": 1.0, "fp4": 0.5625}.items():
        if word in said:
            return size
    raise settings.problem(name, "auto, 16 bits, or a kind of fp8 or fp4")


def later(settings: Settings, name: str) -> bool:
    """Return whether a rank is 1 or above; a variable that the script does not set stands for the first."""
    rank = str(scalar(settings.values[name].value)) if name in settings else "0"
    return rank.isdecimal() and bool(rank.strip("0"))


def named(settings: Settings, name: str, otherwise: str = "") -> str:
    """Return a name as the file writes it, capitals kept."""
    return str(scalar(settings.values[name].value)) if name in settings else otherwise
