"""How channels hang together, operator by operator: which live and die as one, which are mixed by weights.

A channel is an index of a tensor's last axis. Removing channels, because they are constant, because nobody reads them
or because a search has chosen them, needs two facts of each operator: its ties, and how its constants and attributes
shrink. Both stand in TABLE; an operator that is not there keeps every channel of its inputs and outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinycomp.ir import Attrs, Graph, Node, Quant, Tensor
from tinycomp.ops import concatenation, mean, pad, reshape, transpose
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mul import Mul
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.sub import Sub
from tinycomp.ops.tanh import Tanh

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Kept = Mapping[str, Mask]


class Link(NamedTuple):
    """Channel inner[k] of input `operand` and channel outer[k] of the output live and die together."""

    operand: int
    inner: Indices
    outer: Indices


@dataclass(frozen=True)
class Ties:
    """One node's channels.

    links: channels of inputs and output that cannot go alone.
    mixes: the first input's channels reach the output's through weights alone, each output channel having weights of
        its own, so both sides are free.
    What neither says is fixed: an input or output without a link, of a node that does not mix, keeps its channels.
    """

    links: tuple[Link, ...] = ()
    mixes: bool = False


class Narrow(NamedTuple):
    """A node's attributes and its constants by input position, for fewer channels."""

    attrs: Attrs
    constants: Mapping[int, Tensor]


@dataclass(frozen=True)
class Entry:
    """A row of the table. `narrow` is asked with masks for at least one of the node's tensors."""

    ties: Callable[[Node, Graph], Ties]
    narrow: Callable[[Node, Graph, Kept], Narrow]


def ties(node: Node, graph: Graph) -> Ties:
    """The node's ties; none for an operator that the table does not know."""
    entry = TABLE.get(type(node.attrs))
    return entry.ties(node, graph) if entry else Ties()


def narrow(node: Node, graph: Graph, keep: Kept) -> Narrow:
    """The node for the channels that are kept, by tensor name; a tensor without a mask keeps all of them."""
    return TABLE[type(node.attrs)].narrow(node, graph, keep)


def channels(t: Tensor) -> int:
    """Length of the last axis, 1 for a scalar."""
    return t.shape[-1] if t.shape else 1


def take(t: Tensor, keep: Mask, axis: int) -> Tensor:
    """The tensor with the kept indices of one axis, its data and its per-channel quantization with it."""
    axis %= len(t.shape)
    shape = (*t.shape[:axis], int(keep.sum()), *t.shape[axis + 1 :])
    quant = t.quant
    if quant is not None and quant.per_channel and quant.axis == axis:
        kept = np.flatnonzero(keep).tolist()
        quant = Quant(tuple(quant.scale[i] for i in kept), tuple(quant.zero_point[i] for i in kept), axis)
    return replace(t, shape=shape, quant=quant, data=None if t.data is None else np.compress(keep, t.data, axis))


def connections(node: Node, graph: Graph) -> Mask:
    """[inputs, outputs] of a node that mixes: some weight between the two channels is not zero."""
    x, w, _ = graph.ins(node)
    assert w.data is not None  # the operators' `infer` has refused others
    used = w.data != 0
    if isinstance(node.attrs, FullyConnected):
        return used.reshape(len(used), -1, channels(x)).any(axis=1).T
    return used.any(axis=(1, 2)).T


def fewest(node: Node, graph: Graph) -> int:
    """How many output channels must stay: one, but two where a dense layer has a scale for each channel.

    One scale would read as per-tensor quantization, whose multiplier TFLM derives in float32.
    """
    quant = graph.ins(node)[1].quant if isinstance(node.attrs, FullyConnected) else None
    return 2 if quant is not None and quant.per_channel else 1


def _kept(node: Node, graph: Graph, keep: Kept) -> tuple[Mask, Mask]:
    """Masks of the first input's channels and of the output's."""
    x, out = graph.ins(node)[0], graph.out(node)
    full = (np.ones(channels(t), np.bool_) for t in (x, out))
    x_mask, out_mask = (keep.get(t.name, mask) for t, mask in zip((x, out), full, strict=True))
    return x_mask, out_mask


def _same(operand: int, count: int) -> Link:
    index = np.arange(count)
    return Link(operand, index, index)


def _unary(node: Node, graph: Graph) -> Ties:
    """Output channel c comes from input channel c."""
    return Ties((_same(0, channels(graph.out(node))),))


def _as_it_is(node: Node, graph: Graph, keep: Kept) -> Narrow:
    return Narrow(node.attrs, {})


def _conv(node: Node, graph: Graph) -> Ties:
    x, w, _ = graph.ins(node)
    return Ties(mixes=w.shape[3] == x.shape[3])  # a grouped convolution keeps its channels


