"""Cross-layer equalisation: channels of one tensor are scaled so that all of them use its 256 steps.

A channel whose layer is divided by s and whose readers are multiplied by s leaves a network of convolutions, RELU, ADD,
pools and the like as it was, since those are positively homogeneous. A narrow channel that is widened so loses less to
rounding; its readers' weights for it shrink, and as they share a scale with others they lose more. How far to go is
decided for each cluster of tensors whose channels are tied, by an estimate of both kinds of noise. A depthwise
convolution has a scale for each channel and loses nothing.

Sources: M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (ICCV 2019); the
balance between activations and weights as in G. Xiao et al., SmoothQuant (ICML 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tinycomp.ir import Graph, Node
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.quantize.homogeneous import WEIGHTED, Channels, channel_groups
from tinycomp.quantize.observe import STEPS, Floats, Statistics
from tinycomp.quantize.precision import INT8
from tinycomp.rules.groups import Cluster, clusters

EXPONENTS = np.linspace(0, 1, 21)  # of a channel's extent relative to the widest; 1 makes all alike
SIMPLER = 0.999  # a larger exponent must lower the noise at least to this share
ROUNDING = 0.15  # share of the weights' rounding noise that is left when rounding is chosen for the output
PEAK = 9.0  # square of a channel's extreme over its mean square, roughly
WIDEST = 2.0**8  # a channel is not scaled by more


class Equalised(NamedTuple):
    """graph: the same function in float32. scale: by tensor name what each channel was divided by, where not by 1."""

    graph: Graph
    scale: Mapping[str, Floats]


def equalise(graph: Graph, seen: Mapping[str, Statistics]) -> Equalised:
    """Scale the channels. `seen` are statistics of the graph's tensors; those of the result have to be taken anew."""
    found = channel_groups(graph)
    extent = np.zeros(len(found.pinned))
    for name, index in found.label.items():
        if name in seen:
            np.maximum.at(extent, index, _extent(seen[name]))
    scale = np.ones(len(found.pinned))
    names = [name for name, label in found.label.items() if name in seen and not found.pinned[label].any()]
    for cluster in clusters(found.label, names):
        members = cluster.groups
        top = float(extent[members].max(initial=0.0))
        if top > 0:
            relative = np.maximum(extent[members] / top, 1 / WIDEST)
            scale[members] = relative ** _best_exponent(graph, found, cluster, relative, seen)
    by_name = {name: scale[index] for name, index in found.label.items()}
    return Equalised(_scaled(graph, by_name), {name: s for name, s in by_name.items() if (s != 1).any()})


def _extent(seen: Statistics) -> Floats:
    """The largest magnitude of each channel."""
    return np.maximum(-seen.channel_low, seen.channel_high)


def _best_exponent(
    graph: Graph, found: Channels, cluster: Cluster, relative: Floats, seen: Mapping[str, Statistics]
) -> float:
    scale = np.ones(len(found.pinned))
    best, least = 0.0, float("inf")
    for exponent in EXPONENTS.tolist():
        scale[cluster.groups] = relative**exponent
        noise = _noise(graph, found, cluster, scale, seen)
        if noise < least * SIMPLER:
            best, least = exponent, noise
    return best


def _noise(graph: Graph, found: Channels, cluster: Cluster, scale: Floats, seen: Mapping[str, Statistics]) -> float:
    """Noise at the outputs of the cluster's readers, relative to their power, when channels are divided by `scale`.

    Every tensor of the cluster is rounded to its own step, and what is lost there reaches all readers of its channels;
    weights are rounded to the step of their output channel and multiply the channels' power.
    """
    sensitivity = np.zeros(len(scale))
    weights = 0.0
    for name in cluster.names:
        s, power = scale[found.label[name]], _extent(seen[name]) ** 2 / PEAK
        for node in graph.consumers(name):
            if not isinstance(node.attrs, WEIGHTED) or node.inputs[0] != name:
                continue
            rows = _by_channel(node, graph, len(s))
            squares = (rows**2).sum(axis=(0, 1))
            signal = max(float((squares * power).sum()), 1e-30)
            np.add.at(sensitivity, found.label[name], squares / signal)
            if not isinstance(node.attrs, DepthwiseConv2D):
                steps = (np.abs(rows * s).max(axis=(1, 2)) / INT8.top) ** 2 / 12
                weights += ROUNDING * float(steps.sum() * rows.shape[1] * (power / s**2).sum()) / signal
    rounding = 0.0
    for name in cluster.names:
        s = scale[found.label[name]]
        low, high = float((seen[name].channel_low / s).min()), float((seen[name].channel_high / s).max())
        step = (max(high, 0.0) - min(low, 0.0)) / (STEPS - 1)
        rounding += step**2 / 12 * float((sensitivity[found.label[name]] * s**2).sum())
    return rounding + weights


def _by_channel(node: Node, graph: Graph, channels: int) -> Floats:
    """A reader's weights as [outputs, taps, input channels]."""
    w = np.asarray(graph.constant(node.inputs[1]), np.float64)
    if isinstance(node.attrs, DepthwiseConv2D):
        return w.reshape(-1, channels, w.shape[3] // channels).transpose(2, 0, 1)
    return w.reshape(w.shape[0], -1, channels)


def _scaled(graph: Graph, scale: Mapping[str, Floats]) -> Graph:
    """Weights of each layer divided by its output's scales and multiplied by its input's."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if not isinstance(node.attrs, WEIGHTED):
            continue
        x, w, b = graph.ins(node)
        before, after = scale[x.name], scale[node.outputs[0]]
        if (before == 1).all() and (after == 1).all():
            continue
        data = np.asarray(w.data, np.float64)
        if isinstance(node.attrs, DepthwiseConv2D):
            made = data * np.repeat(before, w.shape[3] // len(before)) / after
        else:
            rows = data.reshape(w.shape[0], -1)
            columns = np.tile(before, rows.shape[1] // len(before)) if (before != 1).any() else 1.0
            made = (rows * columns / after[:, None]).reshape(w.shape)
        bias = np.asarray(b.data, np.float64) / after
        tensors[w.name] = replace(w, data=made.astype(np.float32))
        tensors[b.name] = replace(b, data=bias.astype(np.float32))
    return replace(graph, tensors=tensors)
