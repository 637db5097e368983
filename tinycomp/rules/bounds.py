"""Between which stored values each channel lies, whatever the input: interval arithmetic, exact in its claims.

A channel whose two bounds meet is constant: weights that are all zero, or so small beside the output's scale that they
never change the result, or a clamp that is always reached, and whatever works channel by channel on such channels.
Integer bounds are what the operator's own reference makes of the extreme accumulators or inputs. In float32, where
rounding depends on the order of additions, only sums whose terms are all zero are followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinycomp import ops, qmath
from tinycomp.ir import NUMPY, Array, Attrs, Graph, Node, Tensor
from tinycomp.ops import requant, window
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.tanh import Tanh
from tinycomp.ops.transpose import Transpose
from tinycomp.rewrite import WEIGHTED
from tinycomp.rules.base import every_value
from tinycomp.rules.ties import Mask, Ties, channels, ties

# Integer operators whose output never falls where an operand rises.
MONOTONE: tuple[type[Attrs], ...] = (Add, AveragePool2D, Concatenation, MaxPool2D, Pad, Reshape, Transpose)
# One element from one element: a table of all values of 8 bits says everything.
ELEMENTWISE: tuple[type[Attrs], ...] = (LeakyRelu, Logistic, Quantize, Relu, Tanh)


class Bounds(NamedTuple):
    """The least and the greatest stored value of each channel at any position, [channels], in the tensor's dtype."""

    low: Array
    high: Array

    @property
    def steady(self) -> Mask:
        """The channels that hold one value."""
        return np.equal(self.low, self.high)


def unknown(t: Tensor) -> Bounds:
    """All that the dtype holds."""
    low, high = qmath.INT_RANGE.get(t.dtype, (-np.inf, np.inf) if t.dtype == "float32" else (0, 1))
    return Bounds(*(np.full(channels(t), limit).astype(NUMPY[t.dtype]) for limit in (low, high)))


def of_constant(t: Tensor, data: Array) -> Bounds:
    """What a constant tensor holds."""
    return _over_positions(data.reshape(-1, channels(t)), data.reshape(-1, channels(t)))


def bounds(graph: Graph) -> dict[str, Bounds]:
    """Bounds of every tensor of the graph. Outputs of operators with several say nothing."""
    known = {n: unknown(t) if t.data is None else of_constant(t, t.data) for n, t in graph.tensors.items()}
    with np.errstate(all="ignore"):  # infinities in a file's float constants
        for node in graph.nodes:
            if len(node.outputs) == 1:
                known[node.outputs[0]] = _after(graph, node, ties(node, graph), [known[name] for name in node.inputs])
    return known


def _after(graph: Graph, node: Node, tied: Ties, known: Sequence[Bounds]) -> Bounds:
    """Bounds of the node's output from those of its inputs."""
    out, linked = graph.out(node), {link.operand for link in tied.links}
    if isinstance(node.attrs, WEIGHTED) and (tied.mixes or linked):
        found = _weighted(graph, node, known[0])
        if linked and out.dtype != "float32":  # constants, where padding leaves out whole rows of taps
            found = _within(found, _of_steady(graph, node, tied, known))
        return found
    if not linked or any(t.data is None and i not in linked for i, t in enumerate(graph.ins(node))):
        return unknown(out)
    kind = graph.ins(node)[0].dtype
    if isinstance(node.attrs, MONOTONE) and kind in ("int8", "uint8", "int16"):  # int32 wraps
        return _over_positions(*(_evaluate(graph, node, [b[end] for b in known]) for end in range(2)))
    if isinstance(node.attrs, ELEMENTWISE) and kind in ("int8", "uint8"):
        return _looked_up(graph, node, known[0])
    return _of_steady(graph, node, tied, known)


def leaves_image(graph: Graph, node: Node) -> bool:
    """Some window of a convolution reads padding."""
    if not isinstance(node.attrs, Conv2D | DepthwiseConv2D):
        return False
    a, (x, w, _), out = node.attrs, graph.ins(node), graph.out(node)
    sizes = zip(x.shape[1:3], w.shape[1:3], out.shape[1:3], a.stride, a.dilation, a.padding[::2], strict=True)
    return any(window.leaves_image(*axis) for axis in sizes)


def _over_positions(low: Array, high: Array) -> Bounds:
    """Bounds of values [positions, channels]."""
    return Bounds(low.min(axis=0), high.max(axis=0))


def _within(a: Bounds, b: Bounds) -> Bounds:
    """Both are right."""
    return Bounds(np.maximum(a.low, b.low), np.minimum(a.high, b.high))


def _evaluate(graph: Graph, node: Node, values: Sequence[Array]) -> Array:
    """The reference with every activation filled with its channels' values, as [positions, channels]."""
    filled = zip(graph.ins(node), values, strict=True)
    args = [np.broadcast_to(v, t.shape) if t.data is None else t.data for t, v in filled]
    (out,) = ops.operator(node).reference(node, graph, args)
    return out.reshape(-1, channels(graph.out(node)))


def _of_steady(graph: Graph, node: Node, tied: Ties, known: Sequence[Bounds]) -> Bounds:
    """Constants from constants: the output channels whose linked operands are all steady, if positions agree."""
    out = graph.out(node)
    certain = np.ones(channels(out), np.bool_)
    for link in tied.links:
        np.logical_and.at(certain, link.outer, known[link.operand].steady[link.inner])
    if not certain.any():
        return unknown(out)
    found = _evaluate(graph, node, [np.where(b.steady, b.low, 0).astype(b.low.dtype) for b in known])
    free, made = unknown(out), _over_positions(found, found)
    return Bounds(*(np.where(certain, a, b).astype(a.dtype) for a, b in zip(made, free, strict=True)))


