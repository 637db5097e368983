"""LOG_SOFTMAX over the last axis: x_i − log Σ exp(x_j).

Sources: tensorflow/lite/kernels/internal/reference/log_softmax.h, tensorflow/lite/micro/kernels/log_softmax.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tinycomp import qmath, qmath_fixed
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import softmax, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source

OUTPUT_BITS = 4  # integer bits of the output: its scale is 16 / 256
HELPERS = ("one_over_one_plus_x", "logarithm", "requantize", "clamp_int8")
DOWN = 31 - qmath_fixed.SOFTMAX_DIFF_BITS - OUTPUT_BITS


@dataclass(frozen=True)
class LogSoftmax(Attrs):
    """No attributes."""

    op: ClassVar[str] = "log_softmax"


class Tables(NamedTuple):
    """For inputs 0, 1, … below their row's largest: exp in Q12.19 and the difference in Q5.26; what lies beyond the
    tables is the smallest output. back: from a difference in Q5.26 to inputs."""

    exps: qmath.Int64
    diffs: qmath.Int64
    back: qmath.Multiplier


def _read(source: Source) -> Parsed:
    return Parsed(LogSoftmax(), (unary.one_input(source),))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """Raises as `softmax.require_sum`, and BadInput for another quantization of the output than the reference's."""
    found = unary.infer_same_shape(node, graph, [("int8", "int8"), ("float32", "float32")])
    softmax.require_sum(node, graph, 1.0)
    if graph.out(node).dtype == "int8":
        unary.require_output_quant(node, graph, 2.0 ** (OUTPUT_BITS - 8), 127)
    return found


def _tables(node: Node, graph: Graph) -> Tables:
    m = qmath_fixed.softmax_multiplier(graph.ins(node)[0].scale, 1.0)
    count = min(qmath_fixed.input_radius(qmath_fixed.SOFTMAX_DIFF_BITS, m.shift), 255) + 1
    diffs = qmath.requantize(-np.arange(count), m.mantissa, m.shift)
    exps = qmath_fixed.exp_on_negative_values(diffs, qmath_fixed.SOFTMAX_DIFF_BITS)
    back = qmath.quantize_multiplier((1 << (31 - m.shift)) / m.mantissa)
    return Tables(qmath.rounding_shift_right(exps, qmath_fixed.SOFTMAX_SUM_BITS), diffs, back)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,) = args
    if x.dtype == np.float32:
        rest = x - x.max(axis=-1, keepdims=True)
        return ((rest - np.log(np.exp(rest).sum(axis=-1, keepdims=True))).astype(np.float32),)
    t = _tables(node, graph)
    below = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    inside, at = below < len(t.exps), np.minimum(below, len(t.exps) - 1)
    log = qmath_fixed.logarithm(np.where(inside, t.exps[at], 0).sum(axis=-1, keepdims=True))
    least = qmath.requantize(log - 2**31, t.back.mantissa, t.back.shift)
    made = qmath.rounding_shift_right(t.diffs[at] - log, DOWN) + 127
    return (np.where(inside & (-below > least), np.clip(made, -128, 127), -128).astype(np.int8),)


def _lower(node: Node, graph: Graph) -> Leaf:
    t = _tables(node, graph)
    numbers = softmax.sizes(node, graph) | {"mantissa": t.back.mantissa, "shift": t.back.shift}
    tables = (Const("table", t.exps.astype(np.int32)), Const("table", t.diffs.astype(np.int32)))
    return Leaf({"entries": len(t.exps)}, numbers, tables)


OPERATOR = Operator(
    attrs=LogSoftmax,
    codecs=(Codec("LOG_SOFTMAX", "LogSoftmaxOptions", _read, unary.write_plain),),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(
        Kernel("portable", _lower, unary.is_byte, helpers=HELPERS),
        Kernel("float", lambda node, graph: Leaf({}, softmax.sizes(node, graph)), unary.is_float),
    ),
    inplace=(0,),
)
