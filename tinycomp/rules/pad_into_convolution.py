"""PAD of height and width, CONV_2D or DEPTHWISE_CONV_2D -> the convolution with more padding of its own.

Exact only where PAD fills with the zero point (0 in float32), which is what a convolution pads with, and where both
sides of the PAD share one quantization. Never into pools: their padding does not count as elements. A border as wide as
the kernel stays a PAD: windows that lie in padding alone are work for nothing, and no kernel expects them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from tinycomp.ir import Edit, Graph, Node
from tinycomp.ops import pad
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.rules.base import sole_use

ROOT = (Conv2D, DepthwiseConv2D)


def match(graph: Graph, node: Node) -> Edit | None:
    """Read what the PAD reads."""
    padded = graph.ins(node)[0]
    before = graph.producer(padded.name)
    if before is None or not isinstance(before.attrs, pad.Pad) or not sole_use(graph, padded.name):
        return None
    batch, height, width, channels = pad.attrs(before).paddings
    zero = 0 if padded.dtype == "float32" else padded.zero_point
    if batch != (0, 0) or channels != (0, 0) or pad.fill(before, graph) != zero:
        return None
    if graph.ins(before)[0].quant != padded.quant:
        return None
    attrs = cast(Conv2D, node.attrs)  # both classes have the field
    top, bottom, left, right = attrs.padding
    widened = (top + height[0], bottom + height[1], left + width[0], right + width[1])
    spans = [(k - 1) * d + 1 for k, d in zip(graph.ins(node)[1].shape[1:3], attrs.dilation, strict=True)]
    if max(widened[:2]) >= spans[0] or max(widened[2:]) >= spans[1]:
        return None
    moved = replace(node, attrs=replace(attrs, padding=widened), inputs=(before.inputs[0], *node.inputs[1:]))
    return Edit(remove=(before, node), insert=(moved,))
