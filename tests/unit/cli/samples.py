"""Answers made by hand: a report, a comparison and verdicts with everything that can appear in them."""

from dataclasses import replace

from superpod.catalog.provenance import Fact, Source, UsedFact
from superpod.plan.claims.verdict import Verdict
from superpod.plan.compare.result import Comparison, Contender, Refusal
from superpod.plan.report import Candidate, Metric, Report, Sensitivity, Share
from superpod.result import Limit, Term, total

PAPER = Source(
    id="paper", title="Serving LLMs <fast> & wide", url="https://example.org/paper?a=1&b=2", date="2025-06", note=""
)
SHEET = Source(id="sheet", title="Data sheet", url="javascript:alert(1)", date="2026-01", note="")
SOURCES = {"paper": PAPER, "sheet": SHEET}
POD = "pods/cloudmatrix384"


def leaf(name: str, time_s: float) -> Term:
    """Return a time without parts."""
    return Term(name=name, time_s=time_s)


PREFILL = total(
    "prefill of 4,096 tokens",
    total(
        "attention",
        leaf("latent attention core", 0.0712),
        leaf("projections", 0.0405),
        leaf("norms and rotary", 0.0031),
    ),
    total("experts", leaf("routed experts", 0.0893), leaf("shared expert", 0.0092), leaf("router", 0.0018)),
    total("fabric", leaf("expert dispatch", 0.0188), leaf("expert combine", 0.0301)),
    leaf("host", 0.0009),
)
DECODE = total(
    "decode step",
    total("attention", leaf("latent attention core", 0.0139), leaf("projections", 0.0058)),
    total("experts", leaf("routed experts", 0.0067), leaf("shared expert", 0.0011)),
    total("fabric", leaf("expert dispatch", 0.0049), leaf("expert combine", 0.0068)),
    leaf("launches", 0.0021),
)
FACTS = (
    UsedFact(
        where="chips/ascend-910c:matrix_flop_per_s.int8",
        fact=Fact(value=1.504e15, low=1.5e15, high=1.6e15, kind="authors", source="paper", note="two dies"),
    ),
    UsedFact(
        where="chips/ascend-910c:memory.bandwidth_bytes_per_s", fact=Fact(value=3.2e12, kind="authors", source="paper")
    ),
    UsedFact(
        where=f"{POD}:tiers.pod.bandwidth_bytes_per_s",
        fact=Fact(value=3.5e11, kind="vendor", source="sheet", conflict="another page prints 392 GB/s"),
    ),
    UsedFact(where=f"{POD}:power.max_w", fact=Fact(value=6e5, kind="user", note="given by the user")),
    UsedFact(
        where="calibration/ascend-910c:kernel_s",
        fact=Fact(value=4e-6, kind="assumed", note="borrowed from Hopper <no markup>: 4.0 us a kernel"),
    ),
    UsedFact(
        where=f"{POD}:tiers.pod.latency_s",
        fact=Fact(
            value=1.6e-6,
            low=8e-7,
            high=3e-6,
            kind="estimate",
            source="paper",
            missing=True,
            note="0.85 us measured at the endpoint and two hops",
        ),
    ),
)
LIMITS = (
    Limit(
        code="tpot", what="time per output token", needed=0.0493, available=0.05, unit="s", cure="a smaller batch a die"
    ),
    Limit(
        code="memory-decode",
        what="memory of a decode rank",
        needed=4.82e10,
        available=6.4e10,
        unit="B",
        cure="more expert parallelism",
    ),
    Limit(
        code="memory-prefill",
        what="memory of a prefill rank",
        needed=3.1e10,
        available=6.4e10,
        unit="B",
        cure="more ranks",
    ),
    Limit(
        code="ttft", what="time to the first token", needed=0.941, available=2.0, unit="s", cure="more prefill ranks"
    ),
    Limit(code="cards", what="cards", needed=384.0, available=384.0, unit="", cure="a second pod"),
)
REPORT = Report(
    question="How many tokens a second does DeepSeek-R1 serve on CloudMatrix384 at 50 ms a token?",
    work="serve",
    model="deepseek-v3@2024-12",
    pod="cloudmatrix384@2026-06",
    pod_name="Huawei CloudMatrix384",
    state="shipping",
    cards_count=384.0,
    cards_used_count=352.0,
    pods_count=1.0,
    precision="int8",
    software="serving-2026@2026-11",
    headline=Metric(
        key="output_tokens_per_s_card", label="Output tokens per second and card", value=1943.4, unit="token/s"
    ),
    band=(1655.0, 2210.0),
    metrics=(
        Metric(key="output_tokens_per_s", label="output", value=684_000.0, unit="token/s"),
        Metric(key="prefill_tokens_per_s_card", label="prefill per card", value=6688.0, unit="token/s"),
        Metric(key="ttft_s", label="time to the first token", value=0.941, unit="s"),
        Metric(key="tpot_s", label="time per output token", value=0.0493, unit="s"),
        Metric(key="batch_count", label="requests in flight", value=36_864.0, unit="request"),
        Metric(key="power_w", label="power", value=5.6e5, unit="W"),
        Metric(key="usd_per_token", label="cost", value=4.1e-7, unit="USD/token"),
        Metric(key="mfu_frac", label="model FLOP utilisation", value=0.217, unit=""),
    ),
    breakdowns=(PREFILL, DECODE),
    memory=(
        (
            "prefill",
            (Share(name="weights", amount_bytes=2.4e10), Share(name="KV cache", amount_bytes=4e9)),
        ),
        (
            "decode",
            (
                Share(name="weights", amount_bytes=1.31e10),
                Share(name="KV cache", amount_bytes=3.2e10),
                Share(name="activations", amount_bytes=3.1e9),
            ),
        ),
    ),
    limits=LIMITS,
    binding="The time per output token binds: 1.4 % of 50 ms is free; 1.2 × the memory bandwidth would give 11 % more.",
    layout={"prefill expert": 32.0, "decode expert": 320.0, "tensor": 1.0, "batch": 96.0, "mode": "disaggregated"},
    runners_up=(
        Candidate(
            layout={
                "prefill expert": 32.0,
                "decode expert": 160.0,
                "tensor": 1.0,
                "batch": 88.0,
                "mode": "disaggregated",
            },
            value=1811.0,
            why="each die holds two experts a layer: less room for KV cache",
        ),
        Candidate(
            layout={
                "prefill expert": 32.0,
                "decode expert": 320.0,
                "tensor": 2.0,
                "batch": 96.0,
                "mode": "disaggregated",
            },
            value=1644.0,
            why="tensor parallelism adds two all-reduces a layer",
        ),
        Candidate(
            layout={"tensor": 8.0, "mode": "aggregated"}, value=0.0, why="misses the time per output token by 31 %"
        ),
    ),
    considered_count=4212,
    feasible_count=1377,
    sensitivities=(
        Sensitivity(where="chips/ascend-910c:memory.bandwidth_bytes_per_s", elasticity=0.55),
        Sensitivity(where=f"{POD}:tiers.pod.latency_s", elasticity=-0.08),
    ),
    facts=FACTS,
    notes=("the shape of the efficiency curve is borrowed from Hopper",),
    catalogue_hash="3f2a9c1d",
    version="0.1.0",
)
PLANNED = replace(
    REPORT,
    pod="atlas950-8192@2025-09",
    pod_name="Atlas 950 SuperPoD (8,192, roadmap)",
    state="roadmap",
    headline=replace(REPORT.headline, value=2710.0),
    band=(1900.0, 3300.0),
    facts=(FACTS[0], FACTS[5]),
)
PLAIN = replace(
    REPORT,
    pod="hgx-h100@2024-06",
    pod_name="HGX H100",
    headline=replace(REPORT.headline, value=1200.0),
    facts=FACTS[:3],
)


