"""GATHER: slices of a tensor by their indices along one axis. EMBEDDING_LOOKUP: rows of a table.

An index that comes at run time and lies outside the axis counts as the nearest that does not: the references do not
look, or stop.

Sources: tensorflow/lite/micro/kernels/gather.cc, tensorflow/lite/kernels/internal/reference/gather.h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import ITEM_BYTES, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Param
from tinycomp.ops import moves
from tinycomp.ops.axes import axis_of
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type, whole_access


@dataclass(frozen=True)
class Gather(Attrs):
    """axis: of the input. batch_dims: leading axes that input and indices share. Both counted from the front."""

    op: ClassVar[str] = "gather"
    axis: int = 0
    batch_dims: int = 0


def attrs(node: Node) -> Gather:
    """The node's attributes, typed."""
    return cast(Gather, node.attrs)


def _read(source: Source) -> Parsed:
    x, indices, where = source.input(0), source.input(1), f"{source.name} ({source.builtin})"
    axis = axis_of(int(source.options.get("axis", 0)), len(x.shape), where)
    batch = int(source.options.get("batch_dims", 0))
    return Parsed(Gather(axis, batch + len(indices.shape) if batch < 0 else batch), (x, indices))


def _write(node: Node, graph: Graph) -> Written:
    return Written({"axis": attrs(node).axis, "batch_dims": attrs(node).batch_dims}, node.inputs)


def require_indices(where: str, indices: Tensor) -> None:
    """Raise BadInput unless they are integers that may count elements."""
    if indices.dtype not in ("int16", "int32", "int64"):
        raise BadInput(f"the indices {indices.name!r} are {indices.dtype}; expected int32", where=where)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x, indices), where = attrs(node), graph.ins(node), f"{node.name} (gather)"
    b = a.batch_dims
    require_indices(where, indices)
    if not 0 <= b <= min(a.axis, len(indices.shape)) or x.shape[:b] != indices.shape[:b]:
        raise BadInput(f"batch_dims {b} and axis {a.axis} do not go with {x.name!r} {list(x.shape)} and indices "
                       f"{list(indices.shape)}", where=where, fix="export the model again")  # fmt: skip
    return (((*x.shape[: a.axis], *indices.shape[b:], *x.shape[a.axis + 1 :]), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """Raises BadInput for an index outside the axis, negative ones included: the reference does not count back."""
    a, (x, given) = attrs(node), args
    indices, size = given.astype(np.int64), x.shape[a.axis]
    low, high = int(indices.min(initial=size)), int(indices.max(initial=-1))
    if graph.ins(node)[1].data is None:
        indices = np.clip(indices, 0, size - 1)
    elif indices.size and not 0 <= low <= high < size:
        raise BadInput(f"indices from {low} to {high} leave axis {a.axis} of {size} elements",
                       where=f"{node.name} (gather)", fix="export the model again")  # fmt: skip
    if a.batch_dims == 0:
        return (np.asarray(np.take(x, indices, axis=a.axis)),)
    lead, b = x.shape[: a.batch_dims], a.batch_dims
    items = zip(x.reshape(-1, *x.shape[b:]), indices.reshape(-1, *indices.shape[b:]), strict=True)
    parts = np.stack([np.take(item, index, axis=a.axis - b) for item, index in items])
    return (parts.reshape(*lead, *parts.shape[1:]),)


def _read_lookup(source: Source) -> Parsed:
    return Parsed(Gather(0, 0), (source.input(1), source.input(0)))


def fixed(node: Node, graph: Graph) -> bool:
    """The indices, the second input, are constants."""
    return graph.ins(node)[1].data is not None


def _access(node: Node, graph: Graph) -> Access:
    return moves.access(_reference)(node, graph) if fixed(node, graph) else whole_access(node, graph)


def _lower(node: Node, graph: Graph) -> Leaf:
    """items: shared leading indices; outer: axes between; count: indices; size: the axis; bytes: of a slice."""
    a, (x, indices) = attrs(node), graph.ins(node)
    b, constant = a.batch_dims, x.data is not None
    params: dict[str, Param] = {
        "type": c_type(indices), "from": "c0" if constant else "rows[0]", "at": "rows[0]" if constant else "rows[1]",
    }  # fmt: skip
    numbers = {
        "items": math.prod(x.shape[:b]), "outer": math.prod(x.shape[b : a.axis]), "size": x.shape[a.axis],
        "count": math.prod(indices.shape[b:]), "bytes": math.prod(x.shape[a.axis + 1 :]) * ITEM_BYTES[x.dtype],
    }  # fmt: skip
    return Leaf(params, numbers, (Const("weights", x.data.reshape(-1)),) if x.data is not None else ())


OPERATOR = Operator(
    attrs=Gather,
    codecs=(
        Codec("GATHER", "GatherOptions", _read, _write),
        Codec("EMBEDDING_LOOKUP", None, _read_lookup),
    ),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        replace(moves.copy(_reference), accepts=fixed),
        Kernel("lookup", _lower, lambda node, graph: not fixed(node, graph)),
    ),
)
