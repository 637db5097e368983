"""Kernels of DEPTHWISE_CONV_2D for cores with the DSP extension (SMLAD and its relatives), such as Cortex-M4."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf, Param
from tinycomp.ops import requant, requant_dsp, window
from tinycomp.ops.arm_code import REGISTERS, Code, cycles, finish, four_channels, four_results, pool_size
from tinycomp.ops.depthwise_attrs import attrs, is_int8, kernel_size, reduces
from tinycomp.ops.depthwise_block import POINTERS, Block, Layout, block, fits
from tinycomp.ops.depthwise_portable import lower_reduce

DSP = frozenset({"dsp"})
MOST_PIXELS = 6
LONGEST = 640  # instructions of a block: 2.5 KB
FARTHEST = 4095  # bytes that an ADD's constant can say
INT16 = 2**15


class Form(TypedDict):
    """How accumulators become int8 (ops/requant_dsp.py). two: rounded twice. right: the shift of all channels, None
    where each has its own. low, high: the fused clamp."""

    two: bool
    right: int | None
    low: int
    high: int


class Channels(NamedTuple):
    """What each output channel brings: weights [O, kh, kw] and bias [O], scaled by a power of two, and words of
    requantization [O, 2 or 3]: mantissa, offset, and the shift where channels do not share it."""

    weights: Array
    bias: Array
    scaling: Array
    form: Form


def channels(node: Node, graph: Graph) -> Channels | None:
    """The node's channels, None where no form of requantization is proven exact."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    weights = w.data.reshape(-1, out.shape[3]).T.astype(np.int64)
    bias = requant.folded_bias(b.data, weights, x.zero_point).astype(np.int64)
    bounds = requant_dsp.accumulator_bounds(bias, weights)
    multipliers = requant.channel_multipliers(x, w, out, out.shape[3])
    low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
    most = _most_left(weights)
    if (one := requant_dsp.one_floor(multipliers, bounds, out.zero_point, low, most_left=most)) is not None:
        left, columns = one.left, [one.mantissa, one.offset, *([one.right] if one.common is None else [])]
        form = Form(two=False, right=one.common, low=low, high=high)
    elif (two := requant_dsp.two_roundings(multipliers, bounds, out.zero_point)) is not None:
        left, columns = np.ones_like(bounds), [two.mantissa, two.offset, two.right]
        form = Form(two=True, right=None, low=low, high=high)
    else:
        return None
    shaped = (weights << left[:, None]).reshape(out.shape[3], *kernel_size(w))
    return Channels(shaped, bias << left, np.stack(columns, axis=1), form)


def _most_left(weights: Array) -> qmath.Int64:
    """By how much each channel's weights can be shifted and still be 16-bit numbers."""
    shifts = np.arange(16)
    low = weights.min(axis=1, initial=0)[:, None] << shifts
    high = weights.max(axis=1, initial=0)[:, None] << shifts
    return ((low >= -INT16) & (high < INT16)).sum(axis=1) - 1


def halves(low: Array, high: Array | int = 0) -> qmath.Int64:
    """Pairs of 16-bit numbers as int32 words, `low` in the low half."""
    words = (np.asarray(low, np.int64) & 0xFFFF) | (np.asarray(high, np.int64) & 0xFFFF) << 16
    return words - ((words >> 31) << 32)


class Strip(NamedTuple):
    """How `dsp_strip` walks a row: `blocks` blocks of `pixels` outputs, then one of `rest`.

    `whole`: one block is the row, and its strip holds the image's columns alone; else the strip is padded.
    """

    pixels: int
    blocks: int
    rest: int
    whole: bool
    cost: int


def _layout(node: Node, graph: Graph, pixels: int, whole: bool) -> Layout:
    a, (x, w, _) = attrs(node), graph.ins(node)
    (kh, kw), stride, left = kernel_size(w), a.stride[1], a.padding[2] if whole else 0
    columns = (pixels - 1) * stride + kw - left
    group = 8 if x.shape[3] >= 8 else 4 if x.shape[3] > 1 else 1
    return Layout(kh, kw, stride, -left, min(columns, x.shape[2]) if whole else columns, group)


def _code(node: Node, graph: Graph, made: Channels, pixels: int, whole: bool) -> tuple[Block, Code]:
    """A block, and its code with the requantization."""
    made_of = block(_layout(node, graph, pixels, whole), pixels)
    pool = [f"r{i}" for i in range(REGISTERS - POINTERS - pixels)]
    return made_of, made_of.code + finish([f"a{i}" for i in range(pixels)], pool, **made.form)


