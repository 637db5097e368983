"""TRANSPOSE: axes in another order, any dtype, up to five axes.

Sources: tensorflow/lite/micro/kernels/transpose_common.cc, tensorflow/lite/kernels/internal/reference/transpose.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, whole
from tinycomp.ops.axes import axis_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type
from tinycomp.ops.reshape import Reshape

MAX_RANK = 5


@dataclass(frozen=True)
class Transpose(Attrs):
    """Output axis i is input axis perm[i]."""

    op: ClassVar[str] = "transpose"
    perm: tuple[int, ...] = ()


def attrs(node: Node) -> Transpose:
    """The node's attributes, typed."""
    return cast(Transpose, node.attrs)


def _read(source: Source) -> Parsed:
    """A permutation that leaves the order of bytes alone is a reshape."""
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    perm = tuple(axis_of(p, len(x.shape), where) for p in integers(source.constant(1, "the permutation")))
    if sorted(perm) != list(range(len(x.shape))):
        raise BadInput(f"{list(perm)} is not a permutation of the {len(x.shape)} axes of {x.name!r}", where=where,
                       fix="export the model again")  # fmt: skip
    if moves_nothing(x.shape, perm):
        return Parsed(Reshape(tuple(x.shape[p] for p in perm)), (x,))
    return Parsed(Transpose(perm), (x,))


def moves_nothing(shape: Shape, perm: Sequence[int]) -> bool:
    """Only axes of one element change places."""
    long = [p for p in perm if shape[p] != 1]
    return long == sorted(long)


def _write(node: Node, graph: Graph) -> Written:
    return Written({}, (node.inputs[0], np.array(attrs(node).perm, np.int32)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), perm, where = graph.ins(node), attrs(node).perm, f"{node.name} (transpose)"
    if len(x.shape) > MAX_RANK:
        raise Unsupported(f"input {x.name!r} has rank {len(x.shape)}; up to {MAX_RANK} is supported", where=where)
    if sorted(perm) != list(range(len(x.shape))):
        raise BadInput(f"{list(perm)} is not a permutation of the axes of {x.name!r} {list(x.shape)}", where=where)
    return ((tuple(x.shape[p] for p in perm), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.ascontiguousarray(args[0].transpose(attrs(node).perm)),)


def _access(node: Node, graph: Graph) -> Access:
    return whole()


def loops(shape: Shape, perm: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(elements, input stride) of the output's axes, outermost first; axes that stay neighbours are one."""
    stride = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        stride[i] = stride[i + 1] * shape[i + 1]
    found: list[tuple[int, int]] = []
    for p in perm:
        if shape[p] == 1:
            continue
        if found and found[-1][1] == shape[p] * stride[p]:
            found[-1] = (found[-1][0] * shape[p], stride[p])
        else:
            found.append((shape[p], stride[p]))
    return tuple(found) or ((1, 1),)


def _lower(node: Node, graph: Graph) -> Leaf:
    (x,) = graph.ins(node)
    return Leaf({"type": c_type(x), "loops": loops(x.shape, attrs(node).perm)})


OPERATOR = Operator(
    attrs=Transpose,
    codecs=(Codec("TRANSPOSE", "TransposeOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("portable", _lower),),
)
