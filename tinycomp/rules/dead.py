"""A node whose outputs nobody reads -> nothing, and with it the nodes that worked for it alone. Exact."""

from __future__ import annotations

from tinycomp.ir import Attrs, Edit, Graph, Node

ROOT = Attrs


def match(graph: Graph, node: Node) -> Edit | None:
    """Remove the node and every producer that it leaves without a reader. A node without outputs acts otherwise."""
    if not _dead(graph, node, set()):
        return None
    found, names, waiting = [node], {node.name}, [node]
    while waiting:
        for name in waiting.pop().inputs:
            maker = graph.producer(name)
            if maker is not None and maker.name not in names and _dead(graph, maker, names):
                found.append(maker)
                names.add(maker.name)
                waiting.append(maker)
    return Edit(remove=tuple(found))


def _dead(graph: Graph, node: Node, removed: set[str]) -> bool:
    """Nodes other than the removed ones read none of the outputs, and the graph does not give them out."""
    return bool(node.outputs) and all(
        name not in graph.results and all(reader.name in removed for reader in graph.consumers(name))
        for name in node.outputs
    )
