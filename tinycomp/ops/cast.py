"""CAST: values in another dtype.

Integers wrap, float to integer goes towards zero. Outside the integer's range the C++ of TensorFlow Lite Micro is
undefined; here such values go to the nearest end, NaN to 0, as LiteRT does for int32.

Sources: tensorflow/lite/micro/kernels/cast.cc, tensorflow/lite/kernels/cast.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops import unary
from tinycomp.ops.base import TYPE_CODES, Codec, Operator, Parsed, Shape, Source, Written

INT_LIMITS = {**qmath.INT_RANGE, "int64": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True)
class Cast(Attrs):
    """dtype: the output's."""

    op: ClassVar[str] = "cast"
    dtype: DType = "float32"


def attrs(node: Node) -> Cast:
    """The node's attributes, typed."""
    return cast(Cast, node.attrs)


def _read(source: Source) -> Parsed:
    """The tensors say the dtypes; files often leave the options out."""
    return Parsed(Cast(source.outputs[0].dtype), (source.input(0),))


def _write(node: Node, graph: Graph) -> Written:
    (x,) = graph.ins(node)
    return Written({"in_data_type": TYPE_CODES[x.dtype], "out_data_type": TYPE_CODES[attrs(node).dtype]}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,) = graph.ins(node)
    return ((x.shape, attrs(node).dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), dtype = args, attrs(node).dtype
    if x.dtype.kind != "f" or dtype in ("bool", "float32"):
        return (x.astype(NUMPY[dtype]),)
    low, high = INT_LIMITS[dtype]
    real = np.where(np.isnan(x), 0.0, np.trunc(x.astype(np.float64)))
    inside = (real >= low) & (real < float(high))  # 2^63 − 1 is no float64: from there on values are set, not converted
    whole = np.where(inside, real, 0.0).astype(np.int64)
    return (np.where(inside, whole, np.where(real < low, low, high)).astype(NUMPY[dtype]),)


def _lower(node: Node, graph: Graph) -> Leaf:
    x, dtype = graph.ins(node)[0], attrs(node).dtype
    low, high = INT_LIMITS.get(dtype, (0, 0))
    saturates = x.dtype == "float32" and dtype not in ("bool", "float32")
    ends: dict[str, Param] = {"low": f"{low}.0f", "high": f"{high + 1}.0f", "least": low, "most": high}
    params = ends if saturates else {}
    return unary.row_leaf(node, graph, params={"saturates": saturates, "truth": dtype == "bool", **params})


OPERATOR = Operator(
    attrs=Cast,
    codecs=(Codec("CAST", "CastOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(Kernel("portable", _lower),),
)
