"""DEPTHWISE_CONV_2D: [N, H, W, C] × weights [1, kh, kw, C·multiplier] → [N, OH, OW, C·multiplier].

Output channel o reads input channel o // multiplier.
Sources: tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h, reference/depthwiseconv_float.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Taps
from tinycomp.ops import requant, window
from tinycomp.ops.base import ACTIVATIONS, Codec, Operator, Parsed, Shape, Source, Written, clamp_real, require_dtype


@dataclass(frozen=True)
class DepthwiseConv2D(Attrs):
    """stride and dilation as (height, width), padding as (top, bottom, left, right)."""

    op: ClassVar[str] = "depthwise_conv2d"
    stride: window.Pair = (1, 1)
    dilation: window.Pair = (1, 1)
    padding: window.Padding = (0, 0, 0, 0)
    activation: str = "none"


def attrs(node: Node) -> DepthwiseConv2D:
    """The node's attributes, typed."""
    return cast(DepthwiseConv2D, node.attrs)


def _where(node: Node) -> str:
    return f"{node.name} ({node.op})"


def _kernel(weights: Tensor) -> window.Pair:
    return weights.shape[1], weights.shape[2]


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
    padding = window.padding_of(source, (x.shape[1], x.shape[2]), _kernel(weights), stride, dilation)
    bias = source.inputs[2] if len(source.inputs) > 2 else None
    if bias is None:
        bias = requant.zero_bias(f"{source.name}/bias", x, weights, weights.shape[3])
    return Parsed(DepthwiseConv2D(stride, dilation, padding, source.activation()), (x, weights, bias))


