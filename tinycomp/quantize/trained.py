"""Ranges that a model was trained with: QUANTIZE followed by DEQUANTIZE, or FAKE_QUANT, as converters write it.

Such a pair only rounds its float32 input to 256 steps. It is taken out, and the tensor keeps the steps as int8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from tinycomp.ir import Graph, Node, Quant, apply, pruned
from tinycomp.ops import fake_quant
from tinycomp.ops.dequantize import Dequantize, grid
from tinycomp.ops.fake_quant import FakeQuant
from tinycomp.ops.quantize import Quantize


class Trained(NamedTuple):
    """graph: without its pairs. quants: int8 parameters of the float32 tensors that had one, by name."""

    graph: Graph
    quants: Mapping[str, Quant]


def without_pairs(graph: Graph) -> Trained:
    """Take out every pair. The graph's inputs and outputs keep their names."""
    graph = apply(graph, *(fake_quant.expand(n, graph) for n in graph.nodes if isinstance(n.attrs, FakeQuant)))
    quants: dict[str, Quant] = {}
    while (first := next((n for n in graph.nodes if _starts_pair(n, graph)), None)) is not None:
        x, held = first.inputs[0], graph.out(first)
        steps = grid(held)
        assert steps is not None  # else it starts no pair
        quants.setdefault(x, steps)
        copies = {n.outputs[0] for n in graph.consumers(held.name)}
        name = next((name for name in graph.outputs if name in copies), x)
        names = {**dict.fromkeys(copies, name), x: name}
        quants = {names.get(n, n): q for n, q in quants.items()}
        graph = _renamed(graph, names, {first.name, *(n.name for n in graph.consumers(held.name))})
    return Trained(graph, quants)


def _starts_pair(node: Node, graph: Graph) -> bool:
    """A QUANTIZE of float32 that is only ever turned back. What is an input and an output at once needs both names."""
    if not isinstance(node.attrs, Quantize) or graph.ins(node)[0].dtype != "float32":
        return False
    held, readers = graph.out(node), graph.consumers(node.outputs[0])
    if grid(held) is None or held.name in graph.outputs or not readers:
        return False
    if any(not isinstance(n.attrs, Dequantize) for n in readers):
        return False
    ends = [n for n in (node.inputs[0], *(r.outputs[0] for r in readers)) if n in (*graph.inputs, *graph.outputs)]
    return len(ends) < 2


def _renamed(graph: Graph, names: Mapping[str, str], without: set[str]) -> Graph:
    """The graph without some nodes, and with other names for some tensors."""
    nodes = tuple(
        replace(n, inputs=tuple(names.get(i, i) for i in n.inputs), outputs=tuple(names.get(o, o) for o in n.outputs))
        for n in graph.nodes
        if n.name not in without
    )
    tensors = {names.get(n, n): replace(t, name=names.get(n, n)) for n, t in graph.tensors.items()}
    return pruned(replace(graph, tensors=tensors, nodes=nodes))
