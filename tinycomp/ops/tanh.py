"""TANH of each element.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/tanh.h, reference/tanh.h,
tensorflow/lite/micro/kernels/tanh.cc; for LiteRT LUTPopulate in kernels/internal/common.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp import qmath_fixed, qmath_int16
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel
from tinycomp.ops import sigmoid16, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source

EXACT = (0, 1)  # see qmath_int16.factor


@dataclass(frozen=True)
class Tanh(Attrs):
    """No parameters."""

    op: ClassVar[str] = "tanh"


def _read(source: Source) -> Parsed:
    return Parsed(Tanh(), (unary.one_input(source),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    if graph.out(node).dtype == "int16":
        sigmoid16.require(node, graph)
    else:
        unary.require_fixed_point_input(node, graph)
    return unary.infer_same_shape(node, graph, [("int8", "int8"), ("int16", "int16"), ("float32", "float32")])


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype != np.float32:
        return ((_int16 if args[0].dtype == np.int16 else _int8)(node, graph, args[0]),)
    return (np.tanh(args[0].astype(np.float32)),)


def _int8(node: Node, graph: Graph, values: Array) -> Array:
    (x,), out = graph.ins(node), graph.out(node)
    if graph.reference == "litert":
        return unary.float_table(x, out, values, np.tanh)
    return unary.fixed_table(x, values, qmath_fixed.tanh, 7, 0)


def _int16(node: Node, graph: Graph, values: Array) -> Array:
    return qmath_int16.tanh(values, qmath_int16.factor(graph.ins(node)[0].scale, EXACT)).astype(np.int16)


OPERATOR = Operator(
    attrs=Tanh,
    codecs=(Codec("TANH", None, _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        unary.lut(_int8),
        sigmoid16.kernel(EXACT),
        Kernel("float", unary.row_leaf, unary.is_float),
    ),
    inplace=(0,),
)
