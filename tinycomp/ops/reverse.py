"""REVERSE_V2: a tensor read backwards along some axes.

Source: tensorflow/lite/kernels/reverse.cc. TensorFlow Lite Micro has no such kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.ops import moves
from tinycomp.ops.axes import axes_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Reverse(Attrs):
    """axes: sorted, counted from the front."""

    op: ClassVar[str] = "reverse"
    axes: tuple[int, ...] = ()


def attrs(node: Node) -> Reverse:
    """The node's attributes, typed."""
    return cast(Reverse, node.attrs)


def _read(source: Source) -> Parsed:
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    return Parsed(Reverse(axes_of(integers(source.constant(1, "the axes")), len(x.shape), where)), (x,))


def _write(node: Node, graph: Graph) -> Written:
    return Written({}, (node.inputs[0], np.array(attrs(node).axes, np.int32)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), axes = graph.ins(node), attrs(node).axes
    if any(not 0 <= i < len(x.shape) for i in axes):
        raise BadInput(f"reverses axes {list(axes)} of {x.name!r} {list(x.shape)}", where=f"{node.name} (reverse)",
                       fix="export the model again")  # fmt: skip
    return ((x.shape, x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.flip(args[0], attrs(node).axes).copy(),)


OPERATOR = Operator(
    attrs=Reverse,
    codecs=(Codec("REVERSE_V2", "ReverseV2Options", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=moves.access(_reference),
    kernels=(moves.copy(_reference),),
)
