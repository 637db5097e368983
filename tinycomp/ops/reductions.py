"""What SUM, REDUCE_MAX and the like share: the codec, the output's shape, by row or whole, the loop nests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Attrs, Graph, Node
from tinycomp.kernel import Access, Leaf, Param, rowwise, whole
from tinycomp.ops import mean
from tinycomp.ops.axes import axes_of, integers
from tinycomp.ops.base import Parsed, Shape, Source, Written, c_type


@dataclass(frozen=True)
class Reduction(Attrs):
    """axes: sorted, counted from the front. keep_dims leaves each as a dimension of 1."""

    axes: tuple[int, ...] = ()
    keep_dims: bool = False


def attrs(node: Node) -> Reduction:
    """The node's attributes, typed."""
    return cast(Reduction, node.attrs)


def read(source: Source) -> tuple[Parsed, tuple[int, ...], bool]:
    """The input alone, the axes and whether they stay."""
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    axes = axes_of(integers(source.constant(1, "the axes")), len(x.shape), where)
    return Parsed(Reduction(axes), (x,)), axes, bool(source.options.get("keep_dims", False))


def write(node: Node) -> Written:
    """The inverse."""
    a = attrs(node)
    return Written({"keep_dims": a.keep_dims}, (node.inputs[0], np.array(a.axes, np.int32)))


def shape(node: Node, graph: Graph) -> Shape:
    """The output's shape. Raises BadInput for axes that the input has not."""
    a, x = attrs(node), graph.ins(node)[0]
    if any(not 0 <= i < len(x.shape) for i in a.axes):
        raise BadInput(f"axes {list(a.axes)} of {x.name!r} {list(x.shape)}", where=f"{node.name} ({node.op})",
                       fix="export the model again")  # fmt: skip
    return tuple(1 if i in a.axes else n for i, n in enumerate(x.shape) if a.keep_dims or i not in a.axes)


def access(node: Node, graph: Graph) -> Access:
    """Row by row where only dimensions inside a row are reduced, else everything at once."""
    x, out = graph.ins(node)[0], graph.out(node)
    outside = len(x.shape) - len(mean.row_shape(x))
    over_rows = any(x.shape[i] > 1 for i in attrs(node).axes if i < outside)
    return rowwise() if out.rows == x.rows and not over_rows else whole()


def leaf(node: Node, graph: Graph, params: Mapping[str, Param], numbers: Mapping[str, int]) -> Leaf:
    """kept, reduced: the nested loops, (trips, stride in elements) each."""
    x = graph.ins(node)[0]
    inside = mean.row_shape(x) if access(node, graph).kind == "window" else x.shape
    outside = len(x.shape) - len(inside)
    found = mean.loops(inside, [axis - outside for axis in attrs(node).axes])
    own: dict[str, Param] = {"type": c_type(x), "kept": found.kept, "reduced": found.reduced}
    return Leaf({**own, **params}, numbers)
