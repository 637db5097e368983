"""What kernels on int4 weights share: how they lie in flash, two to a byte, and which nodes have them.

The reference unpacks such weights to int8 and computes as ever, so these kernels' results are those of int8 weights.
Sources: tensorflow/lite/micro/kernels/conv.cc, depthwise_conv.cc, fully_connected.cc (kTfLiteInt4),
tensorflow/lite/kernels/internal/portable_tensor_utils.h (UnpackDenseInt4IntoInt8).
"""

from __future__ import annotations

import numpy as np

from tinycomp.ir import Array, Graph, Node

HELPERS = ("requantize", "clamp_int8", "nibbles")


def is_int4(node: Node, graph: Graph) -> bool:
    """int8 activations, int4 weights."""
    x, w = graph.ins(node)[:2]
    return (x.dtype, w.dtype) == ("int8", "int4")


def packed(runs: Array) -> Array:
    """[..., count] to bytes [..., ⌈count / 2⌉], the first of two values low: every run begins with its own byte."""
    count = runs.shape[-1]
    even = np.zeros((*runs.shape[:-1], count + count % 2), np.uint8)
    even[..., :count] = runs.astype(np.int8).view(np.uint8) & 0x0F
    return (even[..., 0::2] | even[..., 1::2] << 4).view(np.int8)
