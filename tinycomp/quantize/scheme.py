"""Which tensors of a float graph become integers, and with which scale and zero point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Graph, Node, Quant
from tinycomp.ops import relu
from tinycomp.ops.relu import Relu
from tinycomp.quantize import precision
from tinycomp.quantize.observe import Range, union
from tinycomp.quantize.precision import NUMBERS, Activations, Precision
from tinycomp.quantize.rules import operands, rule_of

SMALLEST_SCALE = 2.0**-28  # what logistic's and tanh's fixed-point arithmetic holds
SLACK = 0.01  # of a settled tensor's reach: values beyond it by less may share its parameters


@dataclass(frozen=True)
class Scheme:
    """quants: int8 parameters of each float32 activation (and of constants that stand in for one). wide: those of
    int16. precisions: what each node that computes in float32 now will compute in, by name."""

    quants: Mapping[str, Quant]
    wide: Mapping[str, Quant]
    precisions: Mapping[str, Precision]

    @property
    def kept(self) -> frozenset[str]:
        """Names of the nodes that stay float32."""
        return frozenset(name for name, p in self.precisions.items() if p == "float32")

    def quant(self, name: str, activations: Activations) -> Quant | None:
        """The parameters of a tensor as this dtype; None for float32 and for tensors that have none."""
        return {"int8": self.quants, "int16": self.wide}.get(activations, {}).get(name)

    def scales(self, node: Node) -> tuple[float, float]:
        """The scales of a weighted node's input and output in its own precision."""
        known = {"int8": self.quants, "int16": self.wide}[NUMBERS[self.precisions[node.name]].activations]
        return known[node.inputs[0]].scale[0], known[node.outputs[0]].scale[0]


def scheme(
    graph: Graph, ranges: Mapping[str, Range], given: Mapping[str, Quant] | None = None,
    precisions: Mapping[str, Precision] | None = None, wide: Mapping[str, Range] | None = None,
) -> Scheme:  # fmt: skip
    """The parameters for a float graph whose tensors have these ranges.

    given: parameters that are settled for some tensors, such as inputs that come as int8. precisions: of every node,
    from `precision.precisions`; int8 where it is left out. wide: the ranges as int16, where they are others. Tensors
    that operators tie to one scale get the widest range among them, or a settled neighbour's parameters where these
    reach as far; otherwise a QUANTIZE has to come between.
    """
    nodes = [n for n in graph.nodes if precision.computes_in_float(n, graph)]
    constants = _constant_ranges(graph, nodes)
    known, known_wide = (_before_relu(graph, {**part, **constants}) for part in (ranges, wide or ranges))
    wanted = precision.precisions(graph, {}) if precisions is None else precisions
    return Scheme(_quants(nodes, known, given or {}, "int8"), _quants(nodes, known_wide, {}, "int16"), wanted)


def _quants(
    nodes: Sequence[Node], known: Mapping[str, Range], given: Mapping[str, Quant], activations: Activations
) -> dict[str, Quant]:
    """The parameters of every tensor as one dtype."""
    settled = {**given, **_fixed(nodes, activations)}
    ties = [(node.outputs[0], name) for node in nodes if _shares(node) for name in (*operands(node), *node.outputs[1:])]
    quants = dict(settled)
    for names in _groups([name for name in known if name not in settled], ties):
        span = union(known[name] for name in names)
        near = {a if b in names else b for a, b in ties if (a in names) != (b in names)}
        neighbours = [settled[name] for name in sorted(near) if name in settled]
        quants.update(dict.fromkeys(names, _joined(span, neighbours, activations)))
    return quants


def quant_of(span: Range, activations: Activations = "int8") -> Quant:
    """Parameters that reach from low to high with 0 exact, as TFLite's converter chooses them; int16 is symmetric."""
    bottom, top = qmath.INT_RANGE[activations]
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    if activations == "int16":
        low, high, bottom = -max(-low, high), max(-low, high), -top
    if high - low < (top - bottom) * SMALLEST_SCALE:
        return Quant((1 / (2 * top + 2),), (0 if bottom == -top else bottom,))  # nothing but zeros was seen
    scale = float(np.float32((high - low) / (top - bottom)))
    return Quant((scale,), (max(bottom, min(top, round(bottom - low / scale))),))


def reach(quant: Quant, activations: Activations = "int8") -> Range:
    """The smallest and largest real value of integers with these parameters."""
    low, high = qmath.INT_RANGE[activations]
    return Range(quant.scale[0] * (low - quant.zero_point[0]), quant.scale[0] * (high - quant.zero_point[0]))


def _joined(span: Range, neighbours: Iterable[Quant], activations: Activations) -> Quant:
    """The first settled neighbour's parameters that reach the whole range, else the range's own."""
    for quant in neighbours:
        far = reach(quant, activations)
        slack = SLACK * (far.high - far.low)
        if far.low - slack <= span.low and span.high <= far.high + slack:
            return quant
    return quant_of(span, activations)


def _shares(node: Node) -> bool:
    rule = rule_of(node)
    return rule is not None and rule.kind == "same"


def _fixed(nodes: Iterable[Node], activations: Activations) -> dict[str, Quant]:
    """Outputs whose parameters the operator fixes."""
    rules = ((node, rule_of(node)) for node in nodes)
    fixed = ((node, rule.fixed(activations)) for node, rule in rules if rule is not None)
    return {name: quant for node, quant in fixed if quant for name in node.outputs}


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
