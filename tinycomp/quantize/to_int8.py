"""A float graph with its scheme and its layers' integers -> the integer graph, by the TFLite specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from tinycomp import ops, qmath
from tinycomp.ir import NUMPY, Array, Graph, Node, Quant, Tensor, fresh, pruned, renamed
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.quantize import Quantize, quantized
from tinycomp.quantize import weights
from tinycomp.quantize.precision import NUMBERS, Activations
from tinycomp.quantize.rules import operands, rule_of
from tinycomp.quantize.scheme import Scheme
from tinycomp.quantize.weights import Integers

Io = Literal["int8", "int16", "float32"]


class _Form(NamedTuple):
    """How a value is stored."""

    dtype: Activations
    quant: Quant | None


FLOAT = _Form("float32", None)


@dataclass
class _Maker:
    """The graph under construction. names: of a float tensor's value in a form. made_as: the form it was made in."""

    source: Graph
    scheme: Scheme
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    nodes: list[Node] = field(default_factory=list[Node])
    names: dict[tuple[str, _Form], str] = field(default_factory=dict[tuple[str, _Form], str])
    made_as: dict[str, _Form] = field(default_factory=dict[str, _Form])

    def form(self, name: str, activations: Activations) -> _Form:
        """The tensor as this dtype, float32 where it has no parameters."""
        quant = self.scheme.quant(name, activations)
        return _Form(activations, quant) if quant else FLOAT

    def define(self, name: str, form: _Form, stored: str | None = None) -> str:
        """The value `name` exists in this form under the name `stored`."""
        t, stored = self.source.tensors[name], stored or name
        self.tensors[stored] = replace(t, name=stored, dtype=form.dtype, quant=form.quant)
        self.names[name, form] = stored
        self.made_as.setdefault(name, form)
        return stored

    def use(self, name: str, form: _Form) -> str:
        """The name under which `name` can be read in this form; converts it where it has others."""
        t = self.source.tensors[name]
        if (name, form) in self.names:
            return self.names[name, form]
        if t.data is not None:
            return self._constant(t, form)
        have = self.made_as[name]
        step = Quantize() if form.quant else Dequantize()
        suffix = "dequantized" if form == FLOAT else "quantized" if have == FLOAT else "requantized"
        stored = fresh(self.source, f"{name}_{suffix}", self.tensors)
        before = self.names[name, have]
        label = fresh(self.source, f"{step.op}_{len(self.nodes)}", (n.name for n in self.nodes))
        self.define(name, form, stored)
        self.nodes.append(Node(label, step, (before,), (stored,)))
        return stored

    def _constant(self, t: Tensor, form: _Form) -> str:
        quant = form.quant
        if quant is None or t.data is None:
            stored = t
        else:
            low, high = qmath.INT_RANGE[form.dtype]
            q = np.clip(np.rint(t.data.astype(np.float64) / quant.scale[0]) + quant.zero_point[0], low, high)
            name = t.name if t.name not in self.tensors else fresh(self.source, f"{t.name}_{form.dtype}", self.tensors)
            stored = Tensor(name, t.shape, form.dtype, quant, q.astype(NUMPY[form.dtype]))
        self.tensors[stored.name] = stored
        self.names[t.name, form] = stored.name
        return stored.name


def to_int8(graph: Graph, scheme: Scheme, layers: Mapping[str, Integers], io: Io = "int8") -> Graph:
    """The integer graph. Tensors and nodes keep their names.

    layers: the integers of each weighted node, by its name; those that are missing are rounded to nearest. io: the
    dtype of inputs and outputs that are float32 now. Nodes that the scheme keeps stay float32, with DEQUANTIZE before
    and QUANTIZE after them. Raises Unsupported where an operator does not take what the scheme makes of its tensors.
    """
    maker = _Maker(graph, scheme)
    for name in graph.inputs:
        if graph.tensors[name].dtype != "float32":
            maker.tensors[name] = graph.tensors[name]
        else:
            maker.define(name, maker.form(name, io))
    for node in graph.nodes:
        _convert(maker, node, layers.get(node.name))
    outputs = tuple(_output(maker, name, io) for name in graph.outputs)
    made = Graph(graph.name, maker.tensors, tuple(maker.nodes), graph.inputs, outputs, graph.reference)
    made = pruned(_named(made, graph.outputs))
    ops.check(made)
    return made


def _convert(maker: _Maker, node: Node, made: Integers | None) -> None:
    graph, scheme = maker.source, maker.scheme
    rule, chosen = rule_of(node), scheme.precisions.get(node.name, "float32")
    if chosen == "float32" or rule is None or graph.out(node).dtype != "float32":
        names = [maker.use(name, FLOAT) if _is_float(graph, name) else _as_is(maker, name) for name in node.inputs]
        for name in node.outputs:
            if _is_float(graph, name):
                maker.define(name, FLOAT)
            else:
                maker.tensors[name] = graph.tensors[name]
        maker.nodes.append(replace(node, inputs=tuple(names)))
        return
    activations = NUMBERS[chosen].activations
    out = maker.form(node.outputs[0], activations)
    data = operands(node)
    inputs = [maker.use(name, out if rule.kind == "same" else maker.form(name, activations)) for name in data]
    if rule.kind == "weighted":
        inputs += _weights(maker, node, made)
    else:
        inputs += [_as_is(maker, name) for name in node.inputs[len(data) :]]
    for name in node.outputs:
        maker.define(name, maker.form(name, activations))
    maker.nodes.append(replace(node, inputs=tuple(inputs)))


def _weights(maker: _Maker, node: Node, made: Integers | None) -> list[str]:
    """The names of the layer's integer weights and bias."""
    graph = maker.source
    layer = weights.layer_of(node, graph, maker.scheme.precisions[node.name])
    x, out = maker.scheme.scales(node)
    made = made or weights.rounded(layer, weights.scales(layer, x, out), x)
    names: list[str] = []
    for t in weights.tensors(layer, made, graph, x):
        name = t.name if t.name not in maker.tensors else fresh(graph, f"{t.name}_{node.name}", maker.tensors)
        maker.tensors[name] = replace(t, name=name)
        names.append(name)
    return names


def _is_float(graph: Graph, name: str) -> bool:
    return graph.tensors[name].dtype == "float32"


def _as_is(maker: _Maker, name: str) -> str:
    maker.tensors[name] = maker.source.tensors[name]
    return name


def _output(maker: _Maker, name: str, io: Io) -> str:
    if not _is_float(maker.source, name):
        return _as_is(maker, name)
    return maker.use(name, maker.form(name, io))


def _named(graph: Graph, wanted: tuple[str, ...]) -> Graph:
    """The graph whose outputs have the names that the float model's had; what is in the way gets theirs."""
    names = {made: name for made, name in zip(graph.outputs, wanted, strict=True) if made != name}
    names |= {name: made for made, name in names.items()}
    return renamed(graph, names)


def as_inputs(graph: Graph, values: Sequence[Array]) -> list[Array]:
    """Real inputs as a graph takes them: float32 as they are, integers by the input's scale and zero point."""
    made: list[Array] = []
    for name, value in zip(graph.inputs, values, strict=True):
        t = graph.tensors[name]
        made.append(quantized(value, t) if t.dtype in ("int8", "int16") and value.dtype.kind == "f" else value)
    return made
