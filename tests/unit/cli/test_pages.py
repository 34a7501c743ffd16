"""Reports, comparisons and claims as text and as HTML."""

import re
from html.parser import HTMLParser

import pytest

from superpod.cli import html, tables
from superpod.cli.claims import claims_page
from superpod.cli.compare_page import compare_page
from superpod.cli.page import Page
from superpod.cli.report_page import report_page
from unit.cli import samples

VOID = {"meta", "br", "link", "img", "hr", "input"}


def pages(*, full: bool) -> dict[str, Page]:
    """Return one page of each kind."""
    return {
        "report": report_page(samples.REPORT, samples.SOURCES, full=full),
        "comparison": compare_page(samples.COMPARISON, samples.SOURCES, full=full),
        "claims": claims_page(samples.VERDICTS, samples.SOURCES, details=full),
    }


KINDS = tuple(pages(full=False))


class Checker(HTMLParser):
    """Remembers what a browser would have to repair or to load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")


def checked(document: str) -> Checker:
    """Parse a document."""
    checker = Checker()
    checker.feed(document)
    checker.close()
    return checker


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [80, 100, 140])
def test_text_fits_its_width(kind: str, width: int) -> None:
    lines = tables.plain(pages(full=False)[kind], width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert all(line == line.rstrip() for line in lines)


def test_a_report_fits_one_screen() -> None:
    assert len(tables.plain(pages(full=False)["report"], 100).splitlines()) <= 45


def test_a_report_says_what_binds_and_on_what_it_rests() -> None:
    text = tables.plain(pages(full=False)["report"], 120)
    for fragment in (
        "deepseek-v3@2024-12 on Huawei CloudMatrix384  [shipping]",
        "352 of 384 cards, serve in int8, software serving-2026@2026-11",
        "Output tokens per second and card: 1,943 token/s   between 1,655 token/s and 2,210 token/s",
        "decode step  41.3 ms",
        "Memory, decode  48.2 GB of 64.0 GB, 24.7 % free",
        "Binding limit: The time per output token binds",
        "Layout: prefill expert 32, decode expert 320, batch 96, mode disaggregated; all other degrees 1",
        "1.4 % tight",
        "tensor 2",
        "-15.4 %",
        "calibration/ascend-910c:kernel_s = 4.00 µs (assumed): borrowed from Hopper <no markup>",
        "3 published facts from 2 sources",
    ):
        assert fragment in text


def test_a_roadmap_machine_is_not_taken_for_a_real_one() -> None:
    text = tables.plain(report_page(samples.PLANNED, samples.SOURCES, full=False), 120)
    assert "[on a roadmap, not built yet]" in text


def test_breakdown_shares_add_up() -> None:
    page = report_page(samples.REPORT, samples.SOURCES, full=False)
    for block in page.blocks:
        if hasattr(block, "total_text"):
            assert sum(item.share for item in block.segments) == pytest.approx(1.0)


def test_a_comparison_explains_each_dash() -> None:
    text = tables.plain(pages(full=False)["comparison"], 180)
    row = next(line for line in text.splitlines() if line.strip().startswith("atlas950-8192 "))
    assert "—" in row
    assert "[1]" in row
    assert "[1] atlas950-8192: power of the pod is not published; price is not published" in text
    assert "panjiu-al128: pods/panjiu-al128:tiers.pod.bandwidth_bytes_per_s is not published" in text
    assert "Verdict: The system beats the chip" in text
    assert "× 1.62" in text


def test_a_narrow_table_names_the_columns_it_left_out() -> None:
    text = tables.plain(pages(full=False)["comparison"], 80)
    assert "no room here for: state, format, per pod" in " ".join(text.split())


def test_verdicts_carry_a_sign_beside_their_colour() -> None:
    text = tables.plain(pages(full=False)["claims"], 120)
    assert "✔ reproduces" in text
    assert "? not checkable" in text
    assert "× 56.8" in text
    assert "8192 / 144" not in text
    assert "8192 / 144 = 56.9" in tables.plain(pages(full=True)["claims"], 120)


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_well_formed(kind: str) -> None:
    checker = checked(html.render(pages(full=True)[kind]))
    assert not checker.faults
    assert not checker.open


@pytest.mark.parametrize("kind", KINDS)
def test_html_loads_nothing(kind: str) -> None:
    document = html.render(pages(full=True)[kind])
    for forbidden in ("src=", "@import", "url(", "<script", "<link", 'javascript:alert(1)"', "xlink"):
        assert forbidden not in document
    addresses = [attributes.get("href") or "" for tag, attributes in checked(document).tags if "href" in attributes]
    assert all(address.startswith("https://") for address in addresses)


@pytest.mark.parametrize("kind", KINDS)
def test_html_speaks_to_everybody(kind: str) -> None:
    document = html.render(pages(full=True)[kind])
    tags = checked(document).tags
    assert ("html", {"lang": "en"}) in tags
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")
    for drawing in re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL):
        assert re.match(r'<svg role="img"[^>]*><title>[^<]+</title><desc>', drawing)


def test_html_escapes_what_catalogues_say() -> None:
    document = html.render(pages(full=True)["report"])
    assert "Serving LLMs &lt;fast&gt; &amp; wide" in document
    assert 'href="https://example.org/paper?a=1&amp;b=2"' in document
    assert "Hopper &lt;no markup&gt;" in document
    assert "<fast>" not in document


def test_html_holds_every_fact_and_flags_estimates() -> None:
    document = html.render(pages(full=True)["report"], "superpod serve deepseek-r1 --pod cloudmatrix384")
    for used in samples.FACTS:
        assert used.where in document
    assert '<td class="warn">estimate</td>' in document
    assert "conflict: another page prints 392 GB/s" in document
    assert "<code>superpod serve deepseek-r1 --pod cloudmatrix384</code>" in document
    assert "prefers-color-scheme: dark" in document


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_need_nothing_from_outside(kind: str) -> None:
    picture = tables.picture(pages(full=False)[kind], "superpod serve deepseek-r1")
    assert "superpod" in picture
    assert "@font-face" not in picture
    assert "url(http" not in picture
    assert "Fira" not in picture
