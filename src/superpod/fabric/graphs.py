"""Topologies as GraphML, to and from other programs.

What is written reads back as the same topology. Of a graph made elsewhere, nodes need nothing (`kind` says `switch`,
`host` or `spare` where they are no ranks) and edges need `bytes_per_s`; where they say nothing, `latency_s` is 0 and
`tier` is `graph`. Files are data: nothing in them is executed, document types and entities are refused.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape

import numpy as np

from superpod.errors import ScenarioError
from superpod.fabric.topology import NODE_KINDS, RANK, SWITCH, LinkKind, Links, Nodes, Topology
from superpod.fabric.xml_tree import WHOLE_MAX, Element, attribute, number, parse, tag, whole

NODE_FIELDS = {"kind": "string", "tier": "string", "plane": "long", "place": "long", "home": "long"}
LINK_FIELDS = {
    "bytes_per_s": "double",
    "latency_s": "double",
    "tier": "string",
    "plane": "long",
    "axis": "long",
    "lanes_count": "double",
}
ALONE = "graph"
RATE_MAX, LATENCY_MAX = 1e18, 1e6
"""Bytes/s and seconds far beyond any machine, with which times still are numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One node or edge with its data by name, and where it stands."""

    item: Element
    data: dict[str, str]


def write_graphml(topology: Topology) -> str:
    """Return a topology as GraphML: directed, with every column of nodes and links, and the tiers as JSON."""
    keys = [tag("key", {"id": "tiers", "for": "graph", "attr.name": "tiers", "attr.type": "string"})]
    keys += [
        tag("key", {"id": f"n_{k}", "for": "node", "attr.name": k, "attr.type": t}) for k, t in NODE_FIELDS.items()
    ]
    keys += [
        tag("key", {"id": f"e_{k}", "for": "edge", "attr.name": k, "attr.type": t}) for k, t in LINK_FIELDS.items()
    ]
    body = [tag("data", {"key": "tiers"}, escape(tiers_text(topology.kinds)))]
    for node in range(topology.nodes_count):
        data = "".join(tag("data", {"key": f"n_{k}"}, escape(str(v))) for k, v in node_data(topology, node).items())
        body.append(tag("node", {"id": f"n{node}"}, data))
    links = topology.links
    for link in range(len(links)):
        data = "".join(tag("data", {"key": f"e_{k}"}, escape(str(v))) for k, v in link_data(topology, link).items())
        body.append(tag("edge", {"source": f"n{links.src[link]}", "target": f"n{links.dst[link]}"}, data))
    graph = tag("graph", {"id": topology.name, "edgedefault": "directed"}, "\n" + "\n".join(body) + "\n")
    inside = "\n" + "\n".join([*keys, graph]) + "\n"
    whole_text = tag("graphml", {"xmlns": "http://graphml.graphdrawing.org/xmlns"}, inside)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{whole_text}\n'


def tiers_text(kinds: Sequence[LinkKind]) -> str:
    """Return the kinds of links as JSON; a tier without an end has `ranks_count` null."""
    rows = [asdict(kind) for kind in kinds]
    for row in rows:
        row["ranks_count"] = row["ranks_count"] if np.isfinite(row["ranks_count"]) else None
    return json.dumps(rows)


def node_data(topology: Topology, node: int) -> dict[str, str | int]:
    """Return what a graph's node carries."""
    nodes = topology.nodes
    tier = int(nodes.tier[node])
    return {
        "kind": NODE_KINDS[int(nodes.kind[node])],
        "tier": topology.kinds[tier].tier if tier >= 0 else "",
        "plane": int(nodes.plane[node]),
        "place": int(nodes.place[node]),
        "home": int(nodes.home[node]),
    }


def link_data(topology: Topology, link: int) -> dict[str, str | int | float]:
    """Return what a graph's edge carries."""
    links = topology.links
    return {
        "bytes_per_s": float(links.bytes_per_s[link]),
        "latency_s": float(links.latency_s[link]),
        "tier": topology.kinds[int(links.kind[link])].tier,
        "plane": int(links.plane[link]),
        "axis": int(links.axis[link]),
        "lanes_count": float(links.lanes_count[link]),
    }


