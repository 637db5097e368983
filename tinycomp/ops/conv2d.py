"""CONV_2D: [N, H, W, C] × weights [O, kh, kw, C/groups] → [N, OH, OW, O].

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/conv.h, reference/conv.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf, restricted
from tinycomp.ops import (
    conv2d_blocks,
    conv2d_dsp,
    conv2d_int4,
    conv2d_int16,
    conv2d_mve,
    conv2d_swar,
    hybrid,
    images,
    int16,
    requant,
    swar,
    wide_weights,
    window,
)
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
)


@dataclass(frozen=True)
class Conv2D(window.Convolution):
    """As every convolution."""

    op: ClassVar[str] = "conv2d"


def attrs(node: Node) -> Conv2D:
    """The node's attributes, typed."""
    return cast(Conv2D, node.attrs)


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    x, weights = source.input(0), source.input(1)
    if len(x.shape) != 4 or len(weights.shape) != 4:
        raise BadInput(f"needs 4-D input and weights, found {list(x.shape)} and {list(weights.shape)}", where=where)
    stride = window.pair(source.options, "stride_h", "stride_w", where)
    dilation = window.pair(source.options, "dilation_h_factor", "dilation_w_factor", where)
    kernel = weights.shape[1:3]
    padding = window.padding_of(source, (x.shape[1], x.shape[2]), (kernel[0], kernel[1]), stride, dilation)
    bias = requant.bias_of(source, 2, x, weights, weights.shape[0])
    return Parsed(Conv2D(stride, dilation, padding, source.activation()), (x, weights, bias))


