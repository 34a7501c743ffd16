"""Graphs read back as they were written, by networkx too; what is no graph is refused by line."""

from dataclasses import fields

import networkx as nx
import numpy as np
import pytest

from shapes import star
from superpod.catalog.load import Catalogue
from superpod.catalog.provenance import FactReader
from superpod.errors import ScenarioError
from superpod.fabric.faults import fail
from superpod.fabric.generators import draw
from superpod.fabric.graphs import read_graphml, write_graphml
from superpod.fabric.nccl_xml import read_nccl_xml, rounding_note, write_nccl_xml
from superpod.fabric.networkx_graph import from_networkx, to_networkx
from superpod.fabric.route import route
from superpod.fabric.tiers import build
from superpod.fabric.topology import HOST, SWITCH, Topology

CATALOGUE = Catalogue(estimates=True)
BOMB = '<!DOCTYPE g [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><graphml><graph id="&b;"/></graphml>'
TRIANGLE = """<graphml><graph edgedefault="undirected">
<node id="a"/><node id="b"/><node id="c"/>
<edge source="a" target="b"><data key="bytes_per_s">{rate}</data></edge>
<edge source="b" target="{end}"><data key="bytes_per_s">2e9</data></edge>
</graph></graphml>"""
# One node as NCCL dumps it: two cards on NVSwitch, a network card, behind one PCIe switch.
NODE = """<system version="1">
  <cpu numaid="0" affinity="ff" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="143">
    <pci busid="0000:00:00.0" class="0x060400" link_speed="16.0 GT/s PCIe" link_width="16">
      <pci busid="0000:01:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
        <gpu dev="1" sm="{sm}" rank="1" gdr="1">
          <nvlink target="0000:aa:00.0" count="9" tclass="0x068000"/>
          <nvlink target="0000:ab:00.0" count="9" tclass="0x068000"/>
        </gpu>
      </pci>
      <pci busid="0000:02:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="0">
        <gpu dev="0" sm="{sm}" rank="0" gdr="1"><nvlink target="0000:aa:00.0" count="18" tclass="0x068000"/></gpu>
      </pci>
      <pci busid="0000:03:00.0" class="0x020000" link_speed="32.0 GT/s PCIe" link_width="16">
        <nic><net name="mlx5_0" dev="0" speed="400000" port="1" gdr="1"/></nic>
      </pci>
    </pci>
  </cpu>
</system>"""


def drawn(name: str, pods: float = 1.0) -> Topology:
    pod = CATALOGUE.pod(name)
    per_chip = 2.0 if pod.rank == "die" else 1.0
    return draw(build(CATALOGUE, FactReader(kind="pods", entry=pod), pod, pods, per_chip), name)


def same(one: Topology, other: Topology) -> bool:
    columns = [
        np.array_equal(getattr(getattr(one, part), column.name), getattr(getattr(other, part), column.name))
        for part in ("nodes", "links")
        for column in fields(getattr(one, part))
    ]
    return one.kinds == other.kinds and all(columns)


@pytest.mark.parametrize(("name", "pods"), [("hgx-h100", 4.0), ("gb200-nvl72", 1.0), ("atlas950-1024-mesh", 1.0)])
def test_graphml_reads_back_as_written(name: str, pods: float) -> None:
    made = drawn(name, pods)
    assert same(read_graphml(write_graphml(made), "x.graphml"), made)


def test_what_networkx_writes_is_read() -> None:
    made = drawn("hgx-h100", 2.0)
    found = read_graphml("\n".join(nx.generate_graphml(to_networkx(made))), "nx.graphml")
    assert found.kinds == made.kinds
    assert len(found.ranks) == len(made.ranks)
    assert sorted(found.links.bytes_per_s) == sorted(made.links.bytes_per_s)


def test_a_graph_made_elsewhere_needs_rates_only() -> None:
    found = read_graphml(TRIANGLE.format(rate="1e9", end="c"), "t.graphml")
    assert len(found.ranks) == 3
    assert sorted(found.links.bytes_per_s) == [1e9, 1e9, 2e9, 2e9]
    assert len(route(found, np.array([0]), np.array([2])).link) == 2  # a card passes on where there is no switch


