"""LEAKY_RELU: x where x ≥ 0, alpha · x below.

Sources: tensorflow/lite/kernels/internal/reference/leaky_relu.h, tensorflow/lite/micro/kernels/leaky_relu_common.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class LeakyRelu(Attrs):
    """alpha: the slope below zero, a float32 value; may be negative or above one."""

    op: ClassVar[str] = "leaky_relu"
    alpha: float = 0.0


def attrs(node: Node) -> LeakyRelu:
    """The node's attributes, typed."""
    return cast(LeakyRelu, node.attrs)


def _read(source: Source) -> Parsed:
    alpha = unary.finite_option(source, "alpha", 0.0)
    return Parsed(LeakyRelu(alpha), (unary.one_input(source),))


def _write(node: Node, graph: Graph) -> Written:
    return Written({"alpha": attrs(node).alpha}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    return unary.infer_same_shape(node, graph, [("int8", "int8"), ("float32", "float32")])


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype != np.float32:
        return (_int8(node, graph, args[0]),)
    x = args[0].astype(np.float32)
    return (np.where(x > 0, x, x * np.float32(attrs(node).alpha)),)


def _int8(node: Node, graph: Graph, values: Array) -> Array:
    (x,), out, alpha = graph.ins(node), graph.out(node), attrs(node).alpha
    v = values.astype(np.int64) - x.zero_point
    above = _scaled(v, unary.factor(graph, x.scale, 1.0, out.scale), graph)
    below = _scaled(v, unary.factor(graph, x.scale, abs(alpha), out.scale), graph)
    below = -below if alpha < 0 else below  # the interpreters round as for the positive slope
    return np.clip(np.where(v >= 0, above, below) + out.zero_point, -128, 127).astype(np.int8)


def _scaled(v: qmath.Int64, real: float, graph: Graph) -> qmath.Int64:
    m = qmath.quantize_multiplier(real)
    return qmath.requantize(v, m.mantissa, m.shift)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    return unary.row_leaf(node, graph, params={"alpha": attrs(node).alpha})


OPERATOR = Operator(
    attrs=LeakyRelu,
    codecs=(Codec("LEAKY_RELU", "LeakyReluOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(unary.lut(_int8), Kernel("float", _lower_float, unary.is_float)),
    inplace=(0,),
)
