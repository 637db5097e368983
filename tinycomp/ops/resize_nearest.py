"""RESIZE_NEAREST_NEIGHBOR: an image in another size, each pixel a copy of one.

Source: tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h.
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
class Resize(Attrs):
    """size: (height, width) of the output. The options are the file's."""

    size: tuple[int, int] = (1, 1)
    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class ResizeNearest(Resize):
    """The nearest pixel."""

    op: ClassVar[str] = "resize_nearest"


def attrs(node: Node) -> Resize:
    """The node's attributes, typed."""
    return cast(Resize, node.attrs)


def codec(builtin: str, options: str, kind: type[Resize]) -> Codec:
    """How one of the resizes is read and written."""

    def read(source: Source) -> Parsed:
        size = integers(source.constant(1, "the size"))
        if len(size) != 2:
            raise BadInput(f"the size has {len(size)} entries; expected height and width",
                           where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
        flags = (bool(source.options.get(name, False)) for name in ("align_corners", "half_pixel_centers"))
        return Parsed(kind((size[0], size[1]), *flags), (source.input(0),))

    def write(node: Node, graph: Graph) -> Written:
        a = attrs(node)
        options = {"align_corners": a.align_corners, "half_pixel_centers": a.half_pixel_centers}
        return Written(options, (node.inputs[0], np.array(a.size, np.int32)))

    return Codec(builtin, options, read, write)


def shape(node: Node, graph: Graph) -> Shape:
    """The output's shape. Raises BadInput unless the input is an image and the size positive."""
    a, x = attrs(node), graph.ins(node)[0]
    if len(x.shape) != 4 or min(a.size) < 1 or (a.align_corners and a.half_pixel_centers):
        both = " with aligned corners and half-pixel centres" if a.align_corners and a.half_pixel_centers else ""
        raise BadInput(f"resizes {x.name!r} {list(x.shape)} to {list(a.size)}{both}", where=f"{node.name} ({node.op})",
                       fix="export the model again")  # fmt: skip
    return (x.shape[0], *a.size, x.shape[3])


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    return ((shape(node, graph), graph.ins(node)[0].dtype),)


def _nearest(count: int, size: int, a: Resize) -> moves.Index:
    """The input index of each output index, in float32 as the source takes it."""
    aligned = a.align_corners and count > 1
    scale = np.float32(size - 1) / np.float32(count - 1) if aligned else np.float32(size) / np.float32(count)
    at = (np.arange(count, dtype=np.float32) + np.float32(0.5 if a.half_pixel_centers else 0)) * scale
    rounded = np.floor(at + np.float32(0.5)) if a.align_corners else np.floor(at)
    return np.clip(rounded.astype(np.int64), 0, size - 1)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), a = args, attrs(node)
    rows, columns = (_nearest(n, size, a) for n, size in zip(a.size, x.shape[1:3], strict=True))
    return (np.ascontiguousarray(x[:, rows][:, :, columns]),)


OPERATOR = Operator(
    attrs=ResizeNearest,
    codecs=(codec("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions", ResizeNearest),),
    infer=_infer,
    reference=_reference,
    access=moves.access(_reference),
    kernels=(moves.copy(_reference),),
)
