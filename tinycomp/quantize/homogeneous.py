"""Channels of a float graph that can be scaled: groups that hang together through homogeneous operators.

f is positively homogeneous where f(s·x) = s·f(x) for s > 0, channel by channel. Through such operators a scale goes on
unchanged; a convolution takes it up, at its input and at its output alike; whatever else there is pins it to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinycomp.ir import Attrs, Graph, Node
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.pad import Pad
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.sub import Sub
from tinycomp.ops.transpose import Transpose
from tinycomp.rules.groups import connected
from tinycomp.rules.ties import Indices, Link, Mask, channels, ties

HOMOGENEOUS: tuple[type[Attrs], ...] = (
    Add, AveragePool2D, Concatenation, LeakyRelu, MaxPool2D, Mean, Pad, Relu, Reshape, Sub, Transpose,
)  # fmt: skip
WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)


@dataclass(frozen=True)
class Channels:
    """label: the group of each channel of each tensor, by tensor name. pinned [groups]: cannot be scaled."""

    label: Mapping[str, Indices]
    pinned: Mask


def channel_groups(graph: Graph) -> Channels:
    """The groups of a float graph. Weights shared between layers pin what they touch."""
    first: dict[str, int] = {}
    count = 0
    for name, t in graph.tensors.items():
        first[name], count = count, count + channels(t)
    spans = {name: np.arange(first[name], first[name] + channels(t)) for name, t in graph.tensors.items()}
    edges: list[tuple[Indices, Indices]] = []
    held = [*graph.inputs, *graph.outputs, *(name for name, t in graph.tensors.items() if t.data is not None)]
    for node in graph.nodes:
        links = _links(node, graph)
        edges += [(spans[node.inputs[k.operand]][k.inner], spans[node.outputs[0]][k.outer]) for k in links]
        if isinstance(node.attrs, WEIGHTED):
            held += _held_by_layer(node, graph)
            continue
        linked = {link.operand for link in links}
        held += [name for i, name in enumerate(node.inputs) if i not in linked]
        held += () if links else node.outputs
    label = connected(count, edges)
    pinned = np.zeros(int(label.max(initial=-1)) + 1, np.bool_)
    for name in held:
        pinned[label[spans[name]]] = True
    return Channels({name: label[span] for name, span in spans.items()}, pinned)


def _links(node: Node, graph: Graph) -> tuple[Link, ...]:
    """Which channels of inputs and output must share a scale; none where the operator is not homogeneous."""
    if not isinstance(node.attrs, HOMOGENEOUS) or getattr(node.attrs, "activation", "none") not in ("none", "relu"):
        return ()
    if isinstance(node.attrs, Pad) and len(node.inputs) > 1:  # a fill of its own
        return ()
    return ties(node, graph).links


def _held_by_layer(node: Node, graph: Graph) -> list[str]:
    """Input or output of a weighted layer that it cannot take scales from."""
    x, w, b = graph.ins(node)
    held: list[str] = []
    grouped = isinstance(node.attrs, Conv2D) and w.shape[3] != x.shape[3]
    shared = any(len(graph.consumers(t.name)) > 1 for t in (w, b))
    if grouped or shared or (isinstance(node.attrs, FullyConnected) and w.shape[1] % channels(x)):
        held.append(x.name)
    if shared or getattr(node.attrs, "activation", "none") not in ("none", "relu"):
        held.append(node.outputs[0])
    return held