def _strip(node: Node, graph: Graph, made: Channels) -> Strip | None:
    """The cheapest walk, in cycles of a channel and row; None where no block fits the registers."""
    stride, out_w = attrs(node).stride[1], graph.out(node).shape[2]

    def cost(pixels: int, whole: bool) -> int | None:
        at = _layout(node, graph, pixels, whole)
        if not fits(at, pixels):
            return None
        code = _code(node, graph, made, pixels, whole)[1]
        return cycles(code) + 10 if len(code) <= LONGEST and pixels * stride // 2 * at.unit <= FARTHEST else None

    found: list[Strip] = []
    if out_w <= MOST_PIXELS and (own := cost(out_w, True)) is not None:
        found.append(Strip(out_w, 1, 0, True, own + _gathering(_layout(node, graph, out_w, True))))
    for pixels in range(1, min(MOST_PIXELS, out_w - 1) + 1):
        count, rest = divmod(out_w, pixels)
        one, end = cost(pixels, False), cost(rest, False) if rest else 0
        if pixels * stride % 2 == 0 and one is not None and end is not None:
            row = _gathering(_layout(node, graph, out_w, False))
            found.append(Strip(pixels, count, rest, False, count * one + end + (20 if rest else 0) + row + 10))
    return min(found, key=lambda s: s.cost, default=None)


def _gathering(at: Layout) -> int:
    """About how many cycles of copying into the strip fall to one channel."""
    return 9 * at.kh * at.columns // 8


