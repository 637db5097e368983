"""REDUCE_PROD: the product over some axes, unquantized.

Source: tensorflow/lite/kernels/reduce.cc (EvalProd). TensorFlow Lite Micro has no such kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import reductions
from tinycomp.ops.axes import axes_of, integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, require_dtype


@dataclass(frozen=True)
class ReduceProd(reductions.Reduction):
    """axes: sorted, counted from the front."""

    op: ClassVar[str] = "reduce_prod"


def attrs(node: Node) -> ReduceProd:
    """The node's attributes, typed."""
    return cast(ReduceProd, node.attrs)


def _read(source: Source) -> Parsed:
    x, where = source.input(0), f"{source.name} ({source.builtin})"
    axes = axes_of(integers(source.constant(1, "the axes")), len(x.shape), where)
    return Parsed(ReduceProd(axes, bool(source.options.get("keep_dims", False))), (x,))


def _write(node: Node, graph: Graph) -> Written:
    return Written({"keep_dims": attrs(node).keep_dims}, (node.inputs[0], np.array(attrs(node).axes, np.int32)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x,) = attrs(node), graph.ins(node)
    require_dtype(node, graph, [("int32", "int32"), ("int64", "int64"), ("float32", "float32")])
    if any(not 0 <= i < len(x.shape) for i in a.axes):
        raise BadInput(f"axes {list(a.axes)} of {x.name!r} {list(x.shape)}", where=f"{node.name} (reduce_prod)")
    kept = (1 if i in a.axes else n for i, n in enumerate(x.shape) if a.keep_dims or i not in a.axes)
    return ((tuple(kept), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """Integers wrap."""
    (x,), a = args, attrs(node)
    return (np.asarray(np.multiply.reduce(x, axis=a.axes, dtype=x.dtype, keepdims=a.keep_dims)),)


def _lower(node: Node, graph: Graph) -> Leaf:
    return reductions.leaf(node, graph, {"function": "prod"}, {})


OPERATOR = Operator(
    attrs=ReduceProd,
    codecs=(Codec("REDUCE_PROD", "ReducerOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=reductions.access,
    kernels=(Kernel("plain", _lower),),
)
