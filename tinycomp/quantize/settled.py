"""A float graph whose training settled every range: it becomes integers without data.

Fake quantization stands behind some tensors only. Others have a range all the same: operators that hand values on
bound their outputs by their operands, and of an operand that is read once no more is kept than its reader's output
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tinycomp.ir import Graph, Node, Quant
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.relu import Relu
from tinycomp.ops.resize_bilinear import ResizeBilinear
from tinycomp.quantize.convert import Converted, Options, left_in_float
from tinycomp.quantize.fit import Settings, nearest
from tinycomp.quantize.observe import Range, union
from tinycomp.quantize.precision import precisions
from tinycomp.quantize.prepare import prepare
from tinycomp.quantize.rules import operands, rule_of
from tinycomp.quantize.scheme import reach, scheme
from tinycomp.quantize.to_int8 import to_int8
from tinycomp.quantize.trained import without_pairs
from tinycomp.rewrite import PassRecord

AVERAGING = (AveragePool2D, ResizeBilinear)  # the mean of clipped values is not the clipped mean


class Settled(NamedTuple):
    """What training says. graph: without its pairs, prepared by `passes`. quants: int8 parameters of the tensors that
    had a pair. ranges: of these and of all activations that follow. open: activations that int8 needs beside them."""

    graph: Graph
    passes: tuple[PassRecord, ...]
    quants: Mapping[str, Quant]
    ranges: Mapping[str, Range]
    open: tuple[str, ...]


def settle(source: Graph) -> Settled:
    """The ranges of a float32 graph that its fake quantization tells. Raises Unsupported as `prepare` does."""
    trained = without_pairs(source)
    graph, passes = prepare(trained.graph)
    before = _followed(trained.graph, {name: reach(quant) for name, quant in trained.quants.items()})
    ranges = _followed(graph, {n: span for n, span in before.items() if n in graph.tensors})  # passes fuse some away
    chosen = precisions(graph, {})
    needed = (name for node in graph.nodes if chosen.get(node.name, "float32") != "float32" for name in _ends(node))
    missing = (n for n in needed if n not in ranges and _is_activation(graph, n))
    return Settled(graph, passes, trained.quants, ranges, tuple(dict.fromkeys(missing)))


def convert_settled(found: Settled, options: Options) -> Converted:
    """The int8 graph that `convert` makes with data, where nothing is open; its accuracy is not measured.

    options: of these `io` and `dense`; corrections have no data.
    """
    graph = found.graph
    plan = scheme(graph, found.ranges, found.quants)
    layers = nearest(graph, plan, Settings(per_channel_dense=options.dense == "per-channel"))
    made = to_int8(graph, plan, layers, options.ends)
    return Converted(made, None, None, (), left_in_float(made), found.passes)


def _ends(node: Node) -> tuple[str, ...]:
    return (*operands(node), *node.outputs)


def _followed(graph: Graph, settled: Mapping[str, Range]) -> dict[str, Range]:
    """The settled ranges of activations and what follows for others: forward first, then backward."""
    constants = {n: t.data for n, t in graph.tensors.items() if t.data is not None and t.dtype == "float32"}
    found = {n: Range(float(np.min(data)), float(np.max(data))) for n, data in constants.items() if data.size}
    found.update(settled)
    for node in graph.nodes:
        span = _output_range(node, found)
        if span is not None:
            for name in node.outputs:
                found.setdefault(name, span)
    for node in reversed(graph.nodes):
        if not _clips(node) or not all(name in found for name in node.outputs):
            continue
        span = union(found[name] for name in node.outputs)
        for name in operands(node):
            if graph.consumers(name) == (node,) and name not in graph.results:
                found.setdefault(name, span)
    return {name: span for name, span in found.items() if _is_activation(graph, name)}


def _is_activation(graph: Graph, name: str) -> bool:
    return graph.tensors[name].data is None and graph.tensors[name].dtype == "float32"


def _output_range(node: Node, found: Mapping[str, Range]) -> Range | None:
    """What bounds the node's outputs; None where that is not known."""
    rule = rule_of(node)
    fixed = rule and rule.fixed("int8")
    if fixed:
        return reach(fixed)
    if rule is None or not all(name in found for name in operands(node)):
        return None
    span = union(found[name] for name in operands(node))
    if rule.kind == "same":
        return span
    if isinstance(node.attrs, Relu):
        return Range(max(span.low, 0.0), max(span.high, 0.0))
    return None


def _clips(node: Node) -> bool:
    """Clipping the operands to the output's range changes nothing that the output's own clipping keeps."""
    rule = rule_of(node)
    handed_on = rule is not None and rule.kind == "same" and not isinstance(node.attrs, AVERAGING)
    return handed_on or isinstance(node.attrs, Relu)
