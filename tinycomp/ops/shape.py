"""SHAPE, RANK and ZEROS_LIKE: every shape is known here, so the reader folds them to constants.

Source: tensorflow/lite/micro/kernels/shape.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.ops.base import TYPE_CODES, Codec, Operator, Parsed, Source, Written
from tinycomp.ops.reshape import Reshape


@dataclass(frozen=True)
class Shape(Attrs):
    """shape: of the tensor that the file names. A node without inputs: its value is known before anything runs."""

    op: ClassVar[str] = "shape"
    shape: tuple[int, ...] = ()
    dtype: DType = "int32"


def attrs(node: Node) -> Shape:
    """The node's attributes, typed."""
    return cast(Shape, node.attrs)


def _read(source: Source) -> Parsed:
    return Parsed(Shape(source.input(0).shape, source.outputs[0].dtype), ())


def _write(node: Node, graph: Graph) -> Written:
    """SHAPE of a constant of that shape, bytes of zero: the file format has no other way to say it."""
    return Written({"out_type": TYPE_CODES[attrs(node).dtype]}, (np.zeros(attrs(node).shape, np.int8),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[tuple[int, ...], DType], ...]:
    if attrs(node).dtype not in ("int32", "int64"):
        raise BadInput(f"its output is {attrs(node).dtype}; expected int32 or int64", where=f"{node.name} (shape)",
                       fix="export the model again")  # fmt: skip
    return (((len(attrs(node).shape),), attrs(node).dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    return (np.array(attrs(node).shape, NUMPY[attrs(node).dtype]),)


def _read_rank(source: Source) -> Parsed:
    """RANK: a constant of the number of dimensions, as a reshape of it to its own shape."""
    rank = np.array(len(source.input(0).shape), np.int32)
    return Parsed(Reshape(()), (Tensor(f"{source.name}/rank", (), "int32", None, rank),))


def _read_zeros(source: Source) -> Parsed:
    """ZEROS_LIKE: a constant."""
    x, out = source.input(0), source.outputs[0]
    zeros = np.zeros(x.shape, NUMPY[x.dtype])
    return Parsed(Reshape(x.shape), (Tensor(f"{source.name}/zeros", x.shape, x.dtype, out.quant, zeros),))


OPERATOR = Operator(
    attrs=Shape,
    codecs=(
        Codec("SHAPE", "ShapeOptions", _read, _write),
        Codec("RANK", "RankOptions", _read_rank),
        Codec("ZEROS_LIKE", "ZerosLikeOptions", _read_zeros),
    ),
    infer=_infer,
    reference=_reference,
)