def _narrow_conv(node: Node, graph: Graph, keep: Kept) -> Narrow:
    (_, w, b), (inner, outer) = graph.ins(node), _kept(node, graph, keep)
    return Narrow(node.attrs, {1: take(take(w, inner, 3), outer, 0), 2: take(b, outer, 0)})


def _dense(node: Node, graph: Graph) -> Ties:
    """Columns may run over several axes of the input, channels innermost."""
    x, w, _ = graph.ins(node)
    return Ties(mixes=w.shape[1] % channels(x) == 0)


def _narrow_dense(node: Node, graph: Graph, keep: Kept) -> Narrow:
    (_, w, b), (inner, outer) = graph.ins(node), _kept(node, graph, keep)
    columns = np.tile(inner, w.shape[1] // len(inner))
    return Narrow(node.attrs, {1: take(take(w, columns, 1), outer, 0), 2: take(b, outer, 0)})


def _depthwise(node: Node, graph: Graph) -> Ties:
    """Input channel c with output channels c · multiplier … c · multiplier + multiplier − 1."""
    inner, outer = channels(graph.ins(node)[0]), channels(graph.out(node))
    return Ties((Link(0, np.repeat(np.arange(inner), outer // inner), np.arange(outer)),))


def _narrow_depthwise(node: Node, graph: Graph, keep: Kept) -> Narrow:
    (_, w, b), (_, outer) = graph.ins(node), _kept(node, graph, keep)
    return Narrow(node.attrs, {1: take(w, outer, 3), 2: take(b, outer, 0)})


def _binary(node: Node, graph: Graph) -> Ties:
    """Both operands with the output, apart from an operand whose single channel is broadcast."""
    count = channels(graph.out(node))
    return Ties(tuple(_same(i, count) for i, t in enumerate(graph.ins(node)) if t.shape and channels(t) == count))


def _concatenation(node: Node, graph: Graph) -> Ties:
    ins, axis = graph.ins(node), concatenation.attrs(node).axis
    if axis != len(ins[0].shape) - 1:
        return Ties(tuple(_same(i, channels(graph.out(node))) for i in range(len(ins))))
    links: list[Link] = []
    start = 0
    for i, t in enumerate(ins):
        links.append(Link(i, np.arange(channels(t)), start + np.arange(channels(t))))
        start += channels(t)
    return Ties(tuple(links))


def _pad(node: Node, graph: Graph) -> Ties:
    return _unary(node, graph) if pad.attrs(node).paddings[-1] == (0, 0) else Ties()


def _mean(node: Node, graph: Graph) -> Ties:
    return Ties() if len(graph.ins(node)[0].shape) - 1 in mean.attrs(node).axes else _unary(node, graph)


def _transpose(node: Node, graph: Graph) -> Ties:
    perm = transpose.attrs(node).perm
    return _unary(node, graph) if perm[-1:] == (len(perm) - 1,) else Ties()


def _reshape(node: Node, graph: Graph) -> Ties:
    """Element e is in channel e mod C of either side, so [1, H, W, C] to [1, H·W·C] ties strided columns together.

    Dropping whole groups of channels leaves the remaining elements in one order on both sides.
    """
    (x,), out = graph.ins(node), graph.out(node)
    if not x.shape or not out.shape:
        return Ties()
    element = np.arange(min(x.elements, math.lcm(channels(x), channels(out))))
    return Ties((Link(0, element % channels(x), element % channels(out)),))


def _narrow_reshape(node: Node, graph: Graph, keep: Kept) -> Narrow:
    _, outer = _kept(node, graph, keep)
    return Narrow(reshape.Reshape((*graph.out(node).shape[:-1], int(outer.sum()))), {})


UNARY = Entry(_unary, _as_it_is)
BINARY = Entry(_binary, _as_it_is)
TABLE: dict[type[Attrs], Entry] = {
    Add: BINARY,
    AveragePool2D: UNARY,
    concatenation.Concatenation: Entry(_concatenation, _as_it_is),
    Conv2D: Entry(_conv, _narrow_conv),
    DepthwiseConv2D: Entry(_depthwise, _narrow_depthwise),
    Dequantize: UNARY,
    FullyConnected: Entry(_dense, _narrow_dense),
    LeakyRelu: UNARY,
    Logistic: UNARY,
    MaxPool2D: UNARY,
    mean.Mean: Entry(_mean, _as_it_is),
    Mul: BINARY,
    pad.Pad: Entry(_pad, _as_it_is),
    Quantize: UNARY,
    Relu: UNARY,
    reshape.Reshape: Entry(_reshape, _narrow_reshape),
    Sub: BINARY,
    Tanh: UNARY,
    transpose.Transpose: Entry(_transpose, _as_it_is),
}