def _strips(node: Node, graph: Graph) -> bool:
    """int8, taps side by side, several pixels; a channel for each of four or more, or all made from one."""
    if not is_int8(node, graph) or reduces(node, graph):
        return False
    a, (_, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    if out.shape[2] == 1 or a.dilation[1] > 1 or a.stride[1] > 4 or a.padding[2] >= w.shape[2] or w.shape[2] > 8:
        return False
    made = channels(node, graph)
    return made is not None and _strip(node, graph, made) is not None


def _stream(made: Channels, of: Block, zero_point: int) -> Array:
    """Words by channel in the order in which the code reads them: biases, weights, requantization.

    The folded bias counts every tap; what a set of taps leaves out is padding at the zero point.
    """
    w = made.weights
    columns = [made.bias + zero_point * np.delete(w, taps, axis=2).sum(axis=(1, 2)) for taps in of.biases]
    columns += [halves(w[:, a[0], a[1]], 0 if b is None else w[:, b[0], b[1]]) for a, b in of.weights]
    return np.concatenate([np.stack(columns, axis=1), made.scaling], axis=1).astype(np.int32)


def _lower_strip(node: Node, graph: Graph) -> Leaf:
    """Scratch: the strip, which begins at a multiple of its slots; its last word may be read one byte further on."""
    a, (x, _, _), out = attrs(node), graph.ins(node), graph.out(node)
    made = channels(node, graph)
    assert made is not None  # `accepts` has asked
    chosen = _strip(node, graph, made)
    assert chosen is not None
    at = _layout(node, graph, chosen.pixels, chosen.whole)
    main, code = _code(node, graph, made, chosen.pixels, chosen.whole)
    rest, rest_code = _code(node, graph, made, chosen.rest, False) if chosen.rest else (None, ())
    assert rest is None or (rest.biases, rest.weights) == (main.biases, main.weights)
    columns = at.columns if chosen.whole else _layout(node, graph, out.shape[2], False).columns
    units, stream = (columns + 1) // 2, _stream(made, main, x.zero_point)
    left = 0 if chosen.whole else a.padding[2]
    half, image = left % 2, min(x.shape[2], columns - left)  # columns of the image that the strip holds
    inside, last = divmod(image - half, 2)
    params: dict[str, Param] = {
        "kh": at.kh, "mixed": at.mixed, "unit_words": at.unit // 4,
        "padded": not chosen.whole, "half": half > 0, "last": last > 0, "entry": stream.shape[1],
        "pixels": chosen.pixels, "code": code, "pool": pool_size(code), "loops": chosen.blocks > 1,
        "rest": chosen.rest, "rest_code": rest_code, "rest_pool": pool_size(rest_code),
        "step": chosen.pixels * at.stride // 2 * at.unit,
    }  # fmt: skip
    numbers = {
        "first": left // 2, "inside": inside, "count": chosen.blocks, "units": units,
        "before": (left + 1) // 2, "after": (left + image) // 2,
    }  # fmt: skip
    weights = (Const("weights", stream),)
    if at.group == 1:
        numbers |= {"out_c": out.shape[3], "in_zero": x.zero_point}
        return Leaf(params, numbers, weights, units * at.unit, frozenset(numbers))
    numbers |= {"in_c": x.shape[3], "zero_bytes": _four(x.zero_point)}
    return Leaf(params | {"group": at.group}, numbers, weights, at.slot + units * at.unit, frozenset(numbers))


def _by_channel(node: Node, graph: Graph) -> bool:
    x, out = graph.ins(node)[0], graph.out(node)
    return out.shape[3] == x.shape[3] >= 4 and _strips(node, graph)


def _expands(node: Node, graph: Graph) -> bool:
    x, out = graph.ins(node)[0], graph.out(node)
    return x.shape[3] == 1 < out.shape[3] and _strips(node, graph)


def _by_four(node: Node, graph: Graph) -> bool:
    x, w, _ = graph.ins(node)
    shaped = is_int8(node, graph) and not reduces(node, graph) and graph.out(node).shape[3] == x.shape[3] >= 4
    return shaped and w.shape[1] <= 16 and channels(node, graph) is not None


def _lower_channels(node: Node, graph: Graph) -> Leaf:
    """Words by four channels: biases; weights by tap column and pair of tap rows; each channel's requantization."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    made = channels(node, graph)
    assert made is not None  # `accepts` has asked
    kh, kw = kernel_size(w)
    taps = [halves(made.weights[:, k, t], made.weights[:, k + 1, t] if k + 1 < kh else 0)
            for t in range(kw) for k in range(0, kh, 2)]  # fmt: skip
    before = np.stack([made.bias, *taps], axis=0)  # [words of a channel, channels]
    groups = [slice(c, c + 4) for c in (min(c, x.shape[3] - 4) for c in range(0, x.shape[3], 4))]
    stream = np.stack([np.concatenate([before[:, g].ravel(), made.scaling[g].ravel()]) for g in groups])
    edges = window.leaves_image(x.shape[2], kw, out.shape[2], a.stride[1], a.dilation[1], a.padding[2])
    code, end = four_channels(kh), four_results(**made.form)
    params: dict[str, Param] = {
        "kh": kh, "kw": kw, "edges": edges, "code": code, "end": end, "end_pool": pool_size(end),
    }  # fmt: skip
    numbers = {
        "in_w": x.shape[2], "in_c": x.shape[3], "out_w": out.shape[2], "stride": a.stride[1], "left": a.padding[2],
        "dilation": a.dilation[1], "zeros": _four(x.zero_point),
    }  # fmt: skip
    return Leaf(params, numbers, (Const("weights", stream.astype(np.int32)),), shared=frozenset(numbers))


def _reduces_by_four(node: Node, graph: Graph) -> bool:
    x, out = graph.ins(node)[0], graph.out(node)
    shaped = reduces(node, graph) and out.shape[3] == x.shape[3] >= 4
    return shaped and lower_reduce(node, graph).params["acc"] == "int32_t"


def _lower_reduce(node: Node, graph: Graph) -> Leaf:
    made, x = lower_reduce(node, graph), graph.ins(node)[0]
    params = {"edges": made.params["edges"], "rest": x.shape[3] % 4 > 0}
    numbers = {name: n for name, n in made.numbers.items() if name not in ("out_c", "multiplier")}
    return Leaf(params, numbers | {"zeros": _four(x.zero_point)}, made.consts, made.scratch)


def _four(byte: int) -> int:
    """A word of four equal bytes."""
    return int.from_bytes(byte.to_bytes(1, "little", signed=True) * 4, "little", signed=True)


KERNELS = (
    Kernel("dsp_strip", _lower_strip, _by_channel, DSP, ("pack4", "pack8")),
    Kernel("dsp_expand", _lower_strip, _expands, DSP, ("pack_low",)),
    Kernel("reduce_dsp", _lower_reduce, _reduces_by_four, DSP, ("load_word", "sxtb16", "requantize", "clamp_int8")),
    Kernel("dsp_channels", _lower_channels, _by_four, DSP, ("load_word",)),
)
