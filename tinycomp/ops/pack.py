"""PACK: tensors of one shape stacked along a new axis. Shape arithmetic only: no kernel yet.

Source: tensorflow/lite/micro/kernels/pack.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.ops.axes import axis_of
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Pack(Attrs):
    """axis: of the output, counted from the front."""

    op: ClassVar[str] = "pack"
    axis: int = 0


def attrs(node: Node) -> Pack:
    """The node's attributes, typed."""
    return cast(Pack, node.attrs)


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    inputs = tuple(source.input(i) for i in range(len(source.inputs)))
    if not inputs:
        raise BadInput("has no inputs", where=where, fix="export the model again")
    return Parsed(Pack(axis_of(int(source.options.get("axis", 0)), len(inputs[0].shape) + 1, where)), inputs)


def _write(node: Node, graph: Graph) -> Written:
    return Written({"values_count": len(node.inputs), "axis": attrs(node).axis}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    axis, ins = attrs(node).axis, graph.ins(node)
    first = ins[0]
    for t in ins[1:]:
        if (t.shape, t.dtype) != (first.shape, first.dtype):
            pair = f"{t.name!r} {t.dtype}{list(t.shape)} and {first.name!r} {first.dtype}{list(first.shape)}"
            raise BadInput(f"{pair} do not stack", where=f"{node.name} (pack)", fix="export the model again")
    return (((*first.shape[:axis], len(ins), *first.shape[axis:]), first.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.stack(args, axis=attrs(node).axis),)


OPERATOR = Operator(
    attrs=Pack,
    codecs=(Codec("PACK", "PackOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
)
