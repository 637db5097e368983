"""UNPACK: a tensor taken apart along one axis, which goes. Runs as one slice for each output.

Source: tensorflow/lite/micro/kernels/unpack.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node
from tinycomp.ops.axes import axis_of
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.ops.split import slices


@dataclass(frozen=True)
class Unpack(Attrs):
    """axis: of the input, counted from the front."""

    op: ClassVar[str] = "unpack"
    axis: int = 0


def attrs(node: Node) -> Unpack:
    """The node's attributes, typed."""
    return cast(Unpack, node.attrs)


def _read(source: Source) -> Parsed:
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    return Parsed(Unpack(axis_of(int(source.options.get("axis", 0)), len(x.shape), where)), (x,))


def _write(node: Node, graph: Graph) -> Written:
    return Written({"num": len(node.outputs), "axis": attrs(node).axis}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    axis, (x,) = attrs(node).axis, graph.ins(node)
    if not axis < len(x.shape) or x.shape[axis] != len(node.outputs):
        raise BadInput(f"takes {x.name!r} {list(x.shape)} apart along axis {axis} into {len(node.outputs)} outputs",
                       where=f"{node.name} (unpack)", fix="export the model again")  # fmt: skip
    return tuple(((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype) for _ in node.outputs)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), axis = args, attrs(node).axis
    return tuple(np.asarray(part) for part in np.moveaxis(x, axis, 0).copy())


def _expand(node: Node, graph: Graph) -> Edit:
    bounds = [(i, i + 1) for i in range(len(node.outputs))]
    return slices(node, graph, attrs(node).axis, bounds, drop=True)


OPERATOR = Operator(
    attrs=Unpack,
    codecs=(Codec("UNPACK", "UnpackOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    expand=_expand,
)
