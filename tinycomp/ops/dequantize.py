"""DEQUANTIZE: integers to the float32 values that they stand for.

A constant may be quantized per channel, and may be float32 already, which float16 weights are once read: the reader
folds those away.

Source: tensorflow/lite/kernels/internal/reference/dequantize.h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tinycomp.ir import Array, Attrs, DType, Graph, Node, Quant, Tensor
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, require_dtype

INTEGERS: list[tuple[DType, DType]] = [("int8", "float32"), ("int16", "float32"), ("uint8", "float32")]
MOVED_DOWN: Mapping[DType, int] = {"int8": 0, "uint8": 128}  # what an integer of each loses to be int8
CONSTANTS: list[tuple[DType, DType]] = [*INTEGERS, ("int4", "float32"), ("float32", "float32")]


@dataclass(frozen=True)
class Dequantize(Attrs):
    """No parameters."""

    op: ClassVar[str] = "dequantize"


def _read(source: Source) -> Parsed:
    return Parsed(Dequantize(), (unary.one_input(source),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,) = graph.ins(node)
    if x.data is None:
        return unary.infer_same_shape(node, graph, INTEGERS)
    require_dtype(node, graph, CONSTANTS)
    return ((x.shape, "float32"),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), values = graph.ins(node), args[0]
    if x.dtype == "float32":
        return (values,)
    shape = [1] * values.ndim
    if x.quant is not None and x.quant.per_channel:
        shape[x.quant.axis] = -1
    scale = np.array(x.quant.scale if x.quant else x.scale, np.float32).reshape(shape)
    zero = np.array(x.quant.zero_point if x.quant else x.zero_point, np.int32).reshape(shape)
    return (np.multiply(scale, np.subtract(values.astype(np.int32), zero).astype(np.float32)),)


def grid(x: Tensor) -> Quant | None:
    """int8 parameters of the steps that the real values of 8-bit integers lie on; None for other dtypes.

    uint8 is int8 moved up by 128.
    """
    if x.quant is None or x.dtype not in MOVED_DOWN:
        return None
    return replace(x.quant, zero_point=tuple(z - MOVED_DOWN[x.dtype] for z in x.quant.zero_point))


def _lower(node: Node, graph: Graph) -> Leaf:
    (x,) = graph.ins(node)
    return unary.row_leaf(node, graph, {"scale": x.scale}, {"zero": x.zero_point})


OPERATOR = Operator(
    attrs=Dequantize,
    codecs=(Codec("DEQUANTIZE", "DequantizeOptions", _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(Kernel("portable", _lower),),
)
