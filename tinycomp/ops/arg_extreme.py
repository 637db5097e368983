"""ARG_MAX and ARG_MIN: where along an axis the first of the largest or smallest elements stands.

Sources: tensorflow/lite/micro/kernels/arg_min_max.cc, tensorflow/lite/kernels/internal/reference/arg_min_max.h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, rowwise, whole
from tinycomp.ops import unary
from tinycomp.ops.axes import axis_of, integers, row_axes
from tinycomp.ops.base import TYPE_CODES, Codec, Operator, Parsed, Shape, Source, Written, require_dtype


@dataclass(frozen=True)
class ArgExtreme(Attrs):
    """axis: counted from the front. largest: ARG_MAX, else ARG_MIN."""

    op: ClassVar[str] = "arg_extreme"
    axis: int = 0
    largest: bool = True


def attrs(node: Node) -> ArgExtreme:
    """The node's attributes, typed."""
    return cast(ArgExtreme, node.attrs)


def _codec(largest: bool) -> Codec:
    def read(source: Source) -> Parsed:
        x, where = source.input(0), f"{source.name} ({source.builtin})"
        found = integers(source.constant(1, "the axis"))
        if len(found) != 1:
            raise BadInput(f"needs one axis, found {len(found)}", where=where, fix="export the model again")
        return Parsed(ArgExtreme(axis_of(found[0], len(x.shape), where), largest), (x,))

    def write(node: Node, graph: Graph) -> Written | None:
        if attrs(node).largest != largest:
            return None
        code = TYPE_CODES[graph.out(node).dtype]
        return Written({"output_type": code}, (node.inputs[0], np.array(attrs(node).axis, np.int32)))

    name = "Max" if largest else "Min"
    return Codec(f"ARG_{name.upper()}", f"Arg{name}Options", read, write)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), axis, out = graph.ins(node), attrs(node).axis, graph.out(node)
    kinds: tuple[DType, ...] = ("int8", "float32", "int32")
    indices: tuple[DType, ...] = ("int32", "int64")
    require_dtype(node, graph, [(d, i) for d in kinds for i in indices])
    if not 0 <= axis < len(x.shape):
        raise BadInput(f"axis {axis} of {x.name!r} {list(x.shape)}", where=f"{node.name} (arg_extreme)",
                       fix="export the model again")  # fmt: skip
    return (((*x.shape[:axis], *x.shape[axis + 1 :]), out.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    find = np.argmax if attrs(node).largest else np.argmin
    return (np.asarray(find(args[0], axis=attrs(node).axis)).astype(NUMPY[graph.out(node).dtype]),)


def _access(node: Node, graph: Graph) -> Access:
    (x,), out = graph.ins(node), graph.out(node)
    return rowwise() if attrs(node).axis >= row_axes(x.shape) and out.rows == x.rows else whole()


def _lower(node: Node, graph: Graph) -> Leaf:
    (x,), a = graph.ins(node), attrs(node)
    skip = row_axes(x.shape) if _access(node, graph).kind == "window" else 0
    numbers = {
        "outer": math.prod(x.shape[skip : a.axis]), "count": x.shape[a.axis], "inner": math.prod(x.shape[a.axis + 1 :]),
    }  # fmt: skip
    leaf = unary.row_leaf(node, graph, params={"sign": ">" if a.largest else "<"})
    return Leaf(leaf.params, numbers)


OPERATOR = Operator(
    attrs=ArgExtreme,
    codecs=(_codec(True), _codec(False)),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("portable", _lower),),
)