def contender(report: Report, **numbers: float | tuple[str, ...] | None) -> Contender:
    """Return a contender with the numbers that matter to a test."""
    values: dict[str, object] = {
        "report": report,
        "pods_count": 1.0,
        "cards_count": 384.0,
        "tokens_per_s": 746_000.0,
        "per_card": 1943.4,
        "per_pod": 746_000.0,
        "per_kw": 1332.0,
        "goodput_frac": 0.98,
        "site_w": 5.1e5,
        "usd_per_s": 0.11,
        "mtoken_usd": 0.42,
        "chip_factor": 1.0,
        "system_factor": 1.0,
        "ideal_per_card": 2480.0,
        "system_efficiency": 1943.4 / 2480.0,
        "lacks": (),
        **numbers,
    }
    return Contender(**values)  # type: ignore[arg-type]


COMPARISON = Comparison(
    question="Which of four machines serves DeepSeek-V3 best, card for card?",
    basis="equal-cards",
    work="serve",
    contenders=(
        contender(PLAIN, per_card=1200.0, ideal_per_card=2900.0, system_efficiency=1200 / 2900, tokens_per_s=460_800.0),
        contender(REPORT, chip_factor=0.855, system_factor=1.894),
        contender(
            PLANNED,
            per_card=2710.0,
            ideal_per_card=3400.0,
            per_kw=None,
            site_w=None,
            usd_per_s=None,
            mtoken_usd=None,
            chip_factor=1.172,
            system_factor=1.926,
            system_efficiency=2710 / 3400,
            lacks=("power of the pod is not published", "price is not published"),
        ),
    ),
    refusals=(
        Refusal(pod="panjiu-al128", reason="pods/panjiu-al128:tiers.pod.bandwidth_bytes_per_s is not published"),
    ),
    verdict=(
        "The system beats the chip on CloudMatrix384: × 0.86 of the chip and × 1.89 of the system give × 1.62 a card."
    ),
)
VERDICTS = (
    Verdict(
        id="atlas950-cards",
        claim="56.8 times the cards of NVL144",
        who="Huawei, HC 2025",
        source="paper",
        arithmetic="8192 / 144 = 56.9",
        claimed=56.8,
        computed=56.89,
        unit="x",
        outcome="reproduces",
        because="The ratio of the printed sizes.",
    ),
    Verdict(
        id="al128-inference",
        claim="50 % more inference at equal compute",
        who="Alibaba",
        source="nowhere",
        arithmetic="no bandwidth is published",
        claimed=0.5,
        computed=None,
        unit="",
        outcome="not checkable",
        because="The scale-up bandwidth is not published.",
    ),
    Verdict(
        id="atlas950-compute",
        claim="6.7 times the compute of NVL144",
        who="Huawei, HC 2025",
        source="sheet",
        arithmetic="8 EFLOP/s / 1.2 EFLOP/s = 6.67, both FP8",
        claimed=6.7,
        computed=6.67,
        unit="x",
        outcome="only under these assumptions",
        because="Only against FP8 of NVL144; its FP4 is three times that.",
    ),
)
