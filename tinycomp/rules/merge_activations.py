"""RELU, RELU6 -> RELU6, and every other pair whose intersection has a name.

Exact: in integers the match compares one activation with two on every value.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinycomp import ops
from tinycomp.ir import Edit, Graph, Node
from tinycomp.ops import relu
from tinycomp.rules.activations import both
from tinycomp.rules.base import every_value, sole_use

ROOT = relu.Relu


def match(graph: Graph, node: Node) -> Edit | None:
    """One activation for two."""
    (hidden,) = node.inputs
    first = graph.producer(hidden)
    if first is None or not isinstance(first.attrs, relu.Relu) or not sole_use(graph, hidden):
        return None
    activation = both(relu.attrs(first).activation, relu.attrs(node).activation)
    if activation is None:
        return None
    merged = replace(node, attrs=relu.Relu(activation), inputs=first.inputs)
    if not _alike(graph, first, node, merged):
        return None
    return Edit(remove=(first, node), insert=(merged,))


def _alike(graph: Graph, first: Node, second: Node, merged: Node) -> bool:
    (x,) = graph.ins(first)
    if x.dtype == "float32":
        return True
    reference, values = ops.operator(merged).reference, every_value(x.dtype)
    two = reference(second, graph, reference(first, graph, [values]))
    return np.array_equal(two[0], reference(merged, graph, [values])[0])