def with_data(**data: str) -> str:
    """Return a graph of two ranks and one edge with more data on its edge, or tiers for the whole."""
    tiers = f'<data key="tiers">{data.pop("tiers")}</data>' if "tiers" in data else ""
    more = "".join(f'<data key="{key}">{value}</data>' for key, value in data.items())
    edge = f'<edge source="a" target="b"><data key="bytes_per_s">1</data>{more}</edge>'
    return f'<graphml><graph edgedefault="undirected">{tiers}<node id="a"/><node id="b"/>{edge}</graph></graphml>'


TIERS = (
    '[{"tier":"graph","medium":"copper","ranks_count":2,"transit":true,"ideal":false,"shares_port_with":"",'
    '"lanes_per_cable_count":LANES}]'
)


def test_whole_numbers_fit_a_column() -> None:
    found = read_graphml(with_data(plane="2147483647", axis="7"), "t")
    assert (found.links.plane.tolist(), found.links.axis.tolist()) == ([2147483647] * 2, [7, 7])
    assert read_graphml(with_data(tiers=TIERS.replace("LANES", "2")), "t").kinds[0].lanes_per_cable_count == 2


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (with_data(plane="1e300"), "expected a whole number up to", "t:1"),
        (with_data(latency_s="1e300"), "latency_s: found 1e\\+300, expected 0 to", "t:1"),
        (TRIANGLE.format(rate="1e-300", end="c"), "bytes_per_s: found 1e-300, expected 1 to", "t:3"),
        (TRIANGLE.format(rate="1e300", end="c"), "bytes_per_s: found 1e\\+300, expected 1 to", "t:3"),
        (with_data(axis="2147483648"), "expected a whole number up to", "t:1"),
        (with_data(tiers=TIERS.replace("LANES", "Infinity")), "lanes over", "t:1"),
        (with_data(tiers=TIERS.replace("LANES", "1e300")), "lanes over", "t:1"),
        ("", "malformed XML", "t:1"),
        ("<graphml>", "malformed XML", "t:1"),
        (BOMB, "document type", "t:1"),
        ("<system/>", "expected <graphml>", "t:1"),
        ("<graphml/>", "0 graphs", "t"),
        ("<graphml><graph/></graphml>", "needs nodes and edges", "t:1"),
        (TRIANGLE.format(rate="-1", end="c"), "bytes_per_s", "t:3"),
        (TRIANGLE.format(rate="nan", end="c"), "bytes_per_s", "t:3"),
        (TRIANGLE.format(rate="0", end="c"), "over 0", "t:3"),
        (TRIANGLE.format(rate="1e9", end="d"), "no node", "t:4"),
        (TRIANGLE.format(rate="1e9", end="b"), "to itself", "t:4"),
        (TRIANGLE.format(rate="1e9", end="c")[:-30], "malformed XML", "t:4"),
        ("<a>" * 100, "nested too deeply", "t:1"),
    ],
)
def test_a_wrong_graph_is_refused_by_line(text: str, said: str, line: str) -> None:
    with pytest.raises(ScenarioError, match=said) as caught:
        read_graphml(text, "t")
    assert caught.value.where == line


def test_nccl_rates_are_those_of_nccl() -> None:
    found = read_nccl_xml(NODE.format(sm=90), "n.xml")
    links, kind = found.links, found.nodes.kind
    nvlink = links.kind == 0
    assert len(found.ranks) == 2
    assert int((kind == HOST).sum()) == 1
    # 18 NVLinks of 20.6 GB/s a card (topo.h: SM90_NVLINK_BW), all NVSwitches as one.
    assert np.bincount(links.src[nvlink], weights=links.bytes_per_s[nvlink])[found.ranks] == pytest.approx(370.8e9)
    assert len(np.unique(links.dst[nvlink & (kind[links.dst] == SWITCH)])) == 1
    # 16 lanes of 24 Gb/s to a card and to the network card of 400 Gb/s, of 12 Gb/s to the CPU.
    pcie = np.unique(links.bytes_per_s[links.kind == 1])
    assert pcie == pytest.approx([24e9, 48e9])


