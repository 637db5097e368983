"""SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: every b-th pixel as an image of its own, and back.

Borders are filled with the output's zero point, as in LiteRT. TensorFlow Lite Micro never sets the fill.

Sources: tensorflow/lite/micro/kernels/space_to_batch_nd.cc, batch_to_space_nd.cc and the reference kernels of the
same names in tensorflow/lite/kernels/internal/reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Edit, Graph, Node, Tensor, fresh
from tinycomp.ops import moves, pad
from tinycomp.ops.axes import integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Blocks(Attrs):
    """block: its side along each spatial axis, the axes after the first. borders: (before, after) of each of them,
    added where space becomes batch and cut off on the way back."""

    block: tuple[int, ...] = ()
    borders: Pairs = ()


@dataclass(frozen=True)
class SpaceToBatch(Blocks):
    """Borders are filled with zero points."""

    op: ClassVar[str] = "space_to_batch"


@dataclass(frozen=True)
class BatchToSpace(Blocks):
    """The inverse."""

    op: ClassVar[str] = "batch_to_space"


def attrs(node: Node) -> Blocks:
    """The node's attributes, typed."""
    return cast(Blocks, node.attrs)


def codec(builtin: str, options: str, kind: type[Blocks]) -> Codec:
    """How one of the operators is read and written."""

    def read(source: Source) -> Parsed:
        x, block = source.input(0), integers(source.constant(1, "the block shape"))
        flat = integers(source.constant(2, "the paddings or crops"))
        if not len(flat) == 2 * len(block) < 2 * len(x.shape):
            raise BadInput(f"{len(block)} block sides and {len(flat)} borders for an input of rank {len(x.shape)}",
                           where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
        return Parsed(kind(block, tuple(zip(flat[::2], flat[1::2], strict=True))), (x,))

    def write(node: Node, graph: Graph) -> Written:
        a = attrs(node)
        return Written({}, (node.inputs[0], np.array(a.block, np.int32), np.array(a.borders, np.int32)))

    return Codec(builtin, options, read, write)


def _require(node: Node, x: Tensor, fits: bool) -> None:
    a = attrs(node)
    borders_fit = len(a.borders) == len(a.block) and all(n >= 0 for pair in a.borders for n in pair)
    if not fits or not borders_fit or not 0 < len(a.block) < len(x.shape) or any(b < 1 for b in a.block):
        raise BadInput(f"blocks of {list(a.block)} with borders {[list(p) for p in a.borders]} do not go with "
                       f"{x.name!r} {list(x.shape)}", where=f"{node.name} ({node.op})",
                       fix="export the model again")  # fmt: skip


def _infer_batch(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), a = graph.ins(node), attrs(node)
    sizes = [n + sum(pair) for n, pair in zip(x.shape[1:], a.borders, strict=False)]
    _require(node, x, all(n % b == 0 for n, b in zip(sizes, a.block, strict=False) if b > 0))
    spatial = (n // b for n, b in zip(sizes, a.block, strict=True))
    return (((x.shape[0] * math.prod(a.block), *spatial, *x.shape[1 + len(a.block) :]), x.dtype),)


def _infer_space(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), a = graph.ins(node), attrs(node)
    sizes = [n * b - sum(pair) for n, b, pair in zip(x.shape[1:], a.block, a.borders, strict=False)]
    _require(node, x, x.shape[0] % max(math.prod(a.block), 1) == 0 and all(n > 0 for n in sizes))
    return (((x.shape[0] // math.prod(a.block), *sizes, *x.shape[1 + len(a.block) :]), x.dtype),)


def _to_batch(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, x = attrs(node), args[0]
    m = len(a.block)
    borders = ((0, 0), *a.borders, *((0, 0),) * (x.ndim - 1 - m))
    x = np.pad(x, borders, constant_values=pad.default_fill(graph.out(node)).item())
    split = [part for n, b in zip(x.shape[1:], a.block, strict=False) for part in (n // b, b)]
    axes = (*range(2, 2 * m + 1, 2), 0, *range(1, 2 * m, 2), *range(2 * m + 1, x.ndim + m))
    made = x.reshape(x.shape[0], *split, *x.shape[1 + m :]).transpose(axes)
    spatial = (n // b for n, b in zip(x.shape[1:], a.block, strict=False))
    return (made.reshape(x.shape[0] * math.prod(a.block), *spatial, *x.shape[1 + m :]),)


def _to_space(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, x = attrs(node), args[0]
    m, batch = len(a.block), x.shape[0] // math.prod(a.block)
    order = [axis for i in range(m) for axis in (m + 1 + i, i)]
    made = x.reshape(*a.block, batch, *x.shape[1:]).transpose(m, *order, *range(2 * m + 1, x.ndim + m))
    spatial = [n * b for n, b in zip(x.shape[1:], a.block, strict=False)]
    box = [slice(before, n - after) for n, (before, after) in zip(spatial, a.borders, strict=True)]
    return (made.reshape(batch, *spatial, *x.shape[1 + m :])[(slice(None), *box)].copy(),)


def _plain(node: Node, graph: Graph) -> bool:
    return not any(n for pair in attrs(node).borders for n in pair)


def _expand(node: Node, graph: Graph) -> Edit | None:
    """Borders by a PAD before it."""
    if _plain(node, graph):
        return None
    a, x, out = attrs(node), graph.ins(node)[0], graph.out(node)
    borders = ((0, 0), *a.borders, *((0, 0),) * (len(x.shape) - 1 - len(a.block)))
    shape = tuple(before + n + after for n, (before, after) in zip(x.shape, borders, strict=True))
    wide = Tensor(fresh(graph, f"{node.name}/padded"), shape, x.dtype, out.quant)
    border = Node(fresh(graph, f"{node.name}_border"), pad.Pad(borders), (x.name,), (wide.name,))
    rest = replace(node, attrs=SpaceToBatch(a.block, ((0, 0),) * len(a.block)), inputs=(wide.name,))
    return Edit(remove=(node,), insert=(border, rest), tensors=(wide,))


SPACE_TO_BATCH = Operator(
    attrs=SpaceToBatch,
    codecs=(codec("SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions", SpaceToBatch),),
    infer=_infer_batch,
    reference=_to_batch,
    access=moves.access(_to_batch),
    kernels=(moves.copy(_to_batch),),
    expand=_expand,
)
BATCH_TO_SPACE = Operator(
    attrs=BatchToSpace,
    codecs=(codec("BATCH_TO_SPACE_ND", "BatchToSpaceNDOptions", BatchToSpace),),
    infer=_infer_space,
    reference=_to_space,
    access=moves.access(_to_space),
    kernels=(moves.copy(_to_space),),
)
