"""Serving claims, simulated at their published or assumed operating points."""

from dataclasses import replace

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.errors import InfeasibleError
from superpod.fabric.tiers import build
from superpod.parallel.layout import Layout
from superpod.plan.claims.checks.finding import Finding, given, quotient, shown, stated
from superpod.plan.machine import Machine, machine
from superpod.plan.scenario import Scenario, Serving
from superpod.plan.serving.search import search
from superpod.serve.steady import Decode, Requests, decode, prefill
from superpod.units import human
from superpod.workload.one_each import one_expert_each

DEEPSEEK, SMALLER = "deepseek-v3", "qwen3-235b-a22b"


def cloudmatrix(catalogue: Catalogue) -> Machine:
    """Return CloudMatrix384 with DeepSeek-R1."""
    return machine(catalogue, Scenario(model="deepseek-r1", pod="cloudmatrix384", work=Serving()))


def undrafted(claim: Claim, output_tokens: float) -> Requests:
    """Return a claim's requests, served without drafts."""
    prompt = given(claim, "prompt_tokens")
    return Requests(prompt_tokens=prompt, output_tokens=output_tokens, draft_tokens=0, acceptance_frac=0.0)


def cm384_decode(catalogue: Catalogue, claim: Claim) -> Finding:
    """Simulate a decode rate at its batch: one rank and one expert a die."""
    made = cloudmatrix(catalogue)
    requests = Requests(
        prompt_tokens=given(claim, "prompt_tokens"),
        output_tokens=given(claim, "output_tokens"),
        draft_tokens=int(given(claim, "draft_tokens")),
        acceptance_frac=given(claim, "acceptance_frac"),
    )
    dies, per_card = given(claim, "dies_count"), made.fabric.ranks_per_chip
    batch = given(claim, "card_sequences_count") / per_card
    engine = replace(made.engine, spec=one_expert_each(made.spec, round(dies)))
    layout = Layout(tensor=1.0, data=dies, expert=dies, imbalance_ratio=given(claim, "imbalance_ratio"))
    step = decode(engine, layout, batch, requests)
    rate = per_card * float(step.tokens_per_s_rank)
    return Finding(
        arithmetic=f"simulated on {dies:,.0f} dies (EP{dies:.0f}) in {made.precision.name}, {batch:g} sequences a die, "
        f"experts {float(layout.imbalance_ratio):g} uneven, "
        f"{requests.draft_tokens} draft accepted {requests.acceptance_frac:g}: TPOT {human(float(step.tpot_s), 's')}, "
        f"{per_card:g} x {float(step.tokens_per_s_rank):,.0f} = {rate:,.0f} token/s a card",
        computed=rate,
        because=off_by(rate, claim),
    )


def cm384_prefill(catalogue: Catalogue, claim: Claim) -> Finding:
    """Simulate the prefill rate with evenly loaded experts."""
    made, requests = cloudmatrix(catalogue), undrafted(claim, output_tokens=1.0)
    dies, per_card = given(claim, "dies_count"), made.fabric.ranks_per_chip
    layout = Layout(tensor=1.0, data=dies, expert=dies, staged=given(claim, "staged_ranks_count"))
    step = prefill(made.engine, layout, given(claim, "die_prompts_count"), requests)
    rate = per_card * float(step.tokens_per_s_rank)
    return Finding(
        arithmetic=f"simulated on {dies:,.0f} dies (EP{dies:.0f}) in {made.precision.name}, evenly loaded experts: a "
        f"pass of {human(float(step.pass_s), 's')}, {per_card:g} x {float(step.tokens_per_s_rank):,.0f} = {rate:,.0f} "
        "token/s a card",
        computed=rate,
        because=off_by(rate, claim),
    )


def cm384_prefill_skewed(catalogue: Catalogue, claim: Claim) -> Finding:
    """Simulate the prefill with evenly loaded experts and say that the claimed rate's routing is not published."""
    even = cm384_prefill(catalogue, claim)
    return Finding(arithmetic=even.arithmetic, computed=None, because=claim.lacks)


def off_by(rate: float, claim: Claim) -> str:
    """Return how far a simulated rate is off, and the claim's remark."""
    said = f"the simulation is off by {100.0 * (rate / stated(claim) - 1.0):+.0f} %, with nothing fitted to this result"
    return f"{said}; {claim.remark}" if claim.remark else said


