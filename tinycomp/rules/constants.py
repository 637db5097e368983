"""A node with constant inputs only -> its outputs as constants. Exact: the reference computes them.

The graph's own outputs stay computed, since a program must write them.
"""

from __future__ import annotations

from dataclasses import replace

from tinycomp import ops
from tinycomp.ir import Attrs, Edit, Graph, Node

ROOT = Attrs


def match(graph: Graph, node: Node) -> Edit | None:
    """Evaluate the node now."""
    args = [t.data for t in graph.ins(node) if t.data is not None]
    if not args or len(args) < len(node.inputs) or any(name in graph.results for name in node.outputs):
        return None
    made = ops.operator(node).reference(node, graph, args)
    outputs = (graph.tensors[name] for name in node.outputs)
    return Edit(remove=(node,), tensors=tuple(replace(t, data=value) for t, value in zip(outputs, made, strict=True)))
