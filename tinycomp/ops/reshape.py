"""RESHAPE, SQUEEZE and EXPAND_DIMS: the same bytes under another shape. Costs nothing.

Sources: tensorflow/lite/micro/kernels/reshape_common.cc, squeeze.cc, expand_dims.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.ops.axes import axes_of, axis_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Reshape(Attrs):
    """shape: the output's, every dimension settled."""

    op: ClassVar[str] = "reshape"
    shape: Shape = ()


def attrs(node: Node) -> Reshape:
    """The node's attributes, typed."""
    return cast(Reshape, node.attrs)


def _read(source: Source) -> Parsed:
    """The shape tensor comes before the option; the declared shape stands in for one that is computed at run time."""
    x = source.input(0)
    shape = source.inputs[1] if len(source.inputs) > 1 else None
    if shape is not None:
        wanted = source.outputs[0].shape if shape.data is None else integers(shape.data)
    else:
        wanted = tuple(int(n) for n in source.options.get("new_shape", ())) or source.outputs[0].shape
        wanted = () if wanted == (0,) else wanted  # how old converters wrote a scalar
    return Parsed(Reshape(settled(wanted, x.elements, f"{source.name} ({source.builtin})")), (x,))


def settled(wanted: Shape, elements: int, where: str) -> Shape:
    """The shape with its −1, if any, replaced by what is left of the elements. Raises BadInput where that fails."""
    free = [i for i, n in enumerate(wanted) if n == -1]
    rest = math.prod(n for n in wanted if n != -1)
    if len(free) > 1 or any(n < -1 for n in wanted) or (free and (rest == 0 or elements % rest)):
        raise BadInput(f"{elements} elements do not fill the shape {list(wanted)}", where=where,
                       fix="export the model again")  # fmt: skip
    return tuple(elements // rest if n == -1 else n for n in wanted)


def _read_squeeze(source: Source) -> Parsed:
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    dims = axes_of(source.options.get("squeeze_dims", ()), len(x.shape), where)
    dims = dims or tuple(i for i, n in enumerate(x.shape) if n == 1)
    if any(x.shape[i] != 1 for i in dims):
        raise BadInput(f"cannot drop axes {list(dims)} of {x.name!r} {list(x.shape)}: not all have one element",
                       where=where, fix="export the model again")  # fmt: skip
    return Parsed(Reshape(tuple(n for i, n in enumerate(x.shape) if i not in dims)), (x,))


def _read_expand_dims(source: Source) -> Parsed:
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    found = integers(source.constant(1, "the axis"))
    if len(found) != 1:
        raise BadInput(f"needs one axis, found {len(found)}", where=where, fix="export the model again")
    axis = axis_of(found[0], len(x.shape) + 1, where)
    return Parsed(Reshape((*x.shape[:axis], 1, *x.shape[axis:])), (x,))


def _write(node: Node, graph: Graph) -> Written:
    shape = attrs(node).shape
    return Written({"new_shape": shape}, (node.inputs[0], np.array(shape, np.int32)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,), shape = graph.ins(node), attrs(node).shape
    if math.prod(shape) != x.elements:
        raise BadInput(f"input {x.name!r} {list(x.shape)} has {x.elements} elements, the shape {list(shape)} "
                       f"{math.prod(shape)}", where=f"{node.name} (reshape)", fix="export the model again")  # fmt: skip
    return ((shape, x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), shape = args, attrs(node).shape
    return (x.reshape(shape if x.size == math.prod(shape) else (-1, *shape[1:])),)


OPERATOR = Operator(
    attrs=Reshape,
    codecs=(
        Codec("RESHAPE", "ReshapeOptions", _read, _write),
        Codec("SQUEEZE", "SqueezeOptions", _read_squeeze),
        Codec("EXPAND_DIMS", "ExpandDimsOptions", _read_expand_dims),
    ),
    infer=_infer,
    reference=_reference,
    view=True,
)