def _write(node: Node, graph: Graph) -> Written:
    a, (x, w, _) = attrs(node), graph.ins(node)
    wide_weights.require_writable(node, graph)
    scheme = window.scheme_of((x.shape[1], x.shape[2]), (w.shape[1], w.shape[2]), a.stride, a.dilation, a.padding)
    if scheme is None:
        raise Unsupported(f"padding {a.padding} has no name in TFLite (SAME and VALID do)", where=node.name,
                          fix="put a PAD before it")  # fmt: skip
    options = {
        "padding": scheme, "stride_h": a.stride[0], "stride_w": a.stride[1], "dilation_h_factor": a.dilation[0],
        "dilation_w_factor": a.dilation[1], "fused_activation_function": ACTIVATIONS.index(a.activation),
    }  # fmt: skip
    return Written(options, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x, w, b) = attrs(node), graph.ins(node)
    require_dtype(node, graph, requant.WEIGHTED)
    if w.shape[3] == 0 or x.shape[3] % w.shape[3] or w.shape[0] % (x.shape[3] // w.shape[3]):
        raise BadInput(f"input has {x.shape[3]} channels and weights {w.name!r} are {list(w.shape)}; "
                       "neither dense nor grouped", where=f"{node.name} (conv2d)")  # fmt: skip
    requant.require_weights(f"{node.name} (conv2d)", x, w, b, graph.out(node), axis=0)
    if x.dtype == "int16":
        int16.require_weighted(node, graph, 0, int16.rounding(b), narrow=True)
    wide_weights.require_span(node, graph)
    if wide_weights.is_wide(node, graph) and x.shape[3] != w.shape[3]:
        raise Unsupported("has groups of channels and weights of uint8", where=f"{node.name} (conv2d)",
                          fix="export the model as full-integer int8")  # fmt: skip
    top, bottom, left, right = a.padding
    h = window.output_size(x.shape[1], w.shape[1], a.stride[0], a.dilation[0], top, bottom)
    wide = window.output_size(x.shape[2], w.shape[2], a.stride[1], a.dilation[1], left, right)
    return (((x.shape[0], h, wide, w.shape[0]), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt, wt, bt), out = attrs(node), graph.ins(node), graph.out(node)
    x, w, b = args
    groups = x.shape[3] // w.shape[3]
    zero = 0 if xt.dtype == "float32" else xt.zero_point
    wide = np.float32 if xt.dtype == "float32" else requant.exact_float(xt.dtype, w)
    real = x.astype(wide) - wide(zero)
    seen = np.asarray(window.windows(real, (w.shape[1], w.shape[2]), a.stride, a.dilation, a.padding, 0), wide)
    parts = np.split(seen, groups, axis=5) if groups > 1 else [seen]
    w = hybrid.real(wt, w) if xt.dtype == "float32" else w
    kernels = np.split(w.astype(wide), groups, axis=0) if groups > 1 else [w.astype(wide)]
    acc = np.concatenate(
        [np.tensordot(p, k, axes=((3, 4, 5), (1, 2, 3))) for p, k in zip(parts, kernels, strict=True)], axis=3
    )
    if xt.dtype == "float32":
        return (clamp_real((acc + b.astype(np.float32)).astype(np.float32), a.activation),)
    m = requant.channel_multipliers(xt, wt, out, acc.shape[-1])
    return (requant.finish(acc.astype(np.int64) + b.astype(np.int64), m, out, a.activation, int16.rounding(bt)),)


def _macs(node: Node, graph: Graph) -> int:
    _, w, _ = graph.ins(node)
    return graph.out(node).elements * w.elements // w.shape[0]


def _edges(node: Node, graph: Graph) -> bool:
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    return window.leaves_image(x.shape[2], w.shape[2], out.shape[2], a.stride[1], a.dilation[1], a.padding[2])


def _lower(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [O][kh][kw][C/groups]: each tap row of kw·C bytes is contiguous, as in the input."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    numbers = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3],
        "kw": w.shape[2], "stride": a.stride[1], "dilation": a.dilation[1], "left": a.padding[2],
        "tap_c": w.shape[3], "group_out": out.shape[3] * w.shape[3] // x.shape[3],
    }  # fmt: skip
    params = {
        "type": c_type(x), "kh": w.shape[1], "edges": _edges(node, graph),
        "contiguous": a.dilation[1] == 1 and x.shape[3] == w.shape[3],
        "groups": x.shape[3] // w.shape[3], "activation": a.activation,
    }  # fmt: skip
    if x.dtype == "float32":
        scales = hybrid.scale_consts(node, graph, out.shape[3])
        params |= {"weight": c_type(w)}
        return Leaf(params, numbers, (Const("weights", w.data), Const("bias", b.data), *scales))
    m = requant.channel_multipliers(x, w, out, out.shape[3])
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    bias = requant.folded_bias(b.data, w.data, x.zero_point)
    numbers |= {"in_zero": x.zero_point, "out_zero": out.zero_point, "low": low, "high": high}
    params |= {"acc": requant.accumulator_type(bias, w.data)}
    return Leaf(params, numbers, (Const("weights", w.data), Const("bias", bias), *requant.requant_consts(m)))


def _lower_wide(node: Node, graph: Graph) -> Leaf:
    """Weights in the file's order, [O][kh][kw][C]."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    numbers = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3], "kw": w.shape[2],
        "stride": a.stride[1], "dilation": a.dilation[1], "left": a.padding[2], "low": low, "high": high,
    }  # fmt: skip
    params = {"kh": w.shape[1], "edges": _edges(node, graph), "requantize": "requantize"}
    return wide_weights.leaf(node, graph, 0, params, numbers)


def _walk(node: Node) -> conv2d_dsp.Walk:
    a = attrs(node)
    return conv2d_dsp.Walk(a.stride[1], a.dilation[1], a.padding[2], a.activation)


def _dsp_rows(dual: bool) -> tuple[Kernel, ...]:
    core = "dual" if dual else "dsp"
    features = frozenset({"dsp", "dual_issue"} if dual else {"dsp"})
    return (
        Kernel(f"pointwise_{core}", lambda n, g: conv2d_dsp.lower_pointwise(n, g, _walk(n), dual),
               lambda n, g: conv2d_dsp.takes_pointwise(n, g, _walk(n)), features, conv2d_dsp.HELPERS),
        Kernel(f"window_{core}", lambda n, g: conv2d_dsp.lower_window(n, g, _walk(n), dual),
               lambda n, g: conv2d_dsp.takes_window(n, g, _walk(n)), features, conv2d_dsp.WINDOW_HELPERS),
    )  # fmt: skip


def _is_int8(node: Node, graph: Graph) -> bool:
    x, w, _ = graph.ins(node)
    return (x.dtype, w.dtype) == ("int8", "int8")


def _blocks(core: str, block: conv2d_blocks.Block) -> Kernel:
    helpers = conv2d_blocks.WIDE_HELPERS if block.wide else conv2d_blocks.HELPERS
    return Kernel(f"blocks_{core}", lambda n, g: conv2d_blocks.lower(n, g, _walk(n), block),
                  lambda n, g: conv2d_blocks.takes(n, g, _walk(n)), frozenset({core}), helpers)  # fmt: skip


_INT8 = (
    *conv2d_mve.rows(_walk),
    *_dsp_rows(dual=True),
    *_dsp_rows(dual=False),
    Kernel(
        "vector",
        lambda n, g: conv2d_swar.lower_vector(n, g, _walk(n)),
        lambda n, g: conv2d_swar.takes_vector(n, g, _walk(n)),
        frozenset({"thumb1"}),
        swar.VECTOR_HELPERS,
    ),
    Kernel(
        "swar",
        lambda n, g: conv2d_swar.lower(n, g, _walk(n)),
        lambda n, g: conv2d_swar.takes(n, g, _walk(n)),
        frozenset({"thumb1"}),
        conv2d_swar.HELPERS,
    ),
    _blocks("thumb2", conv2d_blocks.Block(2, 4)),
    _blocks("riscv", conv2d_blocks.Block(4, 4)),
    _blocks("xtensa", conv2d_blocks.Block(3, 2, wide=True)),
    Kernel("portable", _lower, helpers=("requantize", "clamp_int8")),
)

OPERATOR = Operator(
    attrs=Conv2D,
    codecs=(Codec("CONV_2D", "Conv2DOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=images.convolution,
    kernels=(
        *restricted(_INT8, _is_int8),
        *conv2d_int4.rows(_walk),
        *conv2d_int16.rows(_walk),
        Kernel("wide_weights", _lower_wide, wide_weights.is_wide, helpers=wide_weights.HELPERS),
        Kernel("float", _lower, lambda n, g: g.ins(n)[0].dtype == "float32"),
    ),
    expand=images.apart(window.taps),
    macs=_macs,
)
