"""SOFTMAX over the last axis: exp(beta · x_i) / Σ exp(beta · x_j).

Sources: tensorflow/lite/kernels/internal/reference/softmax.h, tensorflow/lite/micro/kernels/softmax_common.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath, qmath_fixed, qmath_int16
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import int16, softmax16, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, as_dtype, c_type

LONGEST = 4095  # the reference sums exps in Q12.19, where 4096 ones overflow
DTYPES: list[tuple[DType, DType]] = [
    ("int8", "int8"), ("int8", "int16"), ("int16", "int16"), ("float32", "float32"),
]  # fmt: skip
OUTPUT_BITS = {"int8": 8, "int16": 16}


@dataclass(frozen=True)
class Softmax(Attrs):
    """beta: a float32 factor on the input."""

    op: ClassVar[str] = "softmax"
    beta: float = 1.0


def attrs(node: Node) -> Softmax:
    """The node's attributes, typed."""
    return cast(Softmax, node.attrs)


def _read(source: Source) -> Parsed:
    return Parsed(Softmax(unary.finite_option(source, "beta", 0.0)), (unary.one_input(source),))


def _write(node: Node, graph: Graph) -> Written:
    return Written({"beta": attrs(node).beta}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    found = unary.infer_same_shape(node, graph, DTYPES)
    (x,), out = graph.ins(node), graph.out(node)
    require_sum(node, graph, attrs(node).beta)
    if x.dtype == "int16":
        softmax16.require(node, graph, attrs(node).beta)
    elif x.dtype == "int8":
        bits = OUTPUT_BITS[out.dtype]
        unary.require_output_quant(node, graph, 2.0**-bits, -(1 << (bits - 1)))
    return found


def require_axis(node: Node, graph: Graph) -> None:
    """Raise BadInput for a scalar."""
    if not graph.ins(node)[0].shape:
        raise BadInput(f"its input {graph.ins(node)[0].name!r} is a scalar and has no axis to sum over",
                       where=f"{node.name} ({node.op})")  # fmt: skip


def require_sum(node: Node, graph: Graph, beta: float) -> None:
    """Raise as `require_axis`, and Unsupported where the reference's int8 arithmetic does not hold the sum of exps."""
    require_axis(node, graph)
    x, where = graph.ins(node)[0], f"{node.name} ({node.op})"
    if x.dtype == "int8" and x.shape[-1] > LONGEST:
        raise Unsupported(f"it is over {x.shape[-1]} values; the reference's accumulator holds {LONGEST}",
                          where=where, fix="leave the softmax out of the model, or export it in float32")  # fmt: skip
    if x.dtype == "int8" and beta * x.scale * (1 << 26) <= 1:
        raise Unsupported(f"beta {beta:.9g} times {x.name!r}'s scale {x.scale:.9g} is not above 2^-26, "
                          "where the reference begins", where=where,
                          fix="quantize the model again with representative data")  # fmt: skip


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), out = args, graph.out(node)
    if x.dtype == np.float32:
        exps = np.exp((x - x.max(axis=-1, keepdims=True)) * np.float32(attrs(node).beta))
        return ((exps / exps.sum(axis=-1, keepdims=True)).astype(np.float32),)
    if x.dtype == np.int16:
        factor = qmath_int16.softmax_factor(graph.ins(node)[0].scale, attrs(node).beta)
        return (qmath_int16.softmax(x, factor).astype(np.int16),)
    diffs = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    found = qmath_fixed.softmax(diffs, _exps(node, graph), OUTPUT_BITS[out.dtype])
    low, high = qmath.INT_RANGE[out.dtype]
    return (as_dtype(np.clip(found + low, low, high), out.dtype),)


def _exps(node: Node, graph: Graph) -> qmath.Int64:
    return qmath_fixed.softmax_exps(graph.ins(node)[0].scale, attrs(node).beta)


def _lower(node: Node, graph: Graph) -> Leaf:
    """A table of exp for the differences 0, 1, …, int32 in Q0.31; what lies beyond its end is 0."""
    (x,), out, exps = graph.ins(node), graph.out(node), _exps(node, graph)
    params = {
        "type_out": c_type(out), "bits": OUTPUT_BITS[out.dtype], "entries": int(exps.size),
        "long": x.shape[-1] > 511,  # only then may the result's exponent exceed a 32-bit shift
    }  # fmt: skip
    return Leaf(params, sizes(node, graph), (Const("table", exps.astype(np.int32)),))


def _lower_float(node: Node, graph: Graph) -> Leaf:
    return Leaf({"beta": attrs(node).beta}, sizes(node, graph))


def sizes(node: Node, graph: Graph) -> dict[str, int]:
    """depth: values that are summed. count: such vectors in a row."""
    x = graph.ins(node)[0]
    return {"depth": x.shape[-1], "count": x.row_elements // x.shape[-1]}


OPERATOR = Operator(
    attrs=Softmax,
    codecs=(Codec("SOFTMAX", "SoftmaxOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        Kernel("portable", _lower, lambda n, g: g.ins(n)[0].dtype == "int8", helpers=("one_over_one_plus_x",)),
        Kernel(
            "int16",
            lambda n, g: softmax16.lower(n, g, attrs(n).beta, sizes(n, g)),
            int16.is_int16,
            helpers=("requantize", "interpolate"),
        ),
        Kernel("float", _lower_float, unary.is_float),
    ),
    inplace=(0,),
)