def read_graphml(text: str, where: str) -> Topology:
    """Return the topology of a GraphML document; raise ScenarioError with the line of what is wrong."""
    root = parse(text, where)
    if root.tag != "graphml":
        raise ScenarioError(
            f"found <{root.tag}>, expected <graphml>", where=f"{where}:{root.line}", hint="NCCL topologies end in .xml"
        )
    graphs = [item for item in root.children if item.tag == "graph"]
    if len(graphs) != 1:
        raise ScenarioError(f"found {len(graphs)} graphs, expected one", where=where)
    graph = graphs[0]
    names = {
        attribute(item, "id", where): item.attributes.get("attr.name", "")
        for item in root.children
        if item.tag == "key"
    }
    nodes = [_read(item, names) for item in graph.children if item.tag == "node"]
    edges = [_read(item, names) for item in graph.children if item.tag == "edge"]
    if not nodes or not edges:
        raise ScenarioError("a fabric needs nodes and edges", where=f"{where}:{graph.line}")
    tiers = _tiers(_read(graph, names), nodes, edges, where)
    place = _places(nodes, where)
    mirrored = graph.attributes.get("edgedefault", "directed") == "undirected"
    made = Topology(
        name=graph.attributes.get("id") or where,
        nodes=_nodes(nodes, tiers, where),
        links=_links(edges, place, tiers, mirrored, where),
        kinds=tiers,
    )
    return checked(made, where)


def checked(topology: Topology, where: str) -> Topology:
    """Return a topology that transfers can run on; raise ScenarioError for one without two ranks."""
    if len(topology.ranks) < 2:
        raise ScenarioError(
            f"found {len(topology.ranks)} ranks, expected at least two", where=where, hint="nodes of kind rank send"
        )
    return topology


def _read(item: Element, names: dict[str, str]) -> _Read:
    found = {}
    for part in item.children:
        if part.tag == "data":
            key = part.attributes.get("key", "")
            found[names.get(key) or key] = part.text.strip()
    return _Read(item=item, data=found)


def _places(nodes: list[_Read], where: str) -> dict[str, int]:
    """Return the number of each node by its id."""
    place: dict[str, int] = {}
    for node in nodes:
        name = attribute(node.item, "id", where)
        if name in place:
            raise ScenarioError(f"<node> {name!r} is there twice", where=f"{where}:{node.item.line}")
        place[name] = len(place)
    return place


