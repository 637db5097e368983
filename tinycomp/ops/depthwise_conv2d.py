"""DEPTHWISE_CONV_2D: [N, H, W, C] × weights [1, kh, kw, C·multiplier] → [N, OH, OW, C·multiplier].

Output channel o reads input channel o // multiplier.
Sources: tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h, reference/depthwiseconv_float.h.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Access, Taps
from tinycomp.ops import (
    depthwise_dsp,
    depthwise_mve,
    depthwise_portable,
    hybrid,
    images,
    int16,
    requant,
    wide_weights,
    window,
)
from tinycomp.ops.base import ACTIVATIONS, Codec, Operator, Parsed, Shape, Source, Written, clamp_real, require_dtype
from tinycomp.ops.depthwise_attrs import DepthwiseConv2D, attrs, kernel_size, reduces

__all__ = ["OPERATOR", "DepthwiseConv2D"]


def _where(node: Node) -> str:
    return f"{node.name} ({node.op})"


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    x, weights = source.input(0), source.input(1)
    if len(x.shape) != 4 or len(weights.shape) != 4:
        raise BadInput(f"needs 4-D input and weights, found {list(x.shape)} and {list(weights.shape)}", where=where)
    multiplier = int(source.options.get("depth_multiplier", 0))  # 0: not stated
    if multiplier and multiplier * x.shape[3] != weights.shape[3]:
        raise BadInput(f"depth multiplier {multiplier} × {x.shape[3]} input channels is not the {weights.shape[3]} "
                       f"channels of {weights.name!r}", where=where, fix="export the model again")  # fmt: skip
    stride = window.pair(source.options, "stride_h", "stride_w", where)
    dilation = window.pair(source.options, "dilation_h_factor", "dilation_w_factor", where)
    padding = window.padding_of(source, (x.shape[1], x.shape[2]), kernel_size(weights), stride, dilation)
    bias = requant.bias_of(source, 2, x, weights, weights.shape[3])
    return Parsed(DepthwiseConv2D(stride, dilation, padding, source.activation()), (x, weights, bias))


def _write(node: Node, graph: Graph) -> Written:
    a, (x, w, _) = attrs(node), graph.ins(node)
    size = (x.shape[1], x.shape[2])
    wide_weights.require_writable(node, graph)
    options = {
        "padding": window.named_scheme(node.name, size, kernel_size(w), a.stride, a.dilation, a.padding),
        "stride_h": a.stride[0], "stride_w": a.stride[1], "depth_multiplier": w.shape[3] // x.shape[3],
        "dilation_h_factor": a.dilation[0], "dilation_w_factor": a.dilation[1],
        "fused_activation_function": ACTIVATIONS.index(a.activation),
    }  # fmt: skip
    return Written(options, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x, w, b) = attrs(node), graph.ins(node)
    require_dtype(node, graph, requant.WEIGHTED)
    if w.shape[0] != 1 or w.shape[3] % x.shape[3]:
        raise BadInput(f"input has {x.shape[3]} channels and weights {w.name!r} are {list(w.shape)}, expected "
                       "[1, height, width, channels × multiplier]", where=_where(node))  # fmt: skip
    requant.require_weights(_where(node), x, w, b, graph.out(node), axis=3)
    if x.dtype == "int16":
        int16.require_weighted(node, graph, 3, int16.rounding(b))
    wide_weights.require_span(node, graph)
    size = (x.shape[1], x.shape[2])
    rows, columns = window.positions(_where(node), size, kernel_size(w), a.stride, a.dilation, a.padding)
    return (((x.shape[0], rows, columns, w.shape[3]), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt, wt, bt), out = attrs(node), graph.ins(node), graph.out(node)
    x, w, b = args
    real = xt.dtype == "float32"
    zero, wide = (0, np.float32) if real else (xt.zero_point, np.int64)
    seen = window.windows(x, kernel_size(wt), a.stride, a.dilation, a.padding, zero)
    w = hybrid.real(wt, w) if real else w
    taps, multiplier = w[0].astype(wide), w.shape[3] // x.shape[3]
    acc = np.zeros((*seen.shape[:3], taps.shape[2]), wide)
    for k, t in np.ndindex(taps.shape[:2]):  # TFLM's order of additions, which float32 results depend on
        part = seen[:, :, :, k, t] if real else seen[:, :, :, k, t].astype(wide) - wide(zero)
        acc += (np.repeat(part, multiplier, axis=3) if multiplier > 1 else part) * taps[k, t]
    acc += b.astype(wide)
    if real:
        return (clamp_real(acc, a.activation),)
    m = requant.channel_multipliers(xt, wt, out, taps.shape[2])
    return (requant.finish(acc, m, out, a.activation, int16.rounding(bt)),)


def _access(node: Node, graph: Graph) -> Access:
    return Access("reduce", (Taps(),)) if reduces(node, graph) else images.convolution(node, graph)


def _macs(node: Node, graph: Graph) -> int:
    _, w, _ = graph.ins(node)
    return graph.out(node).elements * w.shape[1] * w.shape[2]


OPERATOR = Operator(
    attrs=DepthwiseConv2D,
    codecs=(Codec("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(*depthwise_mve.KERNELS, *depthwise_dsp.KERNELS, *depthwise_portable.KERNELS),
    expand=images.apart(window.taps),
    macs=_macs,
)
