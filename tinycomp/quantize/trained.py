"""Ranges that a model was trained with: QUANTIZE followed by DEQUANTIZE, or FAKE_QUANT, as converters write it.

Such a pair only rounds its float32 input to 256 steps. It is taken out, and the tensor keeps the steps as int8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from tinycomp.ir import Graph, Node, Quant, apply, pruned, renamed
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
    root: dict[str, str] = {}  # of what a pair gives back: the tensor that the pair, or the first of many, rounds
    label: dict[str, str] = {}  # of a root that an output is taken from: the output's name
    quants: dict[str, Quant] = {}
    gone: set[str] = set()
    ends = {*graph.inputs, *graph.results, *(s.before for s in graph.states)}
    for node in graph.nodes:
        steps = _pair_steps(node, graph)
        if steps is None:
            continue
        x = root.get(node.inputs[0], node.inputs[0])
        back = graph.consumers(node.outputs[0])
        named = [n.outputs[0] for n in back if n.outputs[0] in ends]
        if len(named) + (x in ends or x in label) > 1:  # what is an input and an output at once needs both names
            continue
        label.update((x, name) for name in named)
        root.update((n.outputs[0], x) for n in back)
        quants.setdefault(x, steps)
        gone.update((node.name, *(n.name for n in back)))
    names = {**label, **{name: label.get(x, x) for name, x in root.items()}}
    kept = replace(graph, nodes=tuple(n for n in graph.nodes if n.name not in gone))
    return Trained(pruned(renamed(kept, names)) if gone else graph, {label.get(x, x): q for x, q in quants.items()})


def _pair_steps(node: Node, graph: Graph) -> Quant | None:
    """int8 parameters of a QUANTIZE of float32 whose integers are only ever turned back."""
    if not isinstance(node.attrs, Quantize) or graph.ins(node)[0].dtype != "float32":
        return None
    held, readers = graph.out(node), graph.consumers(node.outputs[0])
    alone = readers and held.name not in graph.results and all(isinstance(n.attrs, Dequantize) for n in readers)
    return grid(held) if alone else None
