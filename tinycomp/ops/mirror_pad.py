"""MIRROR_PAD: borders that repeat the inside backwards.

Sources: tensorflow/lite/micro/kernels/mirror_pad.cc, tensorflow/lite/kernels/mirror_pad.cc.
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

MODES = ("reflect", "symmetric")  # in the order of the schema's MirrorPadMode


@dataclass(frozen=True)
class MirrorPad(Attrs):
    """paddings: (before, after) of each axis. mode: symmetric repeats the outermost element, reflect does not."""

    op: ClassVar[str] = "mirror_pad"
    paddings: tuple[tuple[int, int], ...] = ()
    mode: str = "reflect"


def attrs(node: Node) -> MirrorPad:
    """The node's attributes, typed."""
    return cast(MirrorPad, node.attrs)


def _read(source: Source) -> Parsed:
    x, flat = source.input(0), integers(source.constant(1, "the paddings"))
    mode, where = int(source.options.get("mode", 0)), f"{source.name} ({source.builtin})"
    if len(flat) != 2 * len(x.shape) or not 0 <= mode < len(MODES):
        raise BadInput(f"{len(flat)} paddings in mode {mode} for an input of rank {len(x.shape)}", where=where,
                       fix="export the model again")  # fmt: skip
    return Parsed(MirrorPad(tuple(zip(flat[::2], flat[1::2], strict=True)), MODES[mode]), (x,))


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    return Written({"mode": MODES.index(a.mode)}, (node.inputs[0], np.array(a.paddings, np.int32).reshape(-1, 2)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x,) = attrs(node), graph.ins(node)
    edge = int(a.mode == "reflect")
    if len(a.paddings) != len(x.shape) or any(
        not 0 <= side <= n - edge for n, pair in zip(x.shape, a.paddings, strict=True) for side in pair
    ):
        raise BadInput(f"mirrors {[list(pair) for pair in a.paddings]} of {x.name!r} {list(x.shape)}; a border is at "
                       f"most as wide as what it mirrors ({a.mode})", where=f"{node.name} (mirror_pad)",
                       fix="export the model with smaller paddings")  # fmt: skip
    return ((tuple(b + n + e for n, (b, e) in zip(x.shape, a.paddings, strict=True)), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a = attrs(node)
    return (np.pad(args[0], a.paddings, "symmetric" if a.mode == "symmetric" else "reflect"),)


OPERATOR = Operator(
    attrs=MirrorPad,
    codecs=(Codec("MIRROR_PAD", "MirrorPadOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=moves.access(_reference),
    kernels=(moves.copy(_reference),),
)