@pytest.mark.parametrize(("sm", "each"), [(60, 18e9), (70, 20e9), (80, 20e9), (86, 12e9), (100, 40.1e9), (103, 40.1e9)])
def test_a_link_has_the_rate_of_its_generation(sm: int, each: float) -> None:
    found = read_nccl_xml(NODE.format(sm=sm), "n.xml")
    mine = (found.links.kind == 0) & (found.links.src == found.ranks[0])
    assert float(found.links.bytes_per_s[mine].sum()) == pytest.approx(18 * each)


@pytest.mark.parametrize(("name", "tier", "bytes_per_s"), [("hgx-h100", 0, 450e9), ("gb200-nvl72", 0, 900e9)])
def test_a_node_written_for_nccl_reads_back(name: str, tier: int, bytes_per_s: float) -> None:
    made = drawn(name)
    once = read_nccl_xml(write_nccl_xml(made, tier), "once")
    again = read_nccl_xml(write_nccl_xml(once, 0), "again")
    for found in (once, again):
        mine = (found.links.kind == 0) & (found.links.src == found.ranks[0])
        assert float(found.links.bytes_per_s[mine].sum()) == pytest.approx(bytes_per_s, rel=0.02)  # whole links only
    assert np.array_equal(
        np.sort(once.links.bytes_per_s[once.links.kind == 0]), again.links.bytes_per_s[again.links.kind == 0]
    )


def test_cards_joined_directly_stay_so() -> None:
    found = read_nccl_xml(write_nccl_xml(drawn("atlas950-1024"), 0), "mesh")
    nvlink = found.links.kind == 0
    assert len(found.ranks) == 8
    assert int(nvlink.sum()) == 8 * 7
    assert found.kinds[0].transit


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("<graphml/>", "expected <system>", "n:1"),
        (NODE.format(sm=90).replace('version="1"', 'version="9"'), "version", "n:1"),
        (NODE.format(sm="x"), "sm", "n:11"),
        (NODE.format(sm=90).replace(' link_width="0"', ""), "link_width", "n:10"),
        (NODE.format(sm=90).replace('count="18"', 'count="1.5"'), "whole number", "n:11"),
        (NODE.format(sm=90).replace("0000:02:00.0", "0000:01:00.0"), "busid", "n:5"),
        ("<system version='1'/>", "no links", "n"),
    ],
)
def test_a_wrong_node_is_refused_by_line(text: str, said: str, line: str) -> None:
    with pytest.raises(ScenarioError, match=said) as caught:
        read_nccl_xml(text, "n")
    assert caught.value.where == line


def test_a_graph_of_networkx_is_a_fabric() -> None:
    graph = nx.Graph()
    for end in ("a", "b"):
        graph.add_edge(end, "s", bytes_per_s=50e9)
    graph.nodes["s"]["kind"] = "switch"
    made = from_networkx(graph, "pair")
    assert (len(made.ranks), len(made.links)) == (2, 4)
    again = from_networkx(to_networkx(made))
    assert np.array_equal(again.links.bytes_per_s, made.links.bytes_per_s)
    graph.nodes["s"]["where"] = object()
    with pytest.raises(ScenarioError, match="cannot be read"):
        from_networkx(graph, "pair")


def test_rates_that_whole_links_do_not_give_are_said_or_refused() -> None:
    """One link is 20, 20.6 or 40.1 GB/s: 50 becomes two of 20.6, and nothing is near 5."""
    assert rounding_note(drawn("hgx-h100")) == ""
    fifty = draw(star(8, 50e9))
    assert "41.2 GB/s stand for 50 GB/s" in rounding_note(fifty)
    assert 'count="2"' in write_nccl_xml(fifty)
    with pytest.raises(ScenarioError, match="5 GB/s would be written as 20 GB/s") as caught:
        write_nccl_xml(draw(star(8, 5e9)))
    assert "graphml" in caught.value.hint


def test_a_damaged_node_is_written_without_what_it_lost() -> None:
    left = fail(draw(star(8, 450e9)), ["rank:0", "rank:3"]).topology
    text = write_nccl_xml(left)
    assert (text.count("<gpu"), text.count("<nvlink"), text.count('sm="90"')) == (8, 6, 8)
    with pytest.raises(ScenarioError, match="has a link of this tier"):
        write_nccl_xml(left.without(np.ones(len(left.links), dtype=bool)))
