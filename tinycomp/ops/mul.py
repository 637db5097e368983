"""MUL with numpy broadcasting.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/mul.h, tensorflow/lite/micro/kernels/mul_common.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import binary, unary
from tinycomp.ops.base import Operator, Shape, clamp_real

# Products of int8 have 17 bits with their sign, of int16 31; shifted and with the zero point they must fit 32.
LIMIT = {"int8": 2.0**14, "int16": 1.0}


@dataclass(frozen=True)
class Mul(binary.Binary):
    """activation: the fused clamp."""

    op: ClassVar[str] = "mul"


def _factor(node: Node, graph: Graph) -> float:
    (a, b), out = graph.ins(node), graph.out(node)
    return unary.factor(graph, a.scale, b.scale, out.scale)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    found = binary.infer(node, graph)
    if binary.is_quantized(node, graph):
        unary.require_multiplier(node, graph, _factor(node, graph), LIMIT[graph.out(node).dtype])
    return found


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype == np.float32:
        return (clamp_real(np.multiply(args[0], args[1]), binary.attrs(node).activation),)
    va, vb = binary.int64(args)
    if args[0].dtype == np.int32:
        return (binary.wrapped(va * vb),)
    (a, b), out = graph.ins(node), graph.out(node)
    m = qmath.quantize_multiplier(_factor(node, graph))
    product = (va - a.zero_point) * (vb - b.zero_point)
    scaled = qmath.requantize(product, m.mantissa, m.shift)
    return (binary.clamped(scaled + out.zero_point, node, graph),)


def _lower(node: Node, graph: Graph) -> Leaf:
    (a, b), out = graph.ins(node), graph.out(node)
    m, (low, high) = qmath.quantize_multiplier(_factor(node, graph)), binary.output_range(node, graph)
    numbers = {
        "zero_a": a.zero_point, "zero_b": b.zero_point, "zero_out": out.zero_point, "mantissa": m.mantissa,
        "shift": m.shift, "low": low, "high": high,
    }  # fmt: skip
    return binary.leaf(node, graph, {}, numbers)


OPERATOR = Operator(
    attrs=Mul,
    codecs=(binary.codec("MUL", "MulOptions", Mul),),
    infer=_infer,
    reference=_reference,
    access=binary.access,
    kernels=(Kernel("portable", _lower, binary.is_quantized, helpers=binary.HELPERS), binary.KERNEL_PLAIN),
    inplace=(0, 1),
)
