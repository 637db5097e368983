"""Kernels of DEPTHWISE_CONV_2D in C99, for any core: what `lower` settles and how the weights are packed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycomp.ir import Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import hybrid, int4, int16, requant, wide_weights, window
from tinycomp.ops.base import c_type
from tinycomp.ops.depthwise_attrs import SUM_BYTES, attrs, is_int8, kernel_size, numbers, reduces


class Block(NamedTuple):
    """How the `columns` kernel walks a row: `pixels` outputs at a time, from these input columns of the block."""

    pixels: int
    columns: tuple[int, ...]
    cost: int


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
    weights = channels.reshape(out.shape[3], *kernel_size(w)) if by_channel else w.data[0]
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
    return Leaf(params, numbers(node, graph), consts)


def _lower_portable(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]: neighbouring channels are neighbouring bytes, as in the input."""
    (x, w, _), out = graph.ins(node), graph.out(node)
    multiplier = out.shape[3] // x.shape[3]
    acc, consts = _quantized(node, graph, by_channel=False)
    params = {
        "kh": w.shape[1], "edges": _edges(node, graph), "acc": acc, "expands": multiplier > 1,
        "channels": _together(multiplier),
    }  # fmt: skip
    return Leaf(params, numbers(node, graph) | _walk(node, graph), consts)


def lower_reduce(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]; only tap rows inside the image are folded into the bias."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    _, consts = _quantized(node, graph, by_channel=False)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    seen = w.data[0, a.padding[0] : a.padding[0] + x.rows].reshape(-1, out.shape[3]).T
    bias = requant.folded_bias(b.data, seen, x.zero_point)
    params = {"edges": _edges(node, graph), "acc": requant.accumulator_type(bias, seen)}
    counts = numbers(node, graph) | _walk(node, graph) | {"top": a.padding[0], "in_h": x.rows}
    return Leaf(params, counts, (consts[0], Const("bias", bias), *consts[2:]), scratch=SUM_BYTES * out.elements)


def _lower_int4_columns(node: Node, graph: Graph) -> Leaf:
    """Weights as [O][kh][kw] nibbles, each tap row's from a byte."""
    made = _lower_columns(node, graph)
    weights, *rest = made.consts
    return Leaf({**made.params, "packed": True}, made.numbers, (Const("weights", int4.packed(weights.data)), *rest))


def _by_packed_column(node: Node, graph: Graph) -> bool:
    return int4.is_int4(node, graph) and _block(node, graph) is not None


def _lower_int4(node: Node, graph: Graph) -> Leaf:
    """Weights as [kh][kw][O] nibbles, each tap's from a byte."""
    _, w, _ = graph.ins(node)
    assert w.data is not None  # `infer` has refused others
    made = _lower_portable(node, graph)
    counts = {**made.numbers, "tap_bytes": -(-w.shape[3] // 2)}
    return Leaf(made.params, counts, (Const("weights", int4.packed(w.data[0])), *made.consts[1:]))


def _lower_int16(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]."""
    (x, w, b), out = graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    multiplier = out.shape[3] // x.shape[3]
    channels = w.data.reshape(-1, out.shape[3]).T
    found = int16.rescaling(node, graph, channels, attrs(node).activation, int16.rounding(b))
    params = {
        "kh": w.shape[1], "edges": _edges(node, graph), "expands": multiplier > 1,
        "channels": _together(multiplier),
    }  # fmt: skip
    counts = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3], "multiplier": multiplier,
    }  # fmt: skip
    consts = (Const("weights", w.data[0]), *found.consts)
    return Leaf(params | found.params, counts | _walk(node, graph) | found.numbers, consts)


def _together(multiplier: int) -> int:
    """Channels of one step of the kernels that loop over taps: neighbours that read neighbours, or all the same."""
    return 4 if multiplier % 4 == 0 or multiplier == 1 else 2 if multiplier % 2 == 0 else 1


def _lower_wide(node: Node, graph: Graph) -> Leaf:
    """Weights in the file's order, [kh][kw][O]."""
    params = {"kh": graph.ins(node)[1].shape[1], "edges": _edges(node, graph),
              "expands": graph.out(node).shape[3] != graph.ins(node)[0].shape[3]}  # fmt: skip
    return wide_weights.leaf(node, graph, 3, params, numbers(node, graph) | _walk(node, graph))


def _lower_float(node: Node, graph: Graph) -> Leaf:
    """Weights stay as in the file, [kh][kw][O]."""
    a, (_, w, b) = attrs(node), graph.ins(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    params = {"kh": w.shape[1], "edges": _edges(node, graph), "activation": a.activation, "weight": c_type(w)}
    scales = hybrid.scale_consts(node, graph, w.shape[3])
    consts = (Const("weights", w.data[0]), Const("bias", b.data), *scales)
    return Leaf(params, numbers(node, graph) | _walk(node, graph), consts)


def _by_column(node: Node, graph: Graph) -> bool:
    return is_int8(node, graph) and not reduces(node, graph) and _block(node, graph) is not None


def _by_window(node: Node, graph: Graph) -> bool:
    return is_int8(node, graph) and not reduces(node, graph)


_INT8_HELPERS = ("requantize", "clamp_int8")

KERNELS = (
    Kernel("reduce", lower_reduce, lambda n, g: is_int8(n, g) and reduces(n, g), helpers=_INT8_HELPERS),
    Kernel("columns", _lower_columns, _by_column, helpers=_INT8_HELPERS),
    Kernel("portable", _lower_portable, _by_window, helpers=_INT8_HELPERS),
    Kernel("int4_columns", _lower_int4_columns, _by_packed_column, helpers=int4.HELPERS),
    Kernel("int4", _lower_int4, int4.is_int4, helpers=int4.HELPERS),
    Kernel("wide_weights", _lower_wide, wide_weights.is_wide, helpers=wide_weights.HELPERS),
    Kernel("int16", _lower_int16, int16.is_int16, helpers=int16.HELPERS),
    Kernel("float", _lower_float, lambda n, g: g.ins(n)[0].dtype == "float32"),
)
