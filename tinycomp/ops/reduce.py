"""SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL over any axes.

Sources: tensorflow/lite/kernels/internal/reference/reduce.h, tensorflow/lite/micro/kernels/reduce_common.cc; what
TensorFlow Lite Micro lacks (REDUCE_MIN, ANY, ALL, int32) as in tensorflow/lite/kernels/reduce.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import reductions, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, require_dtype

BUILTINS = {"sum": "SUM", "max": "REDUCE_MAX", "min": "REDUCE_MIN", "any": "REDUCE_ANY", "all": "REDUCE_ALL"}
NUMERIC: list[tuple[DType, ...]] = [("int8", "int8"), ("float32", "float32"), ("int32", "int32")]
TRUTH: list[tuple[DType, ...]] = [("bool", "bool")]


@dataclass(frozen=True)
class Reduce(reductions.Reduction):
    """function: a key of BUILTINS."""

    op: ClassVar[str] = "reduce"
    function: str = "sum"


def attrs(node: Node) -> Reduce:
    """The node's attributes, typed."""
    return cast(Reduce, node.attrs)


def _codec(function: str) -> Codec:
    def read(source: Source) -> Parsed:
        parsed, axes, keep = reductions.read(source)
        return Parsed(Reduce(axes, keep, function), parsed.inputs)

    def write(node: Node, graph: Graph) -> Written | None:
        return reductions.write(node) if attrs(node).function == function else None

    return Codec(BUILTINS[function], "ReducerOptions", read, write)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    x, out, a = graph.ins(node)[0], graph.out(node), attrs(node)
    require_dtype(node, graph, TRUTH if a.function in ("any", "all") else NUMERIC)
    found = reductions.shape(node, graph)
    if x.dtype == "int8":
        unary.require_per_tensor(node, x)
        unary.require_per_tensor(node, out)
        if a.function == "sum" and graph.reference == "litert":
            raise Unsupported("LiteRT's int8 SUM uses another arithmetic", where=f"{node.name} (reduce)",
                              fix="build with --reference tflm")  # fmt: skip
        if a.function == "sum":
            unary.require_multiplier(node, graph, x.scale / out.scale * _count(node, graph), 2.0**22)
        elif x.quant != out.quant:
            raise Unsupported(f"input {x.name!r} and output {out.name!r} are quantized differently, and the reference "
                              "does not rescale", where=f"{node.name} (reduce)", fix="quantize both alike")  # fmt: skip
    return ((found, x.dtype),)


def _count(node: Node, graph: Graph) -> int:
    return math.prod(graph.ins(node)[0].shape[i] for i in attrs(node).axes)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), a, (t,), out = args, attrs(node), graph.ins(node), graph.out(node)
    if a.function != "sum":
        made = {"max": np.max, "min": np.min, "any": np.any, "all": np.all}[a.function]
        return (np.asarray(made(x, axis=a.axes, keepdims=a.keep_dims)),)
    if x.dtype == np.float32:
        return (np.asarray(x.sum(axis=a.axes, keepdims=a.keep_dims, dtype=np.float32)),)
    total = np.asarray(x.sum(axis=a.axes, keepdims=a.keep_dims, dtype=np.int64))
    if x.dtype == np.int32:
        return (qmath.wrap32(total).astype(np.int32),)
    m = qmath.quantize_multiplier(t.scale / out.scale)
    scaled = qmath.requantize(qmath.wrap32(total - _count(node, graph) * t.zero_point), m.mantissa, m.shift)
    return (np.clip(scaled + out.zero_point, -128, 127).astype(np.int8),)


def _lower(node: Node, graph: Graph) -> Leaf:
    a, (x,), out = attrs(node), graph.ins(node), graph.out(node)
    numbers: dict[str, int] = {}
    if x.dtype == "int8" and a.function == "sum":
        m = qmath.quantize_multiplier(x.scale / out.scale)
        start = -_count(node, graph) * x.zero_point
        numbers = {"start": start, "mantissa": m.mantissa, "shift": m.shift, "out_zero": out.zero_point}
    return reductions.leaf(node, graph, {"function": a.function}, numbers)


def _is_sum(node: Node, graph: Graph) -> bool:
    return graph.out(node).dtype == "int8" and attrs(node).function == "sum"


OPERATOR = Operator(
    attrs=Reduce,
    codecs=tuple(_codec(function) for function in BUILTINS),
    infer=_infer,
    reference=_reference,
    access=reductions.access,
    kernels=(
        Kernel("sum_int8", _lower, _is_sum, helpers=("requantize", "clamp_int8")),
        Kernel("plain", _lower, lambda node, graph: not _is_sum(node, graph)),
    ),
)
