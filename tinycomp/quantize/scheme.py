"""Which tensors of a float graph become int8, and with which scale and zero point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinycomp.ir import Graph, Node, Quant
from tinycomp.ops import relu
from tinycomp.ops.relu import Relu
from tinycomp.quantize.observe import Range
from tinycomp.quantize.rules import Rule, operands, rule_of

SMALLEST_SCALE = 2.0**-28  # what logistic's and tanh's fixed-point arithmetic holds


@dataclass(frozen=True)
class Scheme:
    """quants: parameters of each float32 activation (and of constants that stand in for one) that is int8 somewhere.
    kept: names of the nodes that stay float32, because their operator has no int8 form."""

    quants: Mapping[str, Quant]
    kept: frozenset[str]


def scheme(graph: Graph, ranges: Mapping[str, Range], given: Mapping[str, Quant] | None = None) -> Scheme:
    """The parameters for a float graph whose tensors have these ranges.

    given: parameters that are settled for some tensors, such as inputs that come as integers. Tensors that operators
    tie to one scale get the widest range among them; where two of them are settled differently, each keeps its own and
    a QUANTIZE comes between.
    """
    floats = [n for n in graph.nodes if _float(n, graph)]
    kept = frozenset(n.name for n in floats if rule_of(n) is None)
    fixed = {**_fixed(floats), **(given or {})}
    ranges = _before_relu(graph, ranges, {**ranges, **_constant_ranges(graph, floats)})
    group = _groups(floats, fixed)
    quants: dict[str, Quant] = {}
    for names in group.values():
        settled = next((fixed[n] for n in names if n in fixed), None)
        if settled is None:
            spans = [ranges[n] for n in names if n in ranges]
            if not spans:
                continue
            settled = quant_of(Range(min(r.low for r in spans), max(r.high for r in spans)))
        quants.update(dict.fromkeys(names, settled))
    return Scheme(quants, kept)


def quant_of(span: Range) -> Quant:
    """int8 parameters that reach from low to high with 0 exact, as TFLite's converter chooses them."""
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    if high - low < 255 * SMALLEST_SCALE:
        return Quant((1 / 256,), (-128,))  # nothing but zeros was seen
    scale = float(np.float32((high - low) / 255))
    return Quant((scale,), (max(-128, min(127, round(-128 - low / scale))),))


def _float(node: Node, graph: Graph) -> bool:
    """The node computes in float32."""
    return any(graph.tensors[name].dtype == "float32" for name in (*node.inputs, *node.outputs))


def _fixed(nodes: list[Node]) -> dict[str, Quant]:
    """Outputs whose parameters the operator fixes."""
    found: dict[str, Quant] = {}
    for node in nodes:
        rule = rule_of(node)
        if rule is not None and rule.quant is not None:
            found.update(dict.fromkeys(node.outputs, rule.quant))
    return found


def _constant_ranges(graph: Graph, nodes: list[Node]) -> dict[str, Range]:
    """Ranges of constants that stand where activations do."""
    found: dict[str, Range] = {}
    for node in nodes:
        for name in operands(node):
            t = graph.tensors[name]
            if t.data is not None and t.dtype == "float32" and rule_of(node) is not None:
                found[name] = Range(float(t.data.min()), float(t.data.max()))
    return found


def _before_relu(graph: Graph, ranges: Mapping[str, Range], known: dict[str, Range]) -> dict[str, Range]:
    """What a RELU alone reads needs no more range than what comes out: it saturates to the same values."""
    for node in reversed(graph.nodes):
        x = node.inputs[0] if node.inputs else ""
        if isinstance(node.attrs, Relu) and relu.attrs(node).activation in ("relu", "relu6") and x in known:
            if graph.consumers(x) == (node,) and x not in graph.outputs and node.outputs[0] in known:
                known[x] = known[node.outputs[0]]
    return known


def _groups(nodes: list[Node], fixed: Mapping[str, Quant]) -> dict[str, list[str]]:
    """Tensors that must share their parameters, by a representative. Groups with different settled ones stay apart."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        root = name
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[name] != root:
            parent[name], name = root, parent[name]
        return root

    settled = dict(fixed)
    for node in nodes:
        rule = rule_of(node)
        if rule is None:
            continue
        names = [*operands(node), *node.outputs]
        roots = [find(name) for name in names]
        for other in roots[1:] if rule.kind == "same" else []:
            a, b = find(roots[0]), find(other)
            first, second = settled.get(a), settled.get(b)
            if a == b or (first is not None and second is not None and first != second):
                continue
            parent[b] = a
            if second is not None:
                settled[a] = second
    members: dict[str, list[str]] = {}
    for name in parent:
        members.setdefault(find(name), []).append(name)
    return members


def output_quant(rule: Rule, quants: Mapping[str, Quant], name: str) -> Quant:
    """The parameters that a node's output is made with."""
    return rule.quant if rule.quant is not None else quants[name]


def reaches(quant: Quant) -> Range:
    """The smallest and largest real value of int8 with these parameters."""
    scale, zero = quant.scale[0], quant.zero_point[0]
    return Range(scale * (-128 - zero), scale * (127 - zero)) if math.isfinite(scale) else Range(0.0, 0.0)
