"""MUL, ADD or SUB by constants for each channel, then CONV_2D (DEPTHWISE_CONV_2D, FULLY_CONNECTED) -> CONV_2D alone.

float32, not exact: w' = w · scale and b' = b + Σ w · shift round differently. A shift needs a convolution whose windows
stay inside the image, since padding is 0 before and after the change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from tinycomp.ir import Edit, Graph, Node
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.rewrite import WEIGHTED
from tinycomp.rules import affine
from tinycomp.rules.affine import Floats
from tinycomp.rules.base import sole_use

ROOT = WEIGHTED


def match(graph: Graph, node: Node) -> Edit | None:
    """Scale the weights of this layer and read what the node before reads."""
    scaled = node.inputs[0]
    before = graph.producer(scaled)
    if before is None or not isinstance(before.attrs, affine.ROOT) or not sole_use(graph, scaled):
        return None
    found = affine.affine(graph, before)
    if found is None or affine.activation_of(before) != "none" or (found.shift.any() and _pads(node)):
        return None
    weights, bias = (np.asarray(graph.constant(name), np.float64) for name in node.inputs[1:])
    scale, shift = _on_weights(node, weights, found.scale), _on_weights(node, weights, found.shift)
    if scale is None or shift is None:
        return None
    axis = 3 if isinstance(node.attrs, DepthwiseConv2D) else 0
    moved = (weights * shift).sum(axis=tuple(i for i in range(weights.ndim) if i != axis))
    changed = affine.with_constants(graph, node, weights * scale, bias + moved)
    if changed is None:
        return None
    layer, tensors = changed
    return Edit(remove=(before, node), insert=(replace(layer, inputs=(found.x, *layer.inputs[1:])),), tensors=tensors)


def _pads(node: Node) -> bool:
    """Windows may leave the image."""
    return not isinstance(node.attrs, FullyConnected) and any(cast(Conv2D, node.attrs).padding)


def _on_weights(node: Node, weights: Floats, values: Floats) -> Floats | None:
    """Numbers of the input's channels, to be multiplied with the weights. None for grouped convolutions."""
    if isinstance(node.attrs, DepthwiseConv2D):
        return np.repeat(values, weights.shape[3] // len(values))
    if isinstance(node.attrs, FullyConnected):  # columns run over the last axes of the input, channels innermost
        return np.tile(values, weights.shape[1] // len(values)) if weights.shape[1] % len(values) == 0 else None
    return values if weights.shape[3] == len(values) else None
