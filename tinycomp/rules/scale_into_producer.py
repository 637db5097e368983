"""CONV_2D (DEPTHWISE_CONV_2D, FULLY_CONNECTED), then MUL, ADD or SUB by constants for each channel -> CONV_2D alone.

float32, not exact: w' = scale · w and b' = scale · b + shift round differently. Computed in float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from tinycomp.ir import Edit, Graph, Node
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.rewrite import WEIGHTED
from tinycomp.rules import affine
from tinycomp.rules.base import sole_use

ROOT = affine.ROOT


def match(graph: Graph, node: Node) -> Edit | None:
    """Scale the weights of the layer before, which takes over the node's activation."""
    found = affine.affine(graph, node)
    host = graph.producer(found.x) if found is not None else None
    if found is None or host is None or not isinstance(host.attrs, WEIGHTED) or not sole_use(graph, found.x):
        return None
    if affine.activation_of(host) != "none":
        return None
    weights, bias = (np.asarray(graph.constant(name), np.float64) for name in host.inputs[1:])
    axis = 3 if isinstance(host.attrs, DepthwiseConv2D) else 0
    along = [1] * weights.ndim
    along[axis] = -1
    changed = affine.with_constants(graph, host, weights * found.scale.reshape(along), bias * found.scale + found.shift)
    if changed is None:
        return None
    layer, tensors = changed
    attrs = replace(cast(Conv2D, layer.attrs), activation=affine.activation_of(node))
    return Edit(remove=(host, node), insert=(replace(layer, attrs=attrs, outputs=node.outputs),), tensors=tensors)
