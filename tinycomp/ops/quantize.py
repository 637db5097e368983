"""QUANTIZE: float32 to integers, or integers of one scale to those of another.

Sources: tensorflow/lite/kernels/internal/reference/quantize.h and requantize.h,
tensorflow/lite/micro/kernels/quantize_common.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp import qmath
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Quant, Tensor
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, as_dtype, require_dtype

LIMIT = 2.0**13  # of input scale over output scale: 17 bits of difference, shifted, and the zero point must fit 32
DTYPES: list[tuple[DType, DType]] = [
    ("float32", "int8"), ("float32", "int16"), ("int8", "int8"), ("int8", "int16"), ("int8", "uint8"),
    ("uint8", "int8"), ("int16", "int8"), ("int16", "int16"), ("int8", "int32"), ("int16", "int32"),
    ("int32", "int8"), ("int32", "int16"), ("float32", "uint8"),
]  # fmt: skip


@dataclass(frozen=True)
class Quantize(Attrs):
    """No parameters: both ends' quantization says it all."""

    op: ClassVar[str] = "quantize"


def _read(source: Source) -> Parsed:
    return Parsed(Quantize(), (unary.one_input(source),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), out = graph.ins(node), graph.out(node)
    if x.data is not None and x.dtype == "float32" and out.quant is not None:  # weights, which may be per channel
        require_dtype(node, graph, DTYPES)
        return ((x.shape, out.dtype),)
    found = unary.infer_same_shape(node, graph, DTYPES)
    if x.dtype != "float32":
        unary.require_multiplier(node, graph, x.scale / out.scale, 1.0 if x.dtype == "int32" else LIMIT)
    for t in (x, out):
        if t.dtype == "int32" and t.zero_point:
            raise Unsupported(f"{t.name!r} is int32 with zero point {t.zero_point}; only 0 is supported",
                              where=f"{node.name} (quantize)", fix="quantize the model again")  # fmt: skip
    return found


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    if args[0].dtype != np.float32:
        return (_requantize(node, graph, args[0]),)
    return (quantized(args[0], graph.out(node)),)


def quantized(values: Array, out: Tensor) -> Array:
    """Real values as the tensor stores them: the quotient in float32, halves away from zero, NaN as the least value."""
    low, high = qmath.INT_RANGE[out.dtype]
    numbers = out.quant or Quant((out.scale,), (out.zero_point,))
    along = [-1 if numbers.per_channel and i == numbers.axis else 1 for i in range(values.ndim)]
    with np.errstate(over="ignore"):  # infinity saturates like any large value
        scaled = values.astype(np.float32) / np.array(numbers.scale, np.float32).reshape(along)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled.astype(np.float64)))
    moved = np.nan_to_num(rounded, nan=-np.inf) + np.array(numbers.zero_point).reshape(along)
    return as_dtype(np.clip(moved, low, high), out.dtype)


def _requantize(node: Node, graph: Graph, values: Array) -> Array:
    (x,), out = graph.ins(node), graph.out(node)
    m = qmath.quantize_multiplier(x.scale / out.scale)
    scaled = qmath.requantize(values.astype(np.int64) - x.zero_point, m.mantissa, m.shift)
    return as_dtype(np.clip(scaled + out.zero_point, *qmath.INT_RANGE[out.dtype]), out.dtype)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    out = graph.out(node)
    low, high = qmath.INT_RANGE[out.dtype]
    numbers = {"zero": out.zero_point, "low": low - out.zero_point, "high": high - out.zero_point}
    return unary.row_leaf(node, graph, {"scale": out.scale}, numbers)


def _lower_requantize(node: Node, graph: Graph) -> Leaf:
    (x,), out = graph.ins(node), graph.out(node)
    m, (low, high) = qmath.quantize_multiplier(x.scale / out.scale), qmath.INT_RANGE[out.dtype]
    numbers = {
        "zero_in": x.zero_point, "zero_out": out.zero_point, "mantissa": m.mantissa, "shift": m.shift,
        "low": low, "high": high,
    }  # fmt: skip
    return unary.row_leaf(node, graph, {}, numbers)


def _narrow(node: Node, graph: Graph) -> bool:
    return unary.is_byte(node, graph) and graph.out(node).dtype in ("int8", "uint8")


OPERATOR = Operator(
    attrs=Quantize,
    codecs=(Codec("QUANTIZE", "QuantizeOptions", _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        unary.lut(_requantize, _narrow),
        Kernel("requantize", _lower_requantize, lambda n, g: not unary.is_float(n, g), helpers=("requantize",)),
        Kernel("float", _lower_float, unary.is_float),
    ),
    inplace=(0,),
)
