"""CUMSUM: running sums along one axis, of int8 in the arithmetic of ADD_N.

Sources: tensorflow/lite/micro/kernels/cumsum.cc, tensorflow/lite/kernels/internal/reference/cumsum.h; int32 as in
LiteRT's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops import add_n, unary
from tinycomp.ops.axes import axis_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type, require_dtype, whole_access


@dataclass(frozen=True)
class CumSum(Attrs):
    """axis: counted from the front. exclusive: an element is not in its own sum. reverse: sums begin at the end."""

    op: ClassVar[str] = "cumsum"
    axis: int = 0
    exclusive: bool = False
    reverse: bool = False


def attrs(node: Node) -> CumSum:
    """The node's attributes, typed."""
    return cast(CumSum, node.attrs)


def _read(source: Source) -> Parsed:
    """Raises BadInput unless the axis is one number."""
    x, found, where = source.input(0), integers(source.constant(1, "the axis")), f"{source.name} ({source.builtin})"
    if len(found) != 1:
        raise BadInput(f"names {len(found)} axes and takes one", where=where, fix="export the model again")
    exclusive, reverse = (bool(source.options.get(name, False)) for name in ("exclusive", "reverse"))
    return Parsed(CumSum(axis_of(found[0], len(x.shape), where), exclusive, reverse), (x,))


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    return Written({"exclusive": a.exclusive, "reverse": a.reverse}, (node.inputs[0], np.array([a.axis], np.int32)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    require_dtype(node, graph, add_n.DTYPES)
    add_n.require_rescaling(node, graph)
    return ((graph.ins(node)[0].shape, graph.out(node).dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """In float64, which holds the integers' sums exactly."""
    (x,), a, t = args, attrs(node), graph.ins(node)[0]
    seen = np.flip(x, a.axis) if a.reverse else x
    wide = seen.astype(np.float64) - (t.zero_point if t.dtype == "int8" else 0)
    sums = np.cumsum(wide, axis=a.axis) - (wide if a.exclusive else 0)
    made = np.flip(sums, a.axis) if a.reverse else sums
    if t.dtype == "float32":
        return (made.astype(np.float32),)
    if t.dtype == "int8":
        return (add_n.rescaled(made.astype(np.int64) - t.zero_point, t, graph.out(node)),)
    return (qmath.wrap32(made.astype(np.int64)).astype(np.int32),)


def _lower(node: Node, graph: Graph) -> Leaf:
    """outer, depth, inner: elements before, along and behind the axis."""
    a, (x,), out = attrs(node), graph.ins(node), graph.out(node)
    inner = math.prod(x.shape[a.axis + 1 :])
    params: dict[str, Param] = {"type": c_type(x), "exclusive": a.exclusive, "reverse": a.reverse}
    numbers = {"outer": math.prod(x.shape[: a.axis]), "depth": x.shape[a.axis], "inner": inner}
    return Leaf(params, numbers | (add_n.rescaling(x, out) if x.dtype == "int8" else {}))


OPERATOR = Operator(
    attrs=CumSum,
    codecs=(Codec("CUMSUM", "CumsumOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=whole_access,
    kernels=(
        Kernel("portable", _lower, unary.is_byte, helpers=("requantize", "clamp_int8")),
        Kernel("plain", _lower, lambda node, graph: not unary.is_byte(node, graph)),
    ),
)
