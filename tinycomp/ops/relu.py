"""RELU, RELU6 and RELU_N1_TO_1 as layers of their own, requantizing where input and output differ.

Sources: tensorflow/lite/micro/kernels/activations.cc and activations_common.cc; for LiteRT QuantizedReluX in
tensorflow/lite/kernels/activations.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import int16, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, as_dtype, clamp_real


@dataclass(frozen=True)
class Relu(Attrs):
    """activation: relu, relu6 or relu_n1_to_1."""

    op: ClassVar[str] = "relu"
    activation: str = "relu"


class Clamp(NamedTuple):
    """An integer activation that needs no multiplication: min(max(x + offset, low), high)."""

    offset: int
    low: int
    high: int


def attrs(node: Node) -> Relu:
    """The node's attributes, typed."""
    return cast(Relu, node.attrs)


def _codec(builtin: str, activation: str) -> Codec:
    def read(source: Source) -> Parsed:
        return Parsed(Relu(activation), (unary.one_input(source),))

    def write(node: Node, graph: Graph) -> Written | None:
        return unary.write_plain(node, graph) if attrs(node).activation == activation else None

    return Codec(builtin, None, read, write)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    int16.require_symmetric(f"{node.name} ({node.op})", (*graph.ins(node), graph.out(node)))
    return unary.infer_same_shape(node, graph, [("int8", "int8"), ("int16", "int16"), ("float32", "float32")])


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype == np.float32:
        return (clamp_real(args[0], attrs(node).activation),)
    return (_quantized(node, graph, args[0]),)


def clamp(node: Node, graph: Graph) -> Clamp | None:
    """The clamp that an integer node amounts to; None where it rescales.

    TFLM's RELU6 clamps to the input's 0 and 6 and never looks at the output's quantization.
    """
    (x,), out, activation = graph.ins(node), graph.out(node), attrs(node).activation
    if activation == "relu6" and graph.reference == "tflm":
        low, high = qmath.INT_RANGE[x.dtype]
        six = min(max(qmath.quantize_real(6.0, x.scale, x.zero_point), low), high)
        return Clamp(0, x.zero_point, max(six, x.zero_point))
    if x.scale != out.scale:
        return None
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    return Clamp(out.zero_point - x.zero_point, low, high)


def _quantized(node: Node, graph: Graph, values: Array) -> Array:
    (x,), out, simple = graph.ins(node), graph.out(node), clamp(node, graph)
    if simple is not None:
        return as_dtype(np.clip(values.astype(np.int64) + simple.offset, simple.low, simple.high), out.dtype)
    m = qmath.quantize_multiplier(unary.factor(graph, x.scale, 1.0, out.scale))
    low, high = qmath.activation_range(attrs(node).activation, out.dtype, out.scale, out.zero_point)
    scaled = qmath.requantize(values.astype(np.int64) - x.zero_point, m.mantissa, m.shift)
    return as_dtype(np.clip(scaled + out.zero_point, low, high), out.dtype)


def _lower_clamp(node: Node, graph: Graph) -> Leaf:
    found = clamp(node, graph)
    assert found is not None  # the row accepts no other node
    return unary.row_leaf(node, graph, numbers=found._asdict())


def _clamps(node: Node, graph: Graph) -> bool:
    return not unary.is_float(node, graph) and clamp(node, graph) is not None


def _rescales(node: Node, graph: Graph) -> bool:
    return int16.is_int16(node, graph) and clamp(node, graph) is None


def _lower_requantize(node: Node, graph: Graph) -> Leaf:
    (x,), out = graph.ins(node), graph.out(node)
    m = qmath.quantize_multiplier(unary.factor(graph, x.scale, 1.0, out.scale))
    low, high = qmath.activation_range(attrs(node).activation, out.dtype, out.scale, out.zero_point)
    numbers = {
        "zero_in": x.zero_point, "zero_out": out.zero_point, "mantissa": m.mantissa, "shift": m.shift,
        "low": low, "high": high,
    }  # fmt: skip
    return unary.row_leaf(node, graph, numbers=numbers)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    return unary.row_leaf(node, graph, params={"activation": attrs(node).activation})


OPERATOR = Operator(
    attrs=Relu,
    codecs=(_codec("RELU", "relu"), _codec("RELU6", "relu6"), _codec("RELU_N1_TO_1", "relu_n1_to_1")),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        Kernel("clamp", _lower_clamp, _clamps),
        unary.lut(_quantized),
        Kernel(
            "requantize",
            _lower_requantize,
            _rescales,
            helpers=("requantize",),
        ),
        Kernel("float", _lower_float, unary.is_float),
    ),
    inplace=(0,),
)
