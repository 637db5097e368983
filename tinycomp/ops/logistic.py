"""LOGISTIC: 1 / (1 + exp(−x)) of each element.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h, reference/logistic.h,
tensorflow/lite/micro/kernels/logistic_common.cc; for LiteRT LUTPopulate in kernels/internal/common.h.
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

EXACT = (0,)  # see qmath_int16.factor
UPPER, LOWER = np.float32(16.619047164916992188), np.float32(-9)  # beyond these the float kernel takes 1 and exp(x)


@dataclass(frozen=True)
class Logistic(Attrs):
    """No parameters."""

    op: ClassVar[str] = "logistic"


def _read(source: Source) -> Parsed:
    return Parsed(Logistic(), (unary.one_input(source),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    found = unary.infer_same_shape(node, graph, [("int8", "int8"), ("int16", "int16"), ("float32", "float32")])
    if graph.out(node).dtype == "int16":
        sigmoid16.require(node, graph)
    if graph.out(node).dtype == "int8":
        unary.require_fixed_point_input(node, graph)
        litert = graph.reference == "litert"
        unary.require_output_quant(node, graph, 1 / 256 if litert else None, None if litert else -128)
    return found


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype != np.float32:
        return ((_int16 if args[0].dtype == np.int16 else _int8)(node, graph, args[0]),)
    x = args[0].astype(np.float32)
    low = np.exp(np.minimum(x, LOWER))
    middle = np.float32(1) / (np.float32(1) + np.exp(-np.clip(x, LOWER, UPPER)))
    return (np.where(x > UPPER, np.float32(1), np.where(x < LOWER, low, middle)).astype(np.float32),)


def _sigmoid(real: unary.Float64) -> unary.Float64:
    return 1 / (1 + np.exp(np.minimum(-real, 700)))  # exp(700) is the last that a double holds


def _int8(node: Node, graph: Graph, values: Array) -> Array:
    (x,), out = graph.ins(node), graph.out(node)
    if graph.reference == "litert":
        return unary.float_table(x, out, values, _sigmoid)
    return unary.fixed_table(x, values, qmath_fixed.logistic, 8, -128)


def _int16(node: Node, graph: Graph, values: Array) -> Array:
    return qmath_int16.logistic(values, qmath_int16.factor(graph.ins(node)[0].scale, EXACT)).astype(np.int16)


OPERATOR = Operator(
    attrs=Logistic,
    codecs=(Codec("LOGISTIC", None, _read, unary.write_plain),),
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
