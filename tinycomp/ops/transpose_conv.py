"""TRANSPOSE_CONV: [N, H, W, C] × weights [O, kh, kw, C] → [N, OH, OW, O], each input pixel spread over a window.

Output pixel y gets input pixel i through tap k where i · stride + k − padding = y. Sums are those of the reference,
which adds the same products, in another order, and rescales as a convolution does.
Sources: tensorflow/lite/micro/kernels/transpose_conv.cc and transpose_conv.h in
tensorflow/lite/kernels/internal/reference and reference/integer_ops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf, Param
from tinycomp.ops import hybrid, int16, requant, unary, window
from tinycomp.ops.base import (
    ACTIVATIONS,
    Codec,
    Operator,
    Parsed,
    Shape,
    Source,
    Written,
    c_type,
    clamp_real,
    require_dtype,
    whole_access,
)


@dataclass(frozen=True)
class TransposeConv(Attrs):
    """size and stride as (height, width), size of the output. padding: what is cut off (top, bottom, left, right)
    of the image that all windows together would make, before it is brought to its size."""

    op: ClassVar[str] = "transpose_conv"
    size: window.Pair = (1, 1)
    stride: window.Pair = (1, 1)
    padding: window.Padding = (0, 0, 0, 0)
    activation: str = "none"


def attrs(node: Node) -> TransposeConv:
    """The node's attributes, typed."""
    return cast(TransposeConv, node.attrs)


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    weights, x = source.input(1), source.input(2)
    size = tuple(int(n) for n in source.constant(0, "the output's shape").reshape(-1))
    if len(size) != 4 or len(x.shape) != 4 or len(weights.shape) != 4 or min(size) < 1:
        raise BadInput(f"needs 4-D input, weights and output shape, found {list(x.shape)}, {list(weights.shape)} and "
                       f"{list(size)}", where=where, fix="export the model again")  # fmt: skip
    stride = window.pair(source.options, "stride_h", "stride_w", where)
    kernel = weights.shape[1:3]
    padding = window.padding_of(source, (size[1], size[2]), (kernel[0], kernel[1]), stride, (1, 1))
    bias = requant.bias_of(source, 3, x, weights, weights.shape[0])
    return Parsed(TransposeConv((size[1], size[2]), stride, padding, source.activation()), (x, weights, bias))


def _write(node: Node, graph: Graph) -> Written:
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    scheme = window.named_scheme(node.name, a.size, (w.shape[1], w.shape[2]), a.stride, (1, 1), a.padding)
    options = {
        "padding": scheme, "stride_h": a.stride[0], "stride_w": a.stride[1],
        "fused_activation_function": ACTIVATIONS.index(a.activation),
    }  # fmt: skip
    return Written(options, (np.array(out.shape, np.int32), w.name, x.name, b.name))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """Raises Unsupported for dtypes and quantization without a kernel, BadInput where channels do not agree."""
    a, (x, w, b), where = attrs(node), graph.ins(node), f"{node.name} ({node.op})"
    require_dtype(node, graph, [dtypes for dtypes in requant.WEIGHTED if dtypes[1] in ("int8", "float32")])
    if x.shape[3] != w.shape[3]:
        raise BadInput(f"input {x.name!r} {list(x.shape)} and weights {w.name!r} {list(w.shape)} have different "
                       "channels", where=where, fix="export the model again")  # fmt: skip
    requant.require_weights(where, x, w, b, graph.out(node), axis=0)
    if x.dtype == "int16":
        int16.require_weighted(node, graph, 0, int16.rounding(b))
    return (((x.shape[0], *a.size, w.shape[0]), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt, wt, bt), out = attrs(node), graph.ins(node), graph.out(node)
    x, w, b = args
    real = xt.dtype == "float32"
    weights = hybrid.real(wt, w) if real else w
    seen = x.astype(np.float64) - (0 if real else xt.zero_point)
    acc = _spread(np.tensordot(seen, weights.astype(np.float64), axes=(3, 3)), a)  # exact for integers
    if real:
        return (clamp_real((acc + b.astype(np.float64)).astype(np.float32), a.activation),)
    m = requant.channel_multipliers(xt, wt, out, acc.shape[-1])
    return (requant.finish(acc.astype(np.int64) + b.astype(np.int64), m, out, a.activation, int16.rounding(bt)),)


def _spread(products: unary.Float64, a: TransposeConv) -> unary.Float64:
    """[N, H, W, O, kh, kw] added up where they belong, [N, OH, OW, O]."""
    items, rows, columns, channels, kh, kw = products.shape
    span = [(n - 1) * s + k for n, s, k in zip((rows, columns), a.stride, (kh, kw), strict=True)]
    top, left = a.padding[0], a.padding[2]
    whole_h, whole_w = (max(n, m + before) for n, m, before in zip(span, a.size, (top, left), strict=True))
    made = np.zeros((items, whole_h, whole_w, channels), products.dtype)
    for i in range(kh):
        for j in range(kw):
            down, across = (slice(k, k + (n - 1) * s + 1, s)
                            for k, n, s in zip((i, j), (rows, columns), a.stride, strict=True))  # fmt: skip
            made[:, down, across] += products[..., i, j]
    return made[:, top : top + a.size[0], left : left + a.size[1]]


def _lower(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [O][kh][kw][C]: the C products of a tap are contiguous, as in the input."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    numbers = {
        "items": x.shape[0], "in_h": x.shape[1], "in_w": x.shape[2], "in_c": x.shape[3], "out_h": a.size[0],
        "out_w": a.size[1], "out_c": w.shape[0], "kh": w.shape[1], "kw": w.shape[2], "stride_h": a.stride[0],
        "stride_w": a.stride[1], "top": a.padding[0], "left": a.padding[2],
    }  # fmt: skip
    params: dict[str, Param] = {"type": c_type(x), "weight": c_type(w), "activation": a.activation}
    if x.dtype == "float32":
        scales = hybrid.scale_consts(node, graph, w.shape[0])
        params |= {"acc": "float"}
        return Leaf(params, numbers, (Const("weights", w.data), Const("bias", b.data), *scales))
    if x.dtype == "int16":
        found = int16.rescaling(node, graph, w.data.reshape(len(w.data), -1), a.activation, int16.rounding(b))
        return Leaf(params | found.params, numbers | found.numbers, (Const("weights", w.data), *found.consts))
    m = requant.channel_multipliers(x, w, out, w.shape[0])
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    numbers |= {"in_zero": x.zero_point, "out_zero": out.zero_point, "low": low, "high": high}
    params |= {"acc": requant.accumulator_type(b.data, w.data, 255)}
    return Leaf(params, numbers, (Const("weights", w.data), Const("bias", b.data), *requant.requant_consts(m)))


def _macs(node: Node, graph: Graph) -> int:
    """Of every input pixel with every tap, those beside the output included."""
    x, w, _ = graph.ins(node)
    return x.elements * w.elements // w.shape[3]


OPERATOR = Operator(
    attrs=TransposeConv,
    codecs=(Codec("TRANSPOSE_CONV", "TransposeConvOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=whole_access,
    kernels=(
        Kernel("portable", _lower, unary.is_byte, helpers=("requantize", "clamp_int8")),
        Kernel("int16", _lower, int16.is_int16, helpers=int16.HELPERS),
        Kernel("float", _lower, unary.is_float),
    ),
    macs=_macs,
)
