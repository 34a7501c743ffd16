"""Vendors' training and inference rates set against each other; their workloads are not published."""

from superpod.catalog.claim import Claim
from superpod.catalog.load import Catalogue
from superpod.plan.claims.checks.finding import Check, Finding, cards, given, quotient, shown, stated

ATLAS, OLD = "atlas950-8192", "cloudmatrix384"


def per_card(catalogue: Catalogue, claim: Claim) -> Finding:
    """Say what an undisclosed workload's rate is per card; it cannot be computed."""
    pod = catalogue.pod(ATLAS)
    return Finding(
        arithmetic=f"{shown(stated(claim), 'token/s')} / {cards(pod):,.0f} = "
        f"{shown(stated(claim) / cards(pod), 'token/s')} a card",
        computed=None,
        because=claim.lacks,
    )


def training_gain(catalogue: Catalogue, claim: Claim) -> Finding:
    """Say what the gain implies per card and for Atlas 900; it cannot be computed."""
    many, few = cards(catalogue.pod(ATLAS)), cards(catalogue.pod(OLD))
    old, each = stated(catalogue.claim("atlas950-training-rate")) / stated(claim), stated(claim) * few / many
    return Finding(
        arithmetic=f"{shown(stated(claim), 'x')} with {quotient(many, few, 'count')} the cards is {shown(each, 'x')} a "
        f"card; it implies {shown(old, 'token/s')} for Atlas 900, {shown(old / few, 'token/s')} a card",
        computed=None,
        because=f"{claim.lacks}; taken at its word a card trains {shown(each, 'x')} as fast as before: the gain is "
        "the card count",
    )


def inference_gain(catalogue: Catalogue, claim: Claim) -> Finding:
    """Check 26.5 times with the decode rate of the CloudMatrix384 paper as Atlas 900's."""
    new, old = catalogue.pod(ATLAS), catalogue.pod(OLD)
    rate, card = stated(catalogue.claim("atlas950-inference-rate")), stated(catalogue.claim("cm384-decode-4k"))
    gain, each = rate / (cards(old) * card), rate / cards(new)
    return Finding(
        arithmetic=f"{shown(rate, 'token/s')} / ({cards(old):,.0f} x {shown(card, 'token/s')}) = {shown(gain, 'x')}; "
        f"{quotient(cards(new), cards(old), 'count')} the cards; per card {quotient(each, card, 'token/s')}",
        computed=gain,
        even=each / card,
        because=claim.remark,
    )


def atlas960_gain(what: str) -> Check:
    """Check a gain of Atlas 960 over Atlas 950 from the two rates of the same speech."""

    def check(catalogue: Catalogue, claim: Claim) -> Finding:
        new, old = catalogue.pod("atlas960-15488"), catalogue.pod(ATLAS)
        top, bottom = given(claim, "atlas960_tokens_per_s"), given(claim, "atlas950_tokens_per_s")
        each = (top / cards(new)) / (bottom / cards(old))
        return Finding(
            arithmetic=f"{what} {quotient(top, bottom, 'token/s')}; per card {shown(each, 'x')}",
            computed=top / bottom,
            because=claim.remark,
        )

    return check
