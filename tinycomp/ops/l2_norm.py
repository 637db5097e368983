"""L2_NORMALIZATION over the last axis: x_i / sqrt(Σ x_j²).

Sources: tensorflow/lite/micro/kernels/l2norm.cc, tensorflow/lite/kernels/internal/reference/l2normalization.h and
reference/integer_ops/l2normalization.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinycomp import qmath, qmath_fixed
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import softmax, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source

OUTPUT_SHIFT = 7  # the output's scale is 1 / 128
LEAST = 1e-6  # the smallest norm that float32 is divided by
LONGEST = 2**31 // 255**2  # squares of int8 values whose sum is an int32


@dataclass(frozen=True)
class L2Norm(Attrs):
    """No attributes."""

    op: ClassVar[str] = "l2_norm"


def _read(source: Source) -> Parsed:
    """Raises Unsupported for a fused activation, which no reference kernel takes."""
    if source.activation() != "none":
        raise Unsupported(f"the fused activation {source.activation()} is not supported",
                          where=f"{source.name} ({source.builtin})", fix="use a separate activation layer")  # fmt: skip
    return Parsed(L2Norm(), (unary.one_input(source),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    found = unary.infer_same_shape(node, graph, [("int8", "int8"), ("float32", "float32")])
    softmax.require_axis(node, graph)
    x = graph.ins(node)[0]
    if x.dtype == "int8":
        unary.require_output_quant(node, graph, 2.0**-OUTPUT_SHIFT, 0)
        if x.shape[-1] > LONGEST:
            raise Unsupported(f"it is over {x.shape[-1]} values; the reference's sum of squares holds {LONGEST}",
                              where=f"{node.name} ({node.op})", fix="export it in float32")  # fmt: skip
    return found


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,) = args
    if x.dtype == np.float32:
        norm = np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True)
        return ((x.astype(np.float64) / np.maximum(norm, LEAST)).astype(np.float32),)
    v = x.astype(np.int64) - graph.ins(node)[0].zero_point
    scale = qmath_fixed.inverse_root((v * v).sum(axis=-1, keepdims=True))
    return (np.clip(qmath.requantize(v, scale.mantissa, scale.shift + OUTPUT_SHIFT), -128, 127).astype(np.int8),)


def _lower(node: Node, graph: Graph) -> Leaf:
    return Leaf({}, softmax.sizes(node, graph) | {"zero": graph.ins(node)[0].zero_point})


OPERATOR = Operator(
    attrs=L2Norm,
    codecs=(Codec("L2_NORMALIZATION", "L2NormOptions", _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        Kernel("portable", _lower, unary.is_byte, helpers=("requantize", "inverse_root", "clamp_int8")),
        Kernel("float", lambda node, graph: Leaf({}, softmax.sizes(node, graph)), unary.is_float),
    ),
    inplace=(0,),
)