def islands(catalogue: Catalogue, made: Machine, each: float, cards: float) -> Machine:
    """Return `cards` of a machine's chips in islands of `each`, joined by the scale-out network of its pod."""
    inner = replace(made.pod.tiers[0], name="island", chips_count=int(each))
    facts = {name.replace("tiers.domain", "tiers.island"): fact for name, fact in made.pod.facts.items()}
    pod = replace(made.pod, tiers=(inner,), chips_count=each, facts=facts)
    count = cards / each
    fabric = build(catalogue, FactReader(kind="pods", entry=pod), pod, count, made.fabric.ranks_per_chip)
    return replace(made, pod=pod, fabric=fabric, pods_count=count, cards_count=cards)


def served(made: Machine, work: Serving) -> float:
    """Return the best rate per card that a machine reaches under the targets."""
    best = search(made, work, {}).best
    if best is None:
        raise InfeasibleError(f"{made.spec.name} finds no plan on {made.cards_count:g} cards", where="claims")
    return best.tokens_per_s / made.cards_count


def al128_inference(catalogue: Catalogue, claim: Claim) -> Finding:
    """Serve two MoE models on one domain and on islands of the same chip, at equal cards."""
    estimated = replace(catalogue, estimates=True)
    cards, each = given(claim, "cards_count"), given(claim, "island_cards_count")
    work = Serving(
        prompt_tokens=int(given(claim, "prompt_tokens")),
        output_tokens=int(given(claim, "output_tokens")),
        tpot_s=given(claim, "tpot_s"),
    )
    said: list[str] = []
    gains: list[tuple[float, float]] = []
    for model in (DEEPSEEK, SMALLER):
        whole = machine(estimated, Scenario(model=model, pod="panjiu-al128", work=work, cards=int(cards)))
        rate = served(whole, work)
        joined = served(islands(estimated, whole, each, cards), work)
        alone = served(islands(estimated, whole, each, each), work)
        gains.append((rate / joined, rate / alone))
        said.append(
            f"{whole.spec.name}: {quotient(rate, joined, 'token/s')} a card over joined islands, "
            f"{shown(rate / alone, 'x')} over islands each on its own ({shown(alone, 'token/s')})"
        )
    lone = " and ".join(shown(alone, "x") for _, alone in gains)
    return Finding(
        arithmetic=f"simulated, {cards:.0f} cards as one domain against {cards / each:.0f} islands of {each:.0f}, "
        f"{work.prompt_tokens:,} in, {work.output_tokens:,} out, TPOT under {human(work.tpot_s, 's')}, best layouts of "
        f"each; {'; '.join(said)}",
        computed=gains[0][0],
        even=gains[1][0],
        because=f"over islands each on its own the gains are {lone}, so model and baseline decide; "
        f"the M890's rates and memory bandwidth are estimates; {claim.remark}",
    )


def al128_moe_decode(catalogue: Catalogue, claim: Claim) -> Finding:
    """Decode with experts over all cards, on one domain and on joined islands, at one batch."""
    estimated = replace(catalogue, estimates=True)
    cards, each, batch = (given(claim, name) for name in ("cards_count", "island_cards_count", "card_sequences_count"))
    requests = undrafted(claim, given(claim, "output_tokens"))
    scenario = Scenario(model=DEEPSEEK, pod="panjiu-al128", work=Serving(), cards=int(cards))
    whole = machine(estimated, scenario)

    def run(made: Machine) -> Decode:
        return decode(made.engine, Layout(tensor=1.0, data=cards, expert=cards), batch, requests)

    one, many = run(whole), run(islands(estimated, whole, each, cards))
    top, bottom = float(one.tokens_per_s_rank), float(many.tokens_per_s_rank)
    return Finding(
        arithmetic=f"simulated, {whole.spec.name} with EP{cards:.0f}, {batch:g} sequences a card: "
        f"{quotient(top, bottom, 'token/s')}, TPOT {human(float(one.tpot_s), 's')} against "
        f"{human(float(many.tpot_s), 's')}",
        computed=top / bottom,
        because=f"the M890's rates and memory bandwidth are estimates; {claim.remark}",
    )
