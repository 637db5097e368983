"""RESHAPE, RESHAPE -> the second one alone. Exact: both are the same bytes."""

from __future__ import annotations

from dataclasses import replace

from tinycomp.ir import Edit, Graph, Node
from tinycomp.ops.reshape import Reshape
from tinycomp.rules.base import sole_use

ROOT = Reshape


def match(graph: Graph, node: Node) -> Edit | None:
    """Read what the first one reads. It stays where others read it or the graph gives it out."""
    first = graph.producer(node.inputs[0])
    if first is None or not isinstance(first.attrs, Reshape):
        return None
    remove = (first, node) if sole_use(graph, node.inputs[0]) else (node,)
    return Edit(remove=remove, insert=(replace(node, inputs=first.inputs),))
