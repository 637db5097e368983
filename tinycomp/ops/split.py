"""SPLIT and SPLIT_V: a tensor cut along one axis. Runs as one slice for each output that is used.

Sources: tensorflow/lite/micro/kernels/split.cc, split_v.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node, fresh
from tinycomp.ops.axes import axis_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.ops.strided_slice import StridedSlice


@dataclass(frozen=True)
class Split(Attrs):
    """axis: counted from the front. sizes: elements of each output along it."""

    op: ClassVar[str] = "split"
    axis: int = 0
    sizes: tuple[int, ...] = ()


def attrs(node: Node) -> Split:
    """The node's attributes, typed."""
    return cast(Split, node.attrs)


def _axis(source: Source, input_: int, rank: int) -> int:
    where, found = f"{source.name} ({source.builtin})", integers(source.constant(input_, "the axis"))
    if len(found) != 1:
        raise BadInput(f"needs one axis, found {len(found)}", where=where, fix="export the model again")
    return axis_of(found[0], rank, where)


def _read(source: Source) -> Parsed:
    x, parts = source.input(1), len(source.outputs)
    axis = _axis(source, 0, len(x.shape))
    if x.shape[axis] % parts:
        raise BadInput(f"axis {axis} of {x.name!r} {list(x.shape)} does not divide into {parts} equal parts",
                       where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
    return Parsed(Split(axis, (x.shape[axis] // parts,) * parts), (x,))


def _read_v(source: Source) -> Parsed:
    """At most one size may be −1: what is left."""
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    axis, sizes = _axis(source, 2, len(x.shape)), integers(source.constant(1, "the sizes"))
    rest = x.shape[axis] - sum(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or any(n < -1 for n in sizes) or rest < 0:
        raise BadInput(f"the sizes {list(sizes)} do not cut the {x.shape[axis]} elements of axis {axis}", where=where,
                       fix="export the model again")  # fmt: skip
    return Parsed(Split(axis, tuple(rest if n == -1 else n for n in sizes)), (x,))


def _write(node: Node, graph: Graph) -> Written | None:
    a = attrs(node)
    if len(set(a.sizes)) > 1:
        return None
    return Written({"num_splits": len(a.sizes)}, (np.array(a.axis, np.int32), node.inputs[0]))


def _write_v(node: Node, graph: Graph) -> Written | None:
    a = attrs(node)
    sizes, axis = np.array(a.sizes, np.int32), np.array(a.axis, np.int32)
    return Written({"num_splits": len(a.sizes)}, (node.inputs[0], sizes, axis))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x,) = attrs(node), graph.ins(node)
    if not a.axis < len(x.shape) or sum(a.sizes) != x.shape[a.axis] or len(a.sizes) != len(node.outputs):
        cut = f"{x.name!r} {list(x.shape)} along axis {a.axis} into {list(a.sizes)}"
        raise BadInput(f"cuts {cut} for {len(node.outputs)} outputs", where=f"{node.name} (split)",
                       fix="export the model again")  # fmt: skip
    return tuple(((*x.shape[: a.axis], n, *x.shape[a.axis + 1 :]), x.dtype) for n in a.sizes)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a = attrs(node)
    return tuple(part.copy() for part in np.split(args[0], list(accumulate(a.sizes))[:-1], axis=a.axis))


def slices(node: Node, graph: Graph, axis: int, bounds: Sequence[tuple[int, int]], drop: bool = False) -> Edit:
    """The node as a slice [start, stop) of its input along the axis for each output; `drop` leaves the axis out."""
    (x,) = graph.ins(node)
    made: list[Node] = []
    for i, (start, stop) in enumerate(bounds):
        low = tuple(start if k == axis else 0 for k in range(len(x.shape)))
        high = tuple(stop if k == axis else n for k, n in enumerate(x.shape))
        attributes = StridedSlice(low, high, (1,) * len(low), (axis,) if drop else ())
        made.append(Node(fresh(graph, f"{node.name}_part{i}"), attributes, node.inputs, (node.outputs[i],)))
    return Edit(remove=(node,), insert=tuple(made))


def _expand(node: Node, graph: Graph) -> Edit:
    stops = list(accumulate(attrs(node).sizes))
    return slices(node, graph, attrs(node).axis, list(zip([0, *stops], stops, strict=False)))


OPERATOR = Operator(
    attrs=Split,
    codecs=(Codec("SPLIT", "SplitOptions", _read, _write), Codec("SPLIT_V", "SplitVOptions", _read_v, _write_v)),
    infer=_infer,
    reference=_reference,
    expand=_expand,
)
