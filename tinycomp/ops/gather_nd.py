"""GATHER_ND: elements or slices of a tensor by the indices of its first axes.

An index that comes at run time and lies outside its axis counts as the nearest that does not: the references do not
look.

Sources: tensorflow/lite/micro/kernels/gather_nd.cc, tensorflow/lite/kernels/gather_nd.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import ITEM_BYTES, Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, Param
from tinycomp.ops import gather, moves, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, c_type, sources, whole_access


@dataclass(frozen=True)
class GatherNd(Attrs):
    """No attributes. The last axis of the indices, [..., n], runs over the first n axes of the input."""

    op: ClassVar[str] = "gather_nd"


def _read(source: Source) -> Parsed:
    return Parsed(GatherNd(), (source.input(0), source.input(1)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x, indices), where = graph.ins(node), f"{node.name} ({node.op})"
    gather.require_indices(where, indices)
    if not indices.shape or indices.shape[-1] > len(x.shape):
        raise BadInput(f"indices {indices.name!r} {list(indices.shape)} do not go with {x.name!r} {list(x.shape)}",
                       where=where, fix="export the model again")  # fmt: skip
    return (((*indices.shape[:-1], *x.shape[indices.shape[-1] :]), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """Raises BadInput for a constant index outside its axis, negative ones included."""
    x, given = args
    n = given.shape[-1]
    indices, sizes = given.astype(np.int64), np.array(x.shape[:n], np.int64)
    inside = np.clip(indices, 0, sizes - 1)
    if graph.ins(node)[1].data is not None and not np.array_equal(indices, inside):
        raise BadInput(f"indices from {int(indices.min())} to {int(indices.max())} leave axes of {list(x.shape[:n])} "
                       "elements", where=f"{node.name} ({node.op})", fix="export the model again")  # fmt: skip
    return (np.asarray(x[tuple(np.moveaxis(inside, -1, 0))]),)


def _access(node: Node, graph: Graph) -> Access:
    fixed = gather.fixed(node, graph)
    return moves.access(_reference)(node, graph) if fixed else whole_access(node, graph)


def _lower(node: Node, graph: Graph) -> Leaf:
    """axes: (elements, bytes from one to the next) of those that are indexed. count: slices, of `bytes` each."""
    x, indices = graph.ins(node)
    found, n = sources((x, indices)), indices.shape[-1]
    item = ITEM_BYTES[x.dtype]
    pitches = [math.prod(x.shape[i + 1 :]) * item for i in range(n)]
    params: dict[str, Param] = {
        "type": c_type(indices), "from": found.names, "axes": tuple(zip(x.shape[:n], pitches, strict=True)),
    }  # fmt: skip
    numbers = {"count": math.prod(indices.shape[:-1]), "bytes": math.prod(x.shape[n:]) * item}
    return Leaf(params, numbers, found.consts)


OPERATOR = Operator(
    attrs=GatherNd,
    codecs=(Codec("GATHER_ND", "GatherNdOptions", _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        replace(moves.copy(_reference), accepts=gather.fixed),
        Kernel("lookup", _lower, lambda node, graph: not gather.fixed(node, graph)),
    ),
)
