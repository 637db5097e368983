"""What operators on int16 activations with int8 weights share (TensorFlow Lite's "16x8").

Activations are symmetric: their zero point is 0. Where the bias is int64, sums are int64 and rescaled by the upper half
of the multiplier, rounded once (`qmath.requantize_wide`); where it is int32, everything is as for int8. LiteRT's dense
layers take the whole multiplier and round once, as theirs for int8 do (tested, not read).
Sources: tensorflow/lite/micro/kernels/conv.cc, depthwise_conv.cc, fully_connected.cc,
tensorflow/lite/kernels/internal/reference/integer_ops/conv.h, depthwise_conv.h, fully_connected.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.kernel import Const, Param
from tinycomp.ops import requant

LARGEST = 2**15  # of an input's magnitudes
ROOM: dict[requant.Rounding, int] = {"wide": 2**47, "once": 2**31}  # of sums
MOST_LEFT = 7  # the greatest shift that the reference's 64-bit arithmetic allows
HELPERS = ("requantize", "requantize_once", "requantize_wide", "clamp_int16")


class Rescaling(NamedTuple):
    """How a kernel's sums become int16.

    params: with the rounding `wide`, sums are int64 and the bias is added at the end, others start from it; `acc` is
    the type of what is summed before that. consts: biases, multipliers, shifts. numbers: the clamp.
    """

    params: dict[str, Param]
    consts: tuple[Const, ...]
    numbers: dict[str, int]


def is_int16(node: Node, graph: Graph) -> bool:
    """The activations are int16."""
    return graph.ins(node)[0].dtype == "int16"


def rounding(bias: Tensor) -> requant.Rounding:
    """How sums with this bias are rescaled."""
    return "wide" if bias.dtype == "int64" else "twice"


def require_countable(where: str, x: Tensor, count: int) -> None:
    """Raise Unsupported where the sum of `count` int16 values may not fit int32, in which the reference adds them."""
    if x.dtype == "int16" and count * LARGEST >= 2**31:
        raise Unsupported(f"averages {count:,} int16 values of {x.name!r}; the reference's sums hold {2**16 - 1:,}",
                          where=where, fix="average along one axis after the other")  # fmt: skip


def require_symmetric(where: str, tensors: Sequence[Tensor]) -> None:
    """Raise Unsupported where an int16 activation has a zero point other than 0, which no reference kernel takes."""
    for t in tensors:
        if t.dtype == "int16" and t.zero_point:
            raise Unsupported(f"{t.name!r} is int16 with zero point {t.zero_point}; int16 is symmetric", where=where,
                              fix="quantize the model again as 16x8")  # fmt: skip


def require_weighted(node: Node, graph: Graph, axis: int, how: requant.Rounding, narrow: bool = False) -> None:
    """Raise Unsupported where the reference's arithmetic does not hold: zero points, sums too large, huge factors.

    axis: of the output channels in the weights. narrow: int32 biases are allowed; TensorFlow Lite Micro reads them as
    int64 in all operators but CONV_2D.
    """
    (x, w, b), out, where = graph.ins(node), graph.out(node), f"{node.name} ({node.op})"
    require_symmetric(where, (x, out))
    if b.dtype == "int32" and not narrow:
        raise Unsupported(f"bias {b.name!r} is int32; beside int16 inputs it must be int64", where=where,
                          fix="export the model with int64 biases, the converter's default for 16x8")  # fmt: skip
    if how == "twice":
        return
    assert b.data is not None  # `requant.require_weights` has refused others
    assert w.data is not None
    others = tuple(i for i in range(w.data.ndim) if i != axis)
    products = np.abs(w.data.astype(np.int64)).sum(axis=others) * LARGEST
    largest = max(-int(b.data.min()), int(b.data.max()))
    if largest + int(products.max()) >= ROOM[how]:
        raise Unsupported(f"bias {b.name!r} goes to {largest:,}, and with it sums to 2^{ROOM[how].bit_length() - 1}, "
                          f"where {graph.reference}'s arithmetic ends", where=where,
                          fix="quantize the model again with representative data")  # fmt: skip
    if how == "wide" and int(requant.channel_multipliers(x, w, out, w.shape[axis]).shift.max()) > MOST_LEFT:
        raise Unsupported(f"the scales of {x.name!r}, {w.name!r} and {out.name!r} make a factor above 128, which the "
                          "reference's 64-bit arithmetic does not take", where=where,
                          fix="quantize the model again with representative data")  # fmt: skip


def rescaling(node: Node, graph: Graph, weights: Array, activation: str, how: requant.Rounding) -> Rescaling:
    """weights: [channels, inner]."""
    (x, w, b), out = graph.ins(node), graph.out(node)
    assert b.data is not None  # `infer` has refused others
    m = requant.channel_multipliers(x, w, out, len(weights))
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    bias = b.data.astype(np.int32) if np.array_equal(b.data, qmath.wrap32(b.data)) else b.data
    if how != "wide":
        params: dict[str, Param] = {"rounding": how, "acc": requant.accumulator_type(bias, weights, LARGEST)}
        return Rescaling(params, (Const("bias", bias), *requant.requant_consts(m)), {"low": low, "high": high})
    narrow = requant.accumulator_type(np.zeros(1), weights, LARGEST) == "int32_t"
    params = {"rounding": how, "acc": "int32_t" if narrow else "int64_t"}
    scale = (qmath.reduced(m.mantissa).astype(np.int16), (15 - m.shift).astype(np.int8))
    return Rescaling(params, (Const("bias", bias), *(Const("requant", c) for c in scale)), {"low": low, "high": high})
