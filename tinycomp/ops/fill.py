"""FILL: a tensor of one value.

Source: tensorflow/lite/micro/kernels/fill.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.ops import moves
from tinycomp.ops.axes import integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Fill(Attrs):
    """shape: the output's."""

    op: ClassVar[str] = "fill"
    shape: tuple[int, ...] = ()


def attrs(node: Node) -> Fill:
    """The node's attributes, typed."""
    return cast(Fill, node.attrs)


def _read(source: Source) -> Parsed:
    return Parsed(Fill(integers(source.constant(0, "the shape"))), (source.input(1),))


def _write(node: Node, graph: Graph) -> Written:
    return Written({}, (np.array(attrs(node).shape, np.int32), node.inputs[0]))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (value,), shape, where = graph.ins(node), attrs(node).shape, f"{node.name} (fill)"
    if value.elements != 1:
        raise BadInput(f"the value {value.name!r} has shape {list(value.shape)}; expected one element", where=where)
    if any(n < 0 for n in shape):
        raise BadInput(f"the shape {list(shape)} has a negative dimension", where=where, fix="export the model again")
    return ((shape, value.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.full(attrs(node).shape, args[0].reshape(-1)[0], args[0].dtype),)


OPERATOR = Operator(
    attrs=Fill,
    codecs=(Codec("FILL", "FillOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=moves.access(_reference),
    kernels=(moves.copy(_reference),),
)
