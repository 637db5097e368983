"""int8 weights beside float32 activations, as dynamic-range quantization makes them.

They mean float32 weights, scale times integer, and stay int8 in flash. LiteRT quantizes the activations of such layers
too, at run time and for each input anew; computing in float32 loses less and agrees with it only roughly, to a part in
a hundred or so. TensorFlow Lite Micro refuses them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinycomp.ir import Array, Graph, Node, Tensor, fresh, pruned
from tinycomp.kernel import Const


def is_hybrid(node: Node, graph: Graph) -> bool:
    """A convolution or dense layer on float32 with int8 weights."""
    x, w = graph.ins(node)[:2]
    return (x.dtype, w.dtype) == ("float32", "int8")


def _scales(t: Tensor, channels: int) -> Array:
    assert t.quant is not None  # `infer` has refused others
    return np.broadcast_to(np.array(t.quant.scale, np.float32), (channels,))


def real(t: Tensor, values: Array) -> NDArray[np.float32]:
    """The float32 weights that the values of `t` stand for; float32 weights as they are."""
    if t.dtype == "float32" or t.quant is None:
        return values.astype(np.float32)
    along = [1] * values.ndim
    along[t.quant.axis] = -1
    return values.astype(np.float32) * np.array(t.quant.scale, np.float32).reshape(along)


def scale_consts(node: Node, graph: Graph, channels: int) -> tuple[Const, ...]:
    """A float32 scale for each output channel where the weights are int8, else nothing."""
    return (Const("requant", _scales(graph.ins(node)[1], channels)),) if is_hybrid(node, graph) else ()


def dequantized(graph: Graph, weighted: tuple[type, ...]) -> Graph:
    """The graph with float32 weights in every such layer. weighted: the attributes of those that may be one."""
    tensors, nodes = dict(graph.tensors), list(graph.nodes)
    for i, node in enumerate(nodes):
        if isinstance(node.attrs, weighted) and is_hybrid(node, graph):
            w = graph.tensors[node.inputs[1]]
            assert w.data is not None  # `infer` has refused others
            name = fresh(graph, f"{w.name}_real", tensors)
            tensors[name] = Tensor(name, w.shape, "float32", w.quant, real(w, w.data))
            nodes[i] = replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]))
    return pruned(replace(graph, tensors=tensors, nodes=tuple(nodes)))