def _tiers(graph: _Read, nodes: list[_Read], edges: list[_Read], where: str) -> tuple[LinkKind, ...]:
    """Return the kinds of links: those that the graph lists, or one a name, through ranks where there is no switch."""
    listed = graph.data.get("tiers", "")
    if not listed:
        names = list(dict.fromkeys(edge.data.get("tier", ALONE) for edge in edges))
        through = not any(node.data.get("kind") == "switch" for node in nodes)
        return tuple(LinkKind(tier=name, transit=through) for name in names)
    try:
        rows = json.loads(listed)
        made = [
            LinkKind(
                tier=str(row["tier"]),
                medium=str(row["medium"]),
                ranks_count=float("inf") if row["ranks_count"] is None else float(row["ranks_count"]),
                transit=bool(row["transit"]),
                ideal=bool(row["ideal"]),
                shares_port_with=str(row["shares_port_with"]),
                lanes_per_cable_count=float(row["lanes_per_cable_count"]),
            )
            for row in rows
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ScenarioError(
            "the graph's data `tiers` cannot be read",
            where=f"{where}:{graph.item.line}",
            hint="a JSON list of tiers as `--export` writes it, or none",
        ) from None
    if not made or any(not (kind.ranks_count >= 1 and 1 <= kind.lanes_per_cable_count <= WHOLE_MAX) for kind in made):
        raise ScenarioError(
            f"the graph's data `tiers` holds a count under 1, or lanes over {WHOLE_MAX:,}",
            where=f"{where}:{graph.item.line}",
        )
    return tuple(made)


def _nodes(found: list[_Read], tiers: tuple[LinkKind, ...], where: str) -> Nodes:
    kinds, homes = [_kind(node, where) for node in found], []
    names = [kind.tier for kind in tiers]
    columns: dict[str, list[int]] = {"tier": [], "plane": [], "place": []}
    seen: dict[tuple[int, int, int], int] = {}
    for node, kind in zip(found, kinds, strict=True):
        tier = _tier_of(node, names, where) if kind != RANK else -1
        plane = whole(node.item, node.data.get("plane", "0"), "plane", where)
        count = seen[kind, tier, plane] = seen.get((kind, tier, plane), -1) + 1
        columns["tier"].append(tier)
        columns["plane"].append(plane)
        columns["place"].append(whole(node.item, node.data.get("place", str(count)), "place", where))
        default = "-1" if kind == SWITCH else str(count if kind == RANK else 0)
        home = node.data.get("home", default)
        homes.append(-1 if home == "-1" else whole(node.item, home, "home", where))
    return Nodes(
        kind=np.array(kinds),
        home=np.array(homes),
        **{name: np.array(column) for name, column in columns.items()},
    )


def _kind(node: _Read, where: str) -> int:
    name = node.data.get("kind", "rank")
    if name not in NODE_KINDS:
        raise ScenarioError(
            f"<node> kind: found {name!r}, expected one of {', '.join(NODE_KINDS)}", where=f"{where}:{node.item.line}"
        )
    return NODE_KINDS.index(name)


def _tier_of(read: _Read, names: list[str], where: str) -> int:
    name = read.data.get("tier") or names[0]
    if name not in names:
        raise ScenarioError(
            f"<{read.item.tag}> tier: found {name!r}, expected one of {', '.join(names)}",
            where=f"{where}:{read.item.line}",
        )
    return names.index(name)


def _links(edges: list[_Read], place: dict[str, int], tiers: tuple[LinkKind, ...], mirrored: bool, where: str) -> Links:
    names = [kind.tier for kind in tiers]
    rows = [_link(edge, place, names, where) for edge in edges]
    if mirrored:
        rows += [(dst, src, *rest) for src, dst, *rest in rows]
    src, dst, kind, plane, axis = (np.array([row[number] for row in rows], dtype=np.int64) for number in range(5))
    rate, latency, lanes = (np.array([row[number] for row in rows], dtype=np.float64) for number in range(5, 8))
    return Links(
        src=src, dst=dst, bytes_per_s=rate, latency_s=latency, kind=kind, plane=plane, axis=axis, lanes_count=lanes
    )


def _link(edge: _Read, place: dict[str, int], names: list[str], where: str) -> tuple[float, ...]:
    item, data = edge.item, edge.data
    ends = [attribute(item, name, where) for name in ("source", "target")]
    for end in ends:
        if end not in place:
            raise ScenarioError(f"<edge> ends at {end!r}, which is no node", where=f"{where}:{item.line}")
    if ends[0] == ends[1]:
        raise ScenarioError(f"<edge> joins {ends[0]!r} to itself", where=f"{where}:{item.line}")
    if "bytes_per_s" not in data:
        raise ScenarioError("<edge> lacks bytes_per_s", where=f"{where}:{item.line}", hint="bytes a second, one way")
    rate = number(item, data["bytes_per_s"], "bytes_per_s", where)
    lanes = number(item, data.get("lanes_count", "1"), "lanes_count", where)
    latency = number(item, data.get("latency_s", "0"), "latency_s", where)
    if not (rate > 0 and lanes > 0):
        raise ScenarioError("<edge> bytes_per_s and lanes_count: expected over 0", where=f"{where}:{item.line}")
    for name, value, least, most in (("bytes_per_s", rate, 1.0, RATE_MAX), ("latency_s", latency, 0.0, LATENCY_MAX)):
        if not least <= value <= most:
            raise ScenarioError(
                f"<edge> {name}: found {value:g}, expected {least:g} to {most:g}", where=f"{where}:{item.line}"
            )
    return (
        place[ends[0]],
        place[ends[1]],
        _tier_of(edge, names, where),
        whole(item, data.get("plane", "0"), "plane", where),
        whole(item, data.get("axis", "0"), "axis", where),
        rate,
        latency,
        lanes,
    )
