"""A delay line: the latest frames of a stream, the oldest first. Made by a rewrite, never read from a file.

out = concatenation(before[new:], x) along `axis`, where the axes before it are 1, `before` is the last inference's out
and `new` is x's length. One buffer that outlives the inference moves up by `new` frames, and x goes to its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, whole
from tinycomp.ops.base import Operator, Shape


@dataclass(frozen=True)
class Delay(Attrs):
    """axis: of the frames, counted from the front."""

    op: ClassVar[str] = "delay"
    axis: int = 1


def attrs(node: Node) -> Delay:
    """The node's attributes, typed."""
    return cast(Delay, node.attrs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    axis, (before, x) = attrs(node).axis, graph.ins(node)
    rest = (*before.shape[:axis], *before.shape[axis + 1 :])
    fits = rest == (*x.shape[:axis], *x.shape[axis + 1 :]) and x.shape[axis] <= before.shape[axis]
    if not fits or before.dtype != x.dtype or math.prod(before.shape[:axis]) != 1:
        raise BadInput(f"cannot move {x.dtype}{list(x.shape)} into {before.dtype}{list(before.shape)} along axis "
                       f"{axis}", where=f"{node.name} (delay)")  # fmt: skip
    return ((before.shape, before.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    axis, (before, x) = attrs(node).axis, args
    kept = np.take(before, range(x.shape[axis], before.shape[axis]), axis=axis)
    return (np.concatenate([kept, x], axis=axis),)


def _access(node: Node, graph: Graph) -> Access:
    return whole(1 if graph.ins(node)[1].data is None else 0)


def _lower(node: Node, graph: Graph) -> Leaf:
    before, x = graph.ins(node)
    return Leaf({}, {"kept": before.bytes - x.bytes, "moved": x.bytes})


OPERATOR = Operator(
    attrs=Delay,
    codecs=(),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("portable", _lower),),
    carries=((0, 0),),
)
