"""BROADCAST_ARGS: the shape that two shapes make together. Shapes are known here, so the reader folds it.

Source: tensorflow/lite/micro/kernels/broadcast_args.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import MAX_RANK, Array, Attrs, DType, Graph, Node
from tinycomp.ops import unary
from tinycomp.ops.axes import integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, require_dtype


@dataclass(frozen=True)
class BroadcastArgs(Attrs):
    """No attributes."""

    op: ClassVar[str] = "broadcast_args"


def _read(source: Source) -> Parsed:
    return Parsed(BroadcastArgs(), (source.input(0), source.input(1)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    require_dtype(node, graph, [("int32", "int32", "int32"), ("int64", "int64", "int64")])
    a, b = graph.ins(node)
    if len(a.shape) != 1 or len(b.shape) != 1 or max(a.elements, b.elements) > MAX_RANK:
        raise BadInput(f"{a.name!r} {list(a.shape)} and {b.name!r} {list(b.shape)} are not two shapes of at most "
                       f"{MAX_RANK} dimensions",
                       where=f"{node.name} ({node.op})", fix="export the model again")  # fmt: skip
    return (((max(a.elements, b.elements),), a.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """Raises BadInput for shapes that do not broadcast."""
    shapes = [integers(arg) for arg in args]
    try:
        return (np.array(np.broadcast_shapes(*shapes), args[0].dtype),)
    except ValueError:
        raise BadInput(f"the shapes {list(shapes[0])} and {list(shapes[1])} do not broadcast",
                       where=f"{node.name} ({node.op})", fix="export the model again") from None  # fmt: skip


OPERATOR = Operator(
    attrs=BroadcastArgs,
    codecs=(Codec("BROADCAST_ARGS", None, _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
)
