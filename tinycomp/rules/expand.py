"""A node of an operator that runs as others -> those others: SPLIT -> slices, PACK -> a concatenation of views, ...

Exact: the operator's room says how, and its tests that both are the same.
"""

from __future__ import annotations

from tinycomp import ops
from tinycomp.ir import Attrs, Edit, Graph, Node

ROOT = Attrs


def match(graph: Graph, node: Node) -> Edit | None:
    """The operator's own expansion."""
    expand = ops.operator(node).expand
    return None if expand is None else expand(node, graph)