def _looked_up(graph: Graph, node: Node, x: Bounds) -> Bounds:
    """The least and greatest entry of the operator's table between the bounds."""
    values = every_value(graph.ins(node)[0].dtype)
    (table,) = ops.operator(node).reference(node, graph, [values])
    inside = np.greater_equal(values[:, None], x.low) & np.less_equal(values[:, None], x.high)
    low, high = np.where(inside, table[:, None], table.max()), np.where(inside, table[:, None], table.min())
    return _over_positions(low, high)


def _weighted(graph: Graph, node: Node, x: Bounds) -> Bounds:
    """Convolutions and dense layers: the extreme accumulators, then the node's own requantization and clamp.

    That is monotone unless an accumulator wraps, or its shifted value; where either may, nothing is said.
    """
    out, bias = graph.out(node), graph.constant(node.inputs[2])
    assert bias is not None  # `infer` has refused others
    if out.dtype == "float32":
        made, certain = _requantized(graph, node, bias), _sums_zero(graph, node, x)
        ends = (made, made)
    else:
        low, high = (end + bias.astype(np.int64) for end in _products(graph, node, x))
        certain = (low == high) | (np.maximum(np.abs(low), np.abs(high)) < _room(graph, node))
        ends = (_requantized(graph, node, end) for end in (low, high))
    free = unknown(out)
    return Bounds(*(np.where(certain, a, b).astype(a.dtype) for a, b in zip(ends, free, strict=True)))


def _products(graph: Graph, node: Node, x: Bounds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least and greatest sum of weight · (input − zero point) of each output channel. Padding adds zeros."""
    t, weights = graph.ins(node)[0], graph.constant(node.inputs[1])
    assert weights is not None  # `infer` has refused others
    low, high = (end.astype(np.int64) - t.zero_point for end in x)
    if leaves_image(graph, node):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    w = weights.astype(np.int64)
    up, down = np.maximum(w, 0), np.minimum(w, 0)
    low, high = (_per_weight(node, w, end) for end in (low, high))
    inner = _inner_axes(node, w)
    return (up * low + down * high).sum(axis=inner), (up * high + down * low).sum(axis=inner)


def _per_weight(node: Node, weights: Array, values: Array) -> Array:
    """Numbers of the input's channels along the last axis of the weights."""
    count = weights.shape[-1] // len(values)
    return np.repeat(values, count) if isinstance(node.attrs, DepthwiseConv2D) else np.tile(values, count)


def _sums_zero(graph: Graph, node: Node, x: Bounds) -> Mask:
    """The float32 output channels each of whose products has a zero for a weight or for an input."""
    weights = graph.constant(node.inputs[1])
    assert weights is not None  # `infer` has refused others
    used = np.logical_and(weights, np.logical_not(_per_weight(node, weights, x.steady & np.equal(x.low, 0))))
    return np.logical_not(used.any(axis=_inner_axes(node, weights)))


def _inner_axes(node: Node, weights: Array) -> tuple[int, ...]:
    """The axes of the weights other than the output channels'."""
    outer = 3 if isinstance(node.attrs, DepthwiseConv2D) else 0
    return tuple(i for i in range(weights.ndim) if i != outer)


def _room(graph: Graph, node: Node) -> NDArray[np.int64]:
    """Below this magnitude an accumulator and its left-shifted value stay in int32, with a bit to spare."""
    (x, w, _), out = graph.ins(node), graph.out(node)
    shift = requant.channel_multipliers(x, w, out, channels(out)).shift
    return np.int64(1) << np.clip(29 - np.maximum(shift, 0), 0, 29)


def _requantized(graph: Graph, node: Node, accumulators: Array) -> Array:
    """What the node makes of accumulators, [channels]: its reference on one pixel, a zero weight for each channel."""
    x, w, b = graph.ins(node)
    out, attrs = graph.out(node), node.attrs
    count = channels(out)
    one = (1,) * (2 if isinstance(attrs, FullyConnected) else 4)
    if isinstance(attrs, Conv2D | DepthwiseConv2D):
        attrs = replace(attrs, stride=(1, 1), dilation=(1, 1), padding=(0, 0, 0, 0))
    if isinstance(attrs, FullyConnected):
        attrs = replace(attrs, keep_dims=False)
    shape = (*one[:-1], count) if isinstance(attrs, DepthwiseConv2D) else (count, *one[1:])
    bias = accumulators if b.dtype == "float32" else qmath.wrap32(accumulators) if b.dtype == "int32" else accumulators
    tensors = (
        replace(x, shape=one, data=None), replace(w, shape=shape, data=np.zeros(shape, NUMPY[w.dtype])),
        replace(b, data=bias.astype(NUMPY[b.dtype])), replace(out, shape=(*one[:-1], count)),
    )  # fmt: skip
    names = ("x", "w", "b", "out")
    named = {n: replace(t, name=n) for n, t in zip(names, tensors, strict=True)}
    small = Graph(node.name, named, (), (), (), graph.reference)
    args = [np.zeros(one, NUMPY[x.dtype]), *(t.data for t in tensors[1:3] if t.data is not None)]
    (made,) = ops.operator(node).reference(Node(node.name, attrs, names[:3], names[3:]), small, args)
    return made.reshape(-1)
