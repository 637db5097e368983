"""Which tensors of a float graph become int8, and with which scale and zero point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tinycomp.ir import Graph, Node, Quant
from tinycomp.ops import relu
from tinycomp.ops.relu import Relu
from tinycomp.quantize.observe import Range
from tinycomp.quantize.rules import operands, rule_of

SMALLEST_SCALE = 2.0**-28  # what logistic's and tanh's fixed-point arithmetic holds
SLACK = 0.01  # of a settled tensor's reach: values beyond it by less may share its parameters


@dataclass(frozen=True)
class Scheme:
    """quants: parameters of each float32 activation (and of constants that stand in for one) that is int8 somewhere.
    kept: names of the nodes that stay float32, because their operator has no int8 form."""

    quants: Mapping[str, Quant]
    kept: frozenset[str]


def scheme(graph: Graph, ranges: Mapping[str, Range], given: Mapping[str, Quant] | None = None) -> Scheme:
    """The parameters for a float graph whose tensors have these ranges.

    given: parameters that are settled for some tensors, such as inputs that come as integers. Tensors that operators
    tie to one scale get the widest range among them, or a settled neighbour's parameters where these reach as far;
    otherwise a QUANTIZE has to come between.
    """
    nodes = [n for n in graph.nodes if _float(n, graph)]
    settled = {**(given or {}), **_fixed(nodes)}
    known = _before_relu(graph, {**ranges, **_constant_ranges(graph, nodes)})
    ties = [(node.outputs[0], name) for node in nodes if _shares(node) for name in (*operands(node), *node.outputs[1:])]
    quants = dict(settled)
    for names in _groups([name for name in known if name not in settled], ties):
        spans = [known[name] for name in names]
        span = Range(min(r.low for r in spans), max(r.high for r in spans))
        near = {a if b in names else b for a, b in ties if (a in names) != (b in names)}
        quants.update(dict.fromkeys(names, _joined(span, [settled[name] for name in sorted(near) if name in settled])))
    return Scheme(quants, frozenset(n.name for n in nodes if rule_of(n) is None))


def quant_of(span: Range) -> Quant:
    """int8 parameters that reach from low to high with 0 exact, as TFLite's converter chooses them."""
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    if high - low < 255 * SMALLEST_SCALE:
        return Quant((1 / 256,), (-128,))  # nothing but zeros was seen
    scale = float(np.float32((high - low) / 255))
    return Quant((scale,), (max(-128, min(127, round(-128 - low / scale))),))


def reach(quant: Quant) -> Range:
    """The smallest and largest real value of int8 with these parameters."""
    return Range(quant.scale[0] * (-128 - quant.zero_point[0]), quant.scale[0] * (127 - quant.zero_point[0]))


def _joined(span: Range, neighbours: Iterable[Quant]) -> Quant:
    """The first settled neighbour's parameters that reach the whole range, else the range's own."""
    for quant in neighbours:
        far = reach(quant)
        slack = SLACK * (far.high - far.low)
        if far.low - slack <= span.low and span.high <= far.high + slack:
            return quant
    return quant_of(span)


def _float(node: Node, graph: Graph) -> bool:
    """The node computes in float32."""
    return any(graph.tensors[name].dtype == "float32" for name in (*node.inputs, *node.outputs))


def _shares(node: Node) -> bool:
    rule = rule_of(node)
    return rule is not None and rule.kind == "same"


def _fixed(nodes: Iterable[Node]) -> dict[str, Quant]:
    """Outputs whose parameters the operator fixes."""
    rules = ((node, rule_of(node)) for node in nodes)
    return {name: rule.quant for node, rule in rules if rule is not None and rule.quant for name in node.outputs}


def _constant_ranges(graph: Graph, nodes: Iterable[Node]) -> dict[str, Range]:
    """Ranges of constants that stand where activations do."""
    found: dict[str, Range] = {}
    for node in nodes:
        for name in operands(node) if rule_of(node) else ():
            t = graph.tensors[name]
            if t.data is not None and t.dtype == "float32":
                found[name] = Range(float(t.data.min()), float(t.data.max()))
    return found


def _before_relu(graph: Graph, known: dict[str, Range]) -> dict[str, Range]:
    """What a RELU alone reads needs no more range than what comes out: it saturates to the same values."""
    found = dict(known)
    for node in reversed(graph.nodes):
        if not isinstance(node.attrs, Relu) or relu.attrs(node).activation == "relu_n1_to_1":
            continue
        x, out = node.inputs[0], node.outputs[0]
        if x in found and out in found and graph.consumers(x) == (node,) and x not in graph.outputs:
            found[x] = found[out]
    return found


def _groups(names: Iterable[str], ties: Iterable[tuple[str, str]]) -> list[set[str]]:
    """The connected components of the names."""
    group = {name: {name} for name in names}
    for a, b in ties:
        if a in group and b in group and group[a] is not group[b]:
            small, large = sorted((group[a], group[b]), key=len)
            large |= small
            group.update(dict.fromkeys(small, large))
    return list({id(members): members for members in group.values()}.values())
