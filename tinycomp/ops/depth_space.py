"""DEPTH_TO_SPACE and SPACE_TO_DEPTH: channels laid out as blocks of pixels, and back.

Sources: tensorflow/lite/micro/kernels/depth_to_space.cc, space_to_depth.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.ops import moves
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Block(Attrs):
    """block: the side of the square of pixels."""

    block: int = 1


@dataclass(frozen=True)
class DepthToSpace(Block):
    """[N, H, W, b·b·C] to [N, b·H, b·W, C]."""

    op: ClassVar[str] = "depth_to_space"


@dataclass(frozen=True)
class SpaceToDepth(Block):
    """[N, b·H, b·W, C] to [N, H, W, b·b·C]."""

    op: ClassVar[str] = "space_to_depth"


def block(node: Node) -> int:
    """The node's block side."""
    return cast(Block, node.attrs).block


def codec(builtin: str, options: str, kind: type[Block]) -> Codec:
    """How one of the operators is read and written."""

    def read(source: Source) -> Parsed:
        return Parsed(kind(int(source.options.get("block_size", 0))), (source.input(0),))

    def write(node: Node, graph: Graph) -> Written:
        return Written({"block_size": block(node)}, node.inputs)

    return Codec(builtin, options, read, write)


def _require(node: Node, x: Tensor, fits: bool) -> None:
    if not fits:
        raise BadInput(f"blocks of {block(node)} do not go with {x.name!r} {list(x.shape)}",
                       where=f"{node.name} ({node.op})", fix="export the model again")  # fmt: skip


def _infer_space(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), b = graph.ins(node), block(node)
    _require(node, x, len(x.shape) == 4 and b > 0 and x.shape[-1] % (b * b) == 0)
    n, h, w, c = x.shape
    return (((n, h * b, w * b, c // (b * b)), x.dtype),)


def _infer_depth(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), b = graph.ins(node), block(node)
    _require(node, x, len(x.shape) == 4 and b > 0 and x.shape[1] % b == x.shape[2] % b == 0)
    n, h, w, c = x.shape
    return (((n, h // b, w // b, c * b * b), x.dtype),)


def _to_space(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), b = args, block(node)
    n, h, w, c = x.shape
    parts = x.reshape(n, h, w, b, b, c // (b * b)).transpose(0, 1, 3, 2, 4, 5)
    return (parts.reshape(n, h * b, w * b, c // (b * b)),)


def _to_depth(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), b = args, block(node)
    n, h, w, c = x.shape
    parts = x.reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5)
    return (parts.reshape(n, h // b, w // b, c * b * b),)


DEPTH_TO_SPACE = Operator(
    attrs=DepthToSpace,
    codecs=(codec("DEPTH_TO_SPACE", "DepthToSpaceOptions", DepthToSpace),),
    infer=_infer_space,
    reference=_to_space,
    access=moves.access(_to_space),
    kernels=(moves.copy(_to_space),),
)
SPACE_TO_DEPTH = Operator(
    attrs=SpaceToDepth,
    codecs=(codec("SPACE_TO_DEPTH", "SpaceToDepthOptions", SpaceToDepth),),
    infer=_infer_depth,
    reference=_to_depth,
    access=moves.access(_to_depth),
    kernels=(moves.copy(_to_depth),),
)
