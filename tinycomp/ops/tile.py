"""TILE and BROADCAST_TO: a tensor repeated along some axes.

Sources: tensorflow/lite/kernels/tile.cc (TensorFlow Lite Micro has no such kernel), tensorflow/lite/micro/kernels/
broadcast_to.cc.
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
class Tile(Attrs):
    """multiples: how often each axis of the output is gone through; as many entries as the output has axes, the
    input's missing leading axes counting as 1."""

    op: ClassVar[str] = "tile"
    multiples: tuple[int, ...] = ()


def attrs(node: Node) -> Tile:
    """The node's attributes, typed."""
    return cast(Tile, node.attrs)


def _read(source: Source) -> Parsed:
    x, multiples = source.input(0), integers(source.constant(1, "the multiples"))
    if len(multiples) != len(x.shape):
        raise BadInput(f"{len(multiples)} multiples for an input of rank {len(x.shape)}",
                       where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
    return Parsed(Tile(multiples), (x,))


def _read_broadcast(source: Source) -> Parsed:
    x, shape = source.input(0), integers(source.constant(1, "the shape"))
    own = (1,) * (len(shape) - len(x.shape)) + x.shape
    if len(shape) < len(x.shape) or any(n not in (1, wanted) for n, wanted in zip(own, shape, strict=True)):
        raise BadInput(f"{x.name!r} {list(x.shape)} does not broadcast to {list(shape)}",
                       where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
    return Parsed(Tile(tuple(wanted // n for n, wanted in zip(own, shape, strict=True))), (x,))


def _write_broadcast(node: Node, graph: Graph) -> Written | None:
    x, out = graph.ins(node)[0], graph.out(node)
    own = (1,) * (len(out.shape) - len(x.shape)) + x.shape
    if any(n != 1 and m != 1 for n, m in zip(own, attrs(node).multiples, strict=True)):
        return None
    return Written({}, (x.name, np.array(out.shape, np.int32)))


def _write(node: Node, graph: Graph) -> Written | None:
    x, multiples = graph.ins(node)[0], attrs(node).multiples
    return Written({}, (x.name, np.array(multiples, np.int32))) if len(multiples) == len(x.shape) else None


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), multiples = graph.ins(node), attrs(node).multiples
    if len(multiples) < len(x.shape) or any(m < 1 for m in multiples):
        raise BadInput(f"repeats {x.name!r} {list(x.shape)} {list(multiples)} times", where=f"{node.name} (tile)",
                       fix="export the model again")  # fmt: skip
    own = (1,) * (len(multiples) - len(x.shape)) + x.shape
    return ((tuple(n * m for n, m in zip(own, multiples, strict=True)), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.tile(args[0], attrs(node).multiples),)


OPERATOR = Operator(
    attrs=Tile,
    codecs=(
        Codec("BROADCAST_TO", "BroadcastToOptions", _read_broadcast, _write_broadcast),
        Codec("TILE", "TileOptions", _read, _write),
    ),
    infer=_infer,
    reference=_reference,
    access=moves.access(_reference),
    kernels=(moves.copy(_reference),),
)
