"""A float graph with its scheme and its layers' integers -> the int8 graph, by the TFLite specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tinycomp import ops
from tinycomp.ir import Array, Graph, Node, Quant, Tensor, fresh, pruned
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.quantize import Quantize, quantized
from tinycomp.quantize import weights
from tinycomp.quantize.rules import operands, rule_of
from tinycomp.quantize.scheme import Scheme
from tinycomp.quantize.weights import Integers

Io = Literal["int8", "float32"]


@dataclass
class _Maker:
    """The int8 graph under construction. forms: the name of a float tensor's value under given parameters (None:
    as float32)."""

    source: Graph
    scheme: Scheme
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    nodes: list[Node] = field(default_factory=list[Node])
    forms: dict[tuple[str, Quant | None], str] = field(default_factory=dict[tuple[str, Quant | None], str])
    made_as: dict[str, Quant | None] = field(default_factory=dict[str, Quant | None])

    def define(self, name: str, quant: Quant | None, stored: str | None = None) -> str:
        """The value `name` exists as int8 with these parameters, or as float32, under the name `stored`."""
        t, stored = self.source.tensors[name], stored or name
        self.tensors[stored] = replace(t, name=stored, dtype="int8" if quant else "float32", quant=quant)
        self.forms[name, quant] = stored
        self.made_as.setdefault(name, quant)
        return stored

    def use(self, name: str, quant: Quant | None) -> str:
        """The name under which `name` can be read with these parameters; converts it where it has others."""
        t = self.source.tensors[name]
        if (name, quant) in self.forms:
            return self.forms[name, quant]
        if t.data is not None:
            return self._constant(t, quant)
        have = self.made_as[name]
        step = Quantize() if quant else Dequantize()
        suffix = "dequantized" if quant is None else "quantized" if have is None else "requantized"
        stored = fresh(self.source, f"{name}_{suffix}", self.tensors)
        before = self.forms[name, have]
        label = fresh(self.source, f"{step.op}_{len(self.nodes)}", (n.name for n in self.nodes))
        self.define(name, quant, stored)
        self.nodes.append(Node(label, step, (before,), (stored,)))
        return stored

    def _constant(self, t: Tensor, quant: Quant | None) -> str:
        if quant is None or t.data is None:
            stored = t
        else:
            q = np.clip(np.rint(t.data.astype(np.float64) / quant.scale[0]) + quant.zero_point[0], -128, 127)
            name = t.name if t.name not in self.tensors else fresh(self.source, f"{t.name}_int8", self.tensors)
            stored = Tensor(name, t.shape, "int8", quant, q.astype(np.int8))
        self.tensors[stored.name] = stored
        self.forms[t.name, quant] = stored.name
        return stored.name


def to_int8(graph: Graph, scheme: Scheme, layers: Mapping[str, Integers], io: Io = "int8") -> Graph:
    """The int8 graph. Tensors and nodes keep their names.

    layers: the integers of each weighted node, by its name; those that are missing are rounded to nearest. io: the
    dtype of inputs and outputs that are float32 now. Nodes that the scheme keeps stay float32, with DEQUANTIZE before
    and QUANTIZE after them. Raises Unsupported where an operator does not take what the scheme makes of its tensors.
    """
    maker = _Maker(graph, scheme)
    for name in graph.inputs:
        if graph.tensors[name].dtype != "float32":
            maker.tensors[name] = graph.tensors[name]
        else:
            maker.define(name, scheme.quants.get(name) if io == "int8" else None)
    for node in graph.nodes:
        _convert(maker, node, layers.get(node.name))
    outputs = tuple(_output(maker, name, io) for name in graph.outputs)
    made = Graph(graph.name, maker.tensors, tuple(maker.nodes), graph.inputs, outputs, graph.reference)
    made = pruned(_named(made, graph.outputs))
    ops.check(made)
    return made


def _convert(maker: _Maker, node: Node, made: Integers | None) -> None:
    graph, quants = maker.source, maker.scheme.quants
    rule = rule_of(node)
    if node.name in maker.scheme.kept or rule is None or graph.out(node).dtype != "float32":
        names = [maker.use(name, None) if _is_float(graph, name) else _as_is(maker, name) for name in node.inputs]
        for name in node.outputs:
            if _is_float(graph, name):
                maker.define(name, None)
            else:
                maker.tensors[name] = graph.tensors[name]
        maker.nodes.append(replace(node, inputs=tuple(names)))
        return
    out = quants[node.outputs[0]]
    data = operands(node)
    inputs = [maker.use(name, out if rule.kind == "same" else quants[name]) for name in data]
    if rule.kind == "weighted":
        x = quants[node.inputs[0]]
        layer = weights.layer_of(node, graph, rule.axis)
        if made is None:
            made = weights.rounded(layer, weights.scales(layer, x.scale[0], out.scale[0]), x.scale[0])
        for t in weights.tensors(layer, made, graph, x.scale[0]):
            name = t.name if t.name not in maker.tensors else fresh(graph, f"{t.name}_{node.name}", maker.tensors)
            maker.tensors[name] = replace(t, name=name)
            inputs.append(name)
    else:
        inputs += [_as_is(maker, name) for name in node.inputs[len(data) :]]
    for name in node.outputs:
        maker.define(name, quants[name])
    maker.nodes.append(replace(node, inputs=tuple(inputs)))


def _is_float(graph: Graph, name: str) -> bool:
    return graph.tensors[name].dtype == "float32"


def _as_is(maker: _Maker, name: str) -> str:
    maker.tensors[name] = maker.source.tensors[name]
    return name


def _output(maker: _Maker, name: str, io: Io) -> str:
    if not _is_float(maker.source, name):
        return _as_is(maker, name)
    quant = maker.scheme.quants.get(name)
    return maker.use(name, quant if io == "int8" else None)


def _named(graph: Graph, wanted: tuple[str, ...]) -> Graph:
    """The graph whose outputs have the names that the float model's had; what is in the way gets theirs."""
    names = {made: name for made, name in zip(graph.outputs, wanted, strict=True) if made != name}
    names |= {name: made for made, name in names.items()}
    if not names:
        return graph
    tensors = {names.get(n, n): replace(t, name=names.get(n, n)) for n, t in graph.tensors.items()}
    nodes = tuple(replace(n, inputs=tuple(names.get(i, i) for i in n.inputs),
                          outputs=tuple(names.get(o, o) for o in n.outputs)) for n in graph.nodes)  # fmt: skip
    ends = (tuple(names.get(n, n) for n in side) for side in (graph.inputs, graph.outputs))
    return replace(graph, tensors=tensors, nodes=nodes, inputs=next(ends), outputs=next(ends))


def as_inputs(graph: Graph, values: Sequence[Array]) -> list[Array]:
    """Real inputs as a graph takes them: float32 as they are, int8 by the input's scale and zero point."""
    made: list[Array] = []
    for name, value in zip(graph.inputs, values, strict=True):
        t = graph.tensors[name]
        made.append(quantized(value, t) if t.dtype == "int8" and value.dtype.kind == "f" else value)
    return made