def _write(node: Node, graph: Graph) -> Written:
    a, (x, w, _) = attrs(node), graph.ins(node)
    size = (x.shape[1], x.shape[2])
    options = {
        "padding": window.named_scheme(node.name, size, _kernel(w), a.stride, a.dilation, a.padding),
        "stride_h": a.stride[0], "stride_w": a.stride[1], "depth_multiplier": w.shape[3] // x.shape[3],
        "dilation_h_factor": a.dilation[0], "dilation_w_factor": a.dilation[1],
        "fused_activation_function": ACTIVATIONS.index(a.activation),
    }  # fmt: skip
    return Written(options, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x, w, b) = attrs(node), graph.ins(node)
    require_dtype(node, graph, [("int8", "int8", "int8"), ("float32", "float32", "float32")])
    if w.shape[0] != 1 or w.shape[3] % x.shape[3]:
        raise BadInput(f"input has {x.shape[3]} channels and weights {w.name!r} are {list(w.shape)}, expected "
                       "[1, height, width, channels × multiplier]", where=_where(node))  # fmt: skip
    requant.require_weights(_where(node), x, w, b, graph.out(node), axis=3)
    size = (x.shape[1], x.shape[2])
    rows, columns = window.positions(_where(node), size, _kernel(w), a.stride, a.dilation, a.padding)
    return (((x.shape[0], rows, columns, w.shape[3]), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt, wt, _), out = attrs(node), graph.ins(node), graph.out(node)
    x, w, b = args
    real = xt.dtype == "float32"
    zero, wide = (0, np.float32) if real else (xt.zero_point, np.int64)
    seen = window.windows(x, _kernel(wt), a.stride, a.dilation, a.padding, zero)
    taps, multiplier = w[0].astype(wide), w.shape[3] // x.shape[3]
    acc = np.zeros((*seen.shape[:3], taps.shape[2]), wide)
    for k, t in np.ndindex(taps.shape[:2]):  # TFLM's order of additions, which float32 results depend on
        acc += np.repeat(seen[:, :, :, k, t].astype(wide) - wide(zero), multiplier, axis=3) * taps[k, t]
    acc += b.astype(wide)
    if real:
        return (clamp_real(acc, a.activation),)
    m = requant.channel_multipliers(xt, wt, out, taps.shape[2])
    return (requant.finish(acc, m, out, a.activation),)


def _access(node: Node, graph: Graph) -> Access:
    a, (x, w, _) = attrs(node), graph.ins(node)
    if _reduces(node, graph):
        return Access("reduce", (Taps(),))
    zero = 0 if x.dtype == "float32" else x.zero_point & 0xFF
    return Access("window", (Taps(w.shape[1], a.stride[0], a.dilation[0], a.padding[0]),), pad=zero)


def _reduces(node: Node, graph: Graph) -> bool:
    """One output row from all input rows, whose sums take less room than the rows: keep the sums."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    all_rows = out.rows == 1 and a.dilation[0] == 1 and 1 < x.rows <= w.shape[1] - a.padding[0]
    return all_rows and x.dtype == "int8" and SUM_BYTES * out.elements < x.bytes


def _macs(node: Node, graph: Graph) -> int:
    _, w, _ = graph.ins(node)
    return graph.out(node).elements * w.shape[1] * w.shape[2]


class Block(NamedTuple):
    """How the `columns` kernel walks a row: `pixels` outputs at a time, from these input columns of the block."""

    pixels: int
    columns: tuple[int, ...]
    cost: int


SUM_BYTES = 4
MOST_COLUMNS = 16  # a block's loads are written out, and more of them is more code than the speed is worth
REQUANTIZE = 8  # cycles for each output and tap row of a 3×3 kernel
REGISTERS = 13  # general registers of an ARM core; RISC-V and Xtensa have about as many left or more


def block(out_w: int, kw: int, stride: int, dilation: int) -> Block | None:
    """The cheapest block for a row of out_w pixels, None where neighbouring pixels have nothing worth sharing.

    The cost counts the loads and multiply-adds of one channel in one tap row, and a share of the requantization. The
    last block is moved back to end with the row, so pixels that do not fill a block are computed twice.
    """
    found: list[Block] = []
    for pixels in range(2, min(6, out_w) + 1):
        columns = tuple(sorted({p * stride + t * dilation for p in range(pixels) for t in range(kw)}))
        if len(columns) > MOST_COLUMNS:
            break
        spills = 2 * max(0, pixels + kw + 5 - REGISTERS)
        cost = -(-out_w // pixels) * (len(columns) + kw + 1 + pixels * (kw + REQUANTIZE) + spills)
        found.append(Block(pixels, columns, cost))
    return min(found, key=lambda b: b.cost, default=None)


def _block(node: Node, graph: Graph) -> Block | None:
    a, (_, w, _) = attrs(node), graph.ins(node)
    return block(graph.out(node).shape[2], w.shape[2], a.stride[1], a.dilation[1])


def _numbers(node: Node, graph: Graph) -> dict[str, int]:
    """What every kernel counts with."""
    a, (x, _, _), out = attrs(node), graph.ins(node), graph.out(node)
    numbers = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3],
        "multiplier": out.shape[3] // x.shape[3],
    }  # fmt: skip
    if x.dtype == "float32":
        return numbers
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    return numbers | {"in_zero": x.zero_point, "out_zero": out.zero_point, "low": low, "high": high}


def _walk(node: Node, graph: Graph) -> dict[str, int]:
    """How the kernels that loop over taps step along a row."""
    a, (_, w, _) = attrs(node), graph.ins(node)
    return {"kw": w.shape[2], "stride": a.stride[1], "dilation": a.dilation[1], "left": a.padding[2]}


def _edges(node: Node, graph: Graph) -> bool:
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    return window.leaves_image(x.shape[2], w.shape[2], out.shape[2], a.stride[1], a.dilation[1], a.padding[2])


def _quantized(node: Node, graph: Graph, by_channel: bool) -> tuple[str, tuple[Const, ...]]:
    """Accumulator type and data: weights as [O][kh][kw] or as in the file, biases, multipliers."""
    (x, w, b), out = graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    channels = np.ascontiguousarray(w.data.reshape(-1, out.shape[3]).T)
    bias = requant.folded_bias(b.data, channels, x.zero_point)
    m = requant.channel_multipliers(x, w, out, out.shape[3])
    weights = channels.reshape(out.shape[3], *_kernel(w)) if by_channel else w.data[0]
    consts = (Const("weights", weights), Const("bias", bias), *requant.requant_consts(m))
    return requant.accumulator_type(bias, channels), consts


def _lower_columns(node: Node, graph: Graph) -> Leaf:
    """Weights as [O][kh][kw]: a block of pixels of one channel reads straight on."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    chosen = _block(node, graph)
    assert chosen is not None  # `accepts` has asked
    past = window.beyond(x.shape[2], w.shape[2], out.shape[2], a.stride[1], a.dilation[1], a.padding[2])
    acc, consts = _quantized(node, graph, by_channel=True)
    params = {
        "kh": w.shape[1], "kw": w.shape[2], "stride": a.stride[1], "dilation": a.dilation[1], "acc": acc,
        "pixels": chosen.pixels, "columns": chosen.columns, "overlap": out.shape[2] % chosen.pixels > 0,
        "left": a.padding[2], "inside": chosen.columns[-1] + 1 - past, "expands": out.shape[3] != x.shape[3],
    }  # fmt: skip
    return Leaf(params, _numbers(node, graph), consts)


def _lower_portable(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]: neighbouring channels are neighbouring bytes, as in the input."""
    (x, w, _), out = graph.ins(node), graph.out(node)
    multiplier = out.shape[3] // x.shape[3]
    acc, consts = _quantized(node, graph, by_channel=False)
    params = {
        "kh": w.shape[1], "edges": _edges(node, graph), "acc": acc, "expands": multiplier > 1,
        "channels": 4 if multiplier % 4 == 0 or multiplier == 1 else 2 if multiplier % 2 == 0 else 1,
    }  # fmt: skip
    return Leaf(params, _numbers(node, graph) | _walk(node, graph), consts)


def _lower_reduce(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]; only tap rows inside the image are folded into the bias."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    _, consts = _quantized(node, graph, by_channel=False)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    seen = w.data[0, a.padding[0] : a.padding[0] + x.rows].reshape(-1, out.shape[3]).T
    bias = requant.folded_bias(b.data, seen, x.zero_point)
    params = {"edges": _edges(node, graph), "acc": requant.accumulator_type(bias, seen)}
    numbers = _numbers(node, graph) | _walk(node, graph) | {"top": a.padding[0], "in_h": x.rows}
    return Leaf(params, numbers, (consts[0], Const("bias", bias), *consts[2:]), scratch=SUM_BYTES * out.elements)


def _lower_float(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]."""
    a, (_, w, b) = attrs(node), graph.ins(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    params = {"kh": w.shape[1], "edges": _edges(node, graph), "activation": a.activation}
    consts = (Const("weights", w.data[0]), Const("bias", b.data))
    return Leaf(params, _numbers(node, graph) | _walk(node, graph), consts)


def _is_int8(node: Node, graph: Graph) -> bool:
    return graph.ins(node)[0].dtype == "int8"


def _by_window(node: Node, graph: Graph) -> bool:
    return _is_int8(node, graph) and not _reduces(node, graph)


def _by_column(node: Node, graph: Graph) -> bool:
    return _by_window(node, graph) and _block(node, graph) is not None


_INT8_HELPERS = ("requantize", "clamp_int8")

OPERATOR = Operator(
    attrs=DepthwiseConv2D,
    codecs=(Codec("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        Kernel("reduce", _lower_reduce, _reduces, helpers=_INT8_HELPERS),
        Kernel("columns", _lower_columns, _by_column, helpers=_INT8_HELPERS),
        Kernel("portable", _lower_portable, _by_window, helpers=_INT8_HELPERS),
        Kernel("float", _lower_float, lambda n, g: not _is_int8(n, g)),
    ),
    macs=_macs,
)
