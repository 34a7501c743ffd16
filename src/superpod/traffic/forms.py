"""The forms of traces that are read: which column or key holds what."""

from collections.abc import Collection
from dataclasses import dataclass

from superpod.errors import TrafficError

CALENDAR_S = 0.0
"""Unit of a date with its time of day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Names of columns (CSV) or keys (JSON lines), recognised by those that a form needs; others are passed over."""

    name: str
    prompt: str
    output: str
    arrival: str
    unit_s: float
    """Seconds of the arrivals' unit; `CALENDAR_S` for dates."""
    lengths_only: bool = False
    """Whether a file without arrivals is of this form too."""
    from_first: bool = False
    """Whether times are a clock's: the first request then comes at 0."""
    session: str = ""
    blocks: str = ""
    block_tokens: int = 0
    failed: str = ""
    """What an answer of no tokens is; such requests are left out. Empty: it is an error."""

    @property
    def needed(self) -> tuple[str, ...]:
        """Names that make a file one of this form."""
        return (self.prompt, self.output) if self.lengths_only else (self.arrival, self.prompt, self.output)

    @property
    def optional(self) -> tuple[str, ...]:
        """Further names that are read where they are there."""
        return tuple(name for name in ((self.arrival,) * self.lengths_only + (self.session, self.blocks)) if name)


FORMS = (
    Form(
        name="superpod",
        prompt="prompt_tokens",
        output="output_tokens",
        arrival="arrival_s",
        unit_s=1.0,
        lengths_only=True,
        session="session",
    ),
    # https://github.com/Azure/AzurePublicDataset (2023: no zone; 2024: +00:00)
    Form(
        name="Azure LLM 2023/2024",
        prompt="ContextTokens",
        output="GeneratedTokens",
        arrival="TIMESTAMP",
        unit_s=CALENDAR_S,
        from_first=True,
    ),
    # https://github.com/HPMLL/BurstGPT: 0 response tokens mean that the request failed
    Form(
        name="BurstGPT",
        prompt="Request tokens",
        output="Response tokens",
        arrival="Timestamp",
        unit_s=1.0,
        from_first=True,
        session="Session ID",
        failed="a request that failed",
    ),
    # https://github.com/kvcache-ai/Mooncake: milliseconds, blocks of 512 tokens
    Form(
        name="Mooncake",
        prompt="input_length",
        output="output_length",
        arrival="timestamp",
        unit_s=1e-3,
        blocks="hash_ids",
        block_tokens=512,
    ),
    # https://github.com/microsoft/vidur
    Form(
        name="Vidur",
        prompt="num_prefill_tokens",
        output="num_decode_tokens",
        arrival="arrived_at",
        unit_s=1.0,
        lengths_only=True,
    ),
    # https://github.com/microsoft/apex_plus
    Form(
        name="APEX+",
        prompt="context_tokens",
        output="generated_tokens",
        arrival="arrival_offset_ns",
        unit_s=1e-9,
    ),
    # https://github.com/casys-kaist/LLMServingSim: ShareGPT lengths, as table and as lines
    Form(name="LLMServingSim", prompt="input_tokens", output="output_tokens", arrival="arrival_time_ns", unit_s=1e-9),
    Form(name="LLMServingSim", prompt="input_toks", output="output_toks", arrival="arrival_time_ns", unit_s=1e-9),
    # https://github.com/vllm-project/vllm: requests of its benchmarks
    Form(
        name="vLLM requests",
        prompt="prompt_len",
        output="output_len",
        arrival="timestamp",
        unit_s=1.0,
        lengths_only=True,
        from_first=True,
    ),
)
RESULT = Form(
    name="result of vLLM's or SGLang's serving benchmark",
    prompt="input_lens",
    output="output_lens",
    arrival="start_times",
    unit_s=1.0,
    lengths_only=True,
    from_first=True,
    failed="a request that failed",
)
"""One JSON object with a list under each name; start times since vLLM pull request 32667."""


def recognised(names: Collection[str], where: str) -> Form:
    """Return the form that has these columns or keys.

    Raises:
        TrafficError: none has.
    """
    for form in (RESULT, *FORMS):
        if all(name in names for name in form.needed):
            return form
    raise unknown(f"no known form of trace; found {', '.join(map(str, names)) or 'no columns'}"[:300], where)


def unknown(message: str, where: str) -> TrafficError:
    """Return the error that lists the forms."""
    known = [f"{form.name}: {', '.join(form.needed)}" for form in (*FORMS, RESULT)]
    known.append("ServeGen: a folder of chunk-N-trace.csv and chunk-N-dataset.json")
    return TrafficError(message, where=where, hint="known forms\n  " + "\n  ".join(known))
