"""What convolutions and pools share: attributes, padding, output sizes, windows as arrays, the codec fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, Graph, Node
from tinycomp.kernel import Taps
from tinycomp.ops.base import Source

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # top, bottom, left, right


@dataclass(frozen=True)
class Convolution(Attrs):
    """stride and dilation as (height, width), padding as (top, bottom, left, right)."""

    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    activation: str = "none"


def taps(node: Node, graph: Graph) -> Taps:
    """The rows of one image that the window of a convolution reads. Weights are [·, kh, kw, ·]."""
    a, w = cast(Convolution, node.attrs), graph.ins(node)[1]
    return Taps(w.shape[1], a.stride[0], a.dilation[0], a.padding[0])


def output_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Positions of a window along one axis."""
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


def padding_of(source: Source, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    """The four integers that SAME or VALID stands for (ComputePaddingHeightWidth of kernels/padding.h)."""
    scheme = int(source.options.get("padding", 0))
    if scheme not in (0, 1):
        raise BadInput(f"padding scheme {scheme} is neither SAME (0) nor VALID (1)",
                       where=f"{source.name} ({source.builtin})")  # fmt: skip
    if scheme == 1:
        return (0, 0, 0, 0)
    ends: list[int] = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        out = -(-n // s)
        total = max(0, (out - 1) * s + (k - 1) * d + 1 - n)
        ends += [total // 2, total - total // 2]
    return (ends[0], ends[1], ends[2], ends[3])


def scheme_of(size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> int | None:
    """The inverse of `padding_of`: 0 SAME, 1 VALID, None where the file format cannot say it."""
    if padding == (0, 0, 0, 0):
        return 1
    source = Source("", "", {"padding": 0}, (), ())
    return 0 if padding_of(source, size, kernel, stride, dilation) == padding else None


def pair(options: Mapping[str, Any], height: str, width: str, where: str, default: int = 1) -> Pair:
    """Two positive options, (height, width)."""
    h, w = int(options.get(height, default)), int(options.get(width, default))
    if h < 1 or w < 1:
        raise BadInput(f"{height} = {h} and {width} = {w} must be positive", where=where, fix="export the model again")
    return h, w


def windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding, fill: float) -> Array:
    """[N, H, W, C] to [N, OH, OW, kh, kw, C], a view on a padded copy."""
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=x.dtype.type(fill))
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(1, 2))  # [N, H', W', C, span_h, span_w]
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def positions(where: str, size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Pair:
    """Rows and columns of the output. Raises BadInput where the window is larger than the padded image."""
    top, bottom, left, right = padding
    found = (
        output_size(size[0], kernel[0], stride[0], dilation[0], top, bottom),
        output_size(size[1], kernel[1], stride[1], dilation[1], left, right),
    )
    if min(found) < 1:
        raise BadInput(f"a window of {list(kernel)} with dilation {list(dilation)} does not fit into {list(size)} "
                       f"with padding {list(padding)}", where=where, fix="export the model again")  # fmt: skip
    return found


def leaves_image(size: int, kernel: int, count: int, stride: int, dilation: int, before: int) -> bool:
    """Along one axis, some of `count` windows reach past an edge."""
    return before > 0 or beyond(size, kernel, count, stride, dilation, before) > 0


def beyond(size: int, kernel: int, count: int, stride: int, dilation: int, before: int) -> int:
    """How many elements past the far edge the last of `count` windows reads, 0 where it ends inside."""
    return max(0, (count - 1) * stride - before + (kernel - 1) * dilation + 1 - size)


def named_scheme(where: str, size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> int:
    """`scheme_of` for a codec's options. Raises Unsupported where the file format cannot say the padding."""
    scheme = scheme_of(size, kernel, stride, dilation, padding)
    if scheme is None:
        raise Unsupported(f"padding {list(padding)} has no name in TFLite (SAME and VALID do)", where=where,
                          fix="put a PAD before it")  # fmt: skip
    return scheme
