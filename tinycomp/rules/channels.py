"""Constant and dead channels are removed, exactly: the outputs keep their bits.

Three steps, until nothing changes:

1. Forwards, find channels that hold one value at every position whatever the input (`bounds`): a convolution's output
   channel whose weights are all zero gives clamp(requantize(bias)), and constants pass through every operator that
   works channel by channel, unless padding spoils them. Where a convolution or dense layer reads such a channel q, its
   weights for it become zero and the bias takes (q − zero point) · Σ weights, wrapping as the accumulator does.
2. Backwards, find the groups of channels that nothing reads through a weight other than zero.
3. Remove them from producers, consumers and everything between.

A convolution takes a constant in only where no window leaves the image or q is the zero point, which is what padding
holds. In float32 only the value 0 is taken in, so that no sum changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.rules.bounds import Bounds, bounds, leaves_image
from tinycomp.rules.groups import Groups, groups, keep_only, store
from tinycomp.rules.ties import Mask, connections, fewest, ties


def remove_channels(graph: Graph) -> Graph:
    """The graph without constant and dead channels; the same object where there are none."""
    while True:
        absorbed = absorb(graph)
        found = groups(absorbed)
        keep = found.keep(live_groups(absorbed, found))
        if not keep:
            return graph
        graph = keep_only(absorbed, keep)


def absorb(graph: Graph) -> Graph:
    """An equal graph: constant channels enter the biases of the layers that read them, whose weights become zero."""
    known, tensors, nodes = bounds(graph), {**graph.tensors}, list[Node]()
    for node in graph.nodes:
        if ties(node, graph).mixes:
            node = _absorb_into(graph, tensors, node, _taken_in(graph, node, known[node.inputs[0]]))
        nodes.append(node)
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


class Taken(NamedTuple):
    """The constant channels that a layer takes in, and their values less the zero point. Both [channels]."""

    mask: Mask
    value: Array


def _taken_in(graph: Graph, node: Node, x: Bounds) -> Taken:
    """The constant channels of the input that may enter the bias."""
    t = graph.ins(node)[0]
    if t.dtype == "float32":
        return Taken(x.steady & (x.low == 0), x.low)
    value = x.low.astype(np.int64) - t.zero_point
    return Taken(x.steady & ((value == 0) | (not leaves_image(graph, node))), value)


def _absorb_into(graph: Graph, tensors: dict[str, Tensor], node: Node, taken: Taken) -> Node:
    """The layer with zero weights for the channels taken in and their share in the bias; new constants in `tensors`."""
    w, b = (tensors[name] for name in node.inputs[1:])
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    columns = np.tile(taken.mask, w.shape[-1] // len(taken.mask))  # more than one channel's in a dense layer alone
    if not w.data[..., columns].any():
        return node
    bias = b.data
    if b.dtype != "float32":  # float32 takes in zeros only
        share = w.data.astype(np.int64) * np.tile(np.where(taken.mask, taken.value, 0), w.shape[-1] // len(taken.mask))
        total = b.data.astype(np.int64) + share.reshape(len(w.data), -1).sum(axis=1)
        bias = qmath.wrap32(total).astype(np.int32) if b.dtype == "int32" else total
    made = (replace(w, data=np.where(columns, 0, w.data).astype(w.data.dtype)), replace(b, data=bias))
    return replace(node, inputs=(node.inputs[0], *(store(graph, tensors, t) for t in made)))


def live_groups(graph: Graph, found: Groups) -> Mask:
    """The groups that stay: pinned, or read through a weight that is not zero by a channel that stays.

    At least one channel of each tensor stays (see `ties.fewest`), the one with the fewest weights.
    """
    live = found.pinned.copy()
    mixing = [node for node in graph.nodes if ties(node, graph).mixes]
    weights = {node.name: connections(node, graph) for node in mixing}
    _spread(live, found, mixing, weights)
    for node in graph.nodes:
        linked = {node.inputs[link.operand] for link in ties(node, graph).links}
        for name in (*linked, *node.outputs):
            label, least = found.label[name], 1
            cost = np.zeros(len(label), np.intp)
            if node.name in weights and name in node.outputs:
                least, cost = fewest(node, graph), weights[node.name].sum(axis=0)
            missing = min(least, len(label)) - int(live[label].sum())
            if missing > 0:
                dead = np.flatnonzero(~live[label])
                live[label[dead[np.argsort(cost[dead], kind="stable")[:missing]]]] = True
                _spread(live, found, mixing, weights)
    return live


def _spread(live: Mask, found: Groups, mixing: Sequence[Node], weights: Mapping[str, Mask]) -> None:
    """Extend `live` to everything that live channels read, from the last layer to the first, until it stays."""
    before = -1
    while before != (before := int(live.sum())):
        for node in reversed(mixing):
            needed = weights[node.name][:, live[found.label[node.outputs[0]]]].any(axis=1)
            live[found.label[node.inputs[0]][needed]] = True
