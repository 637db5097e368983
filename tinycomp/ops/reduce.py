"""SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL over any axes.

Sources: tensorflow/lite/kernels/internal/reference/reduce.h, tensorflow/lite/micro/kernels/reduce_common.cc; what
TensorFlow Lite Micro lacks (REDUCE_PROD, MIN, ANY, ALL, int32) as in tensorflow/lite/kernels/reduce.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, Param, rowwise, whole
from tinycomp.ops import mean, unary
from tinycomp.ops.axes import axes_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type, require_dtype

BUILTINS = {"sum": "SUM", "prod": "REDUCE_PROD", "max": "REDUCE_MAX", "min": "REDUCE_MIN", "any": "REDUCE_ANY",
            "all": "REDUCE_ALL"}  # fmt: skip
NUMERIC: tuple[DType, ...] = ("int8", "float32", "int32")
DTYPES: dict[str, tuple[DType, ...]] = {
    "sum": NUMERIC, "prod": ("int32", "int64", "float32"), "max": (*NUMERIC, "int16"), "min": (*NUMERIC, "int16"),
    "any": ("bool",), "all": ("bool",),
}  # fmt: skip


@dataclass(frozen=True)
class Reduce(Attrs):
    """axes: sorted, counted from the front. keep_dims leaves each as a dimension of 1. function: a key of BUILTINS."""

    op: ClassVar[str] = "reduce"
    axes: tuple[int, ...] = ()
    keep_dims: bool = False
    function: str = "sum"


def attrs(node: Node) -> Reduce:
    """The node's attributes, typed."""
    return cast(Reduce, node.attrs)


def _codec(function: str) -> Codec:
    def read(source: Source) -> Parsed:
        x, where = source.input(0), f"{source.name} ({source.builtin})"
        axes = axes_of(integers(source.constant(1, "the axes")), len(x.shape), where)
        return Parsed(Reduce(axes, bool(source.options.get("keep_dims", False)), function), (x,))

    def write(node: Node, graph: Graph) -> Written | None:
        a = attrs(node)
        if a.function != function:
            return None
        return Written({"keep_dims": a.keep_dims}, (node.inputs[0], np.array(a.axes, np.int32)))

    return Codec(BUILTINS[function], "ReducerOptions", read, write)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    x, out, a = graph.ins(node)[0], graph.out(node), attrs(node)
    require_dtype(node, graph, [(d, d) for d in DTYPES[a.function]])
    if any(not 0 <= i < len(x.shape) for i in a.axes):
        raise BadInput(f"axes {list(a.axes)} of {x.name!r} {list(x.shape)}", where=f"{node.name} (reduce)",
                       fix="export the model again")  # fmt: skip
    if x.dtype in ("int8", "int16"):
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
    shape = tuple(1 if i in a.axes else n for i, n in enumerate(x.shape) if a.keep_dims or i not in a.axes)
    return ((shape, x.dtype),)


def _count(node: Node, graph: Graph) -> int:
    return math.prod(graph.ins(node)[0].shape[i] for i in attrs(node).axes)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """int32 and int64 wrap."""
    (x,), a, (t,), out = args, attrs(node), graph.ins(node), graph.out(node)
    if a.function == "prod":
        return (np.asarray(np.multiply.reduce(x, axis=a.axes, dtype=x.dtype, keepdims=a.keep_dims)),)
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


def _access(node: Node, graph: Graph) -> Access:
    """Row by row where only dimensions inside a row are reduced, else everything at once."""
    x, out = graph.ins(node)[0], graph.out(node)
    outside = len(x.shape) - len(mean.row_shape(x))
    over_rows = any(x.shape[i] > 1 for i in attrs(node).axes if i < outside)
    return rowwise() if out.rows == x.rows and not over_rows else whole()


def _lower(node: Node, graph: Graph) -> Leaf:
    """kept, reduced: the nested loops, (trips, stride in elements) each."""
    a, (x,), out = attrs(node), graph.ins(node), graph.out(node)
    inside = mean.row_shape(x) if _access(node, graph).kind == "window" else x.shape
    found = mean.loops(inside, [axis - (len(x.shape) - len(inside)) for axis in a.axes])
    params: dict[str, Param] = {
        "type": c_type(x), "kept": found.kept, "reduced": found.reduced, "function": a.function,
    }  # fmt: skip
    numbers: dict[str, int] = {}
    if x.dtype == "int8" and a.function == "sum":
        m = qmath.quantize_multiplier(x.scale / out.scale)
        start = -_count(node, graph) * x.zero_point
        numbers = {"start": start, "mantissa": m.mantissa, "shift": m.shift, "out_zero": out.zero_point}
    return Leaf(params, numbers)


def _is_sum(node: Node, graph: Graph) -> bool:
    return graph.out(node).dtype == "int8" and attrs(node).function == "sum"


OPERATOR = Operator(
    attrs=Reduce,
    codecs=tuple(_codec(function) for function in BUILTINS),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        Kernel("sum_int8", _lower, _is_sum, helpers=("requantize", "clamp_int8")),
        Kernel("plain", _lower, lambda node, graph: not _is_sum(node, graph)),
    ),
)
