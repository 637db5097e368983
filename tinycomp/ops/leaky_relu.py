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
from tinycomp.ops import int16, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, as_dtype


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
    int16.require_symmetric(f"{node.name} ({node.op})", (*graph.ins(node), graph.out(node)))
    return unary.infer_same_shape(node, graph, [("int8", "int8"), ("int16", "int16"), ("float32", "float32")])


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype != np.float32:
        return (_quantized(node, graph, args[0]),)
    x = args[0].astype(np.float32)
    return (np.where(x > 0, x, x * np.float32(attrs(node).alpha)),)


def _slopes(node: Node, graph: Graph) -> tuple[qmath.Multiplier, qmath.Multiplier]:
    """The factors above zero and below, the latter's magnitude: the interpreters round as for a positive slope."""
    (x,), out = graph.ins(node), graph.out(node)
    above, below = (unary.factor(graph, x.scale, slope, out.scale) for slope in (1.0, abs(attrs(node).alpha)))
    return qmath.quantize_multiplier(above), qmath.quantize_multiplier(below)


def _quantized(node: Node, graph: Graph, values: Array) -> Array:
    (x,), out = graph.ins(node), graph.out(node)
    v = values.astype(np.int64) - x.zero_point
    above, below = (qmath.requantize(v, m.mantissa, m.shift) for m in _slopes(node, graph))
    below = -below if attrs(node).alpha < 0 else below
    return as_dtype(np.clip(np.where(v >= 0, above, below) + out.zero_point, *qmath.INT_RANGE[out.dtype]), out.dtype)


def _lower_int16(node: Node, graph: Graph) -> Leaf:
    above, below = _slopes(node, graph)
    numbers = {
        "mantissa_above": above.mantissa, "shift_above": above.shift,
        "mantissa_below": below.mantissa, "shift_below": below.shift,
    }  # fmt: skip
    return unary.row_leaf(node, graph, {"falls": attrs(node).alpha < 0}, numbers)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    return unary.row_leaf(node, graph, params={"alpha": attrs(node).alpha})


OPERATOR = Operator(
    attrs=LeakyRelu,
    codecs=(Codec("LEAKY_RELU", "LeakyReluOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        unary.lut(_quantized),
        Kernel("int16", _lower_int16, int16.is_int16, helpers=("requantize", "clamp_int16")),
        Kernel("float", _lower_float, unary.is_float),
    ),
    inplace=(0,),
)
