"""ONE_HOT: for each index a vector that has one value at it and another elsewhere.

Source: tensorflow/lite/kernels/one_hot.cc. TensorFlow Lite Micro has no such kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import ITEM_BYTES, Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops import gather
from tinycomp.ops.axes import axis_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type, sources, whole_access


@dataclass(frozen=True)
class OneHot(Attrs):
    """depth: of the vectors. axis: of the output, along which they lie, counted from the front.

    Inputs: indices, the value at an index, the value elsewhere.
    """

    op: ClassVar[str] = "one_hot"
    depth: int = 1
    axis: int = 0


def attrs(node: Node) -> OneHot:
    """The node's attributes, typed."""
    return cast(OneHot, node.attrs)


def _read(source: Source) -> Parsed:
    indices, depth, where = source.input(0), integers(source.constant(1, "the depth")), source.name
    if len(depth) != 1 or depth[0] < 1:
        raise BadInput(f"the depth is {list(depth)}; expected a positive number", where=f"{where} ({source.builtin})",
                       fix="export the model again")  # fmt: skip
    axis = axis_of(int(source.options.get("axis", -1)), len(indices.shape) + 1, f"{where} ({source.builtin})")
    return Parsed(OneHot(depth[0], axis), (indices, source.input(2), source.input(3)))


def _write(node: Node, graph: Graph) -> Written:
    indices, on, off = node.inputs
    return Written({"axis": attrs(node).axis}, (indices, np.array(attrs(node).depth, np.int32), on, off))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (indices, on, off), where = attrs(node), graph.ins(node), f"{node.name} ({node.op})"
    gather.require_indices(where, indices)
    if on.elements != 1 or off.elements != 1 or on.dtype != off.dtype:
        raise BadInput(f"the values {on.name!r} {on.dtype}{list(on.shape)} and {off.name!r} {off.dtype}"
                       f"{list(off.shape)} are not two of one kind", where=where, fix="export it again")  # fmt: skip
    return (((*indices.shape[: a.axis], a.depth, *indices.shape[a.axis :]), on.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (indices, on, off), a = args, attrs(node)
    along = np.arange(a.depth).reshape(-1, *(1,) * (indices.ndim - a.axis))
    return (np.where(np.expand_dims(indices, a.axis) == along, on.reshape(()), off.reshape(())),)


def _lower(node: Node, graph: Graph) -> Leaf:
    """outer, inner: indices before and behind the axis. Values are moved as bytes, whatever their dtype."""
    a, (indices, on, _) = attrs(node), graph.ins(node)
    found = sources(graph.ins(node))
    params: dict[str, Param] = {"type": c_type(indices), "from": found.names, "bytes": ITEM_BYTES[on.dtype]}
    numbers = {"outer": math.prod(indices.shape[: a.axis]), "inner": math.prod(indices.shape[a.axis :])}
    return Leaf(params, numbers | {"depth": a.depth}, found.consts)


OPERATOR = Operator(
    attrs=OneHot,
    codecs=(Codec("ONE_HOT", "OneHotOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=whole_access,
    kernels=(Kernel("portable", _lower),),
)
