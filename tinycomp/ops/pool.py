"""What AVERAGE_POOL_2D and MAX_POOL_2D share: attributes, codec fields, shapes, where windows leave the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Leaf, Taps
from tinycomp.ops import images, int16, window
from tinycomp.ops.base import ACTIVATIONS, Codec, Parsed, Shape, Source, Written, c_type, require_dtype


@dataclass(frozen=True)
class Pool(Attrs):
    """size and stride as (height, width), padding as (top, bottom, left, right)."""

    size: window.Pair = (1, 1)
    stride: window.Pair = (1, 1)
    padding: window.Padding = (0, 0, 0, 0)
    activation: str = "none"


NO_DILATION = (1, 1)
NEAR = 1e-6  # TFLM lets input and output scales differ by this much (PoolingPrepare)


def attrs(node: Node) -> Pool:
    """The node's attributes, typed."""
    return cast(Pool, node.attrs)


def codec(kind: type[Pool], builtin: str) -> Codec:
    """The codec of a pool whose attributes are of this class."""
    return Codec(builtin, "Pool2DOptions", _reader(kind), _write)


def _reader(kind: type[Pool]) -> Callable[[Source], Parsed]:
    def read(source: Source) -> Parsed:
        where = f"{source.name} ({source.builtin})"
        x = source.input(0)
        if len(x.shape) != 4:
            raise BadInput(f"needs a 4-D input, found {list(x.shape)}", where=where)
        stride = window.pair(source.options, "stride_h", "stride_w", where)
        size = window.pair(source.options, "filter_height", "filter_width", where)
        padding = window.padding_of(source, (x.shape[1], x.shape[2]), size, stride, NO_DILATION)
        return Parsed(kind(size, stride, padding, source.activation()), (x,))

    return read


def _write(node: Node, graph: Graph) -> Written:
    a, (x,) = attrs(node), graph.ins(node)
    options = {
        "padding": window.named_scheme(node.name, (x.shape[1], x.shape[2]), a.size, a.stride, NO_DILATION, a.padding),
        "stride_h": a.stride[0], "stride_w": a.stride[1], "filter_height": a.size[0], "filter_width": a.size[1],
        "fused_activation_function": ACTIVATIONS.index(a.activation),
    }  # fmt: skip
    return Written(options, node.inputs)


def infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """[N, H, W, C] to [N, OH, OW, C]. Integers are not rescaled: input and output must share their quantization."""
    a, (x,), out = attrs(node), graph.ins(node), graph.out(node)
    where = f"{node.name} ({node.op})"
    require_dtype(node, graph, [("int8", "int8"), ("int16", "int16"), ("float32", "float32")])
    if x.dtype != "float32" and (abs(x.scale - out.scale) > NEAR or x.zero_point != out.zero_point):
        raise Unsupported(f"rescales from {x.scale} ({x.zero_point}) to {out.scale} ({out.zero_point}); a pool's input "
                          "and output must share scale and zero point", where=where, fix="export it again")  # fmt: skip
    int16.require_symmetric(where, (x, out))
    (top, bottom, left, right), (kh, kw) = a.padding, a.size
    if max(top, bottom) >= kh or max(left, right) >= kw:
        raise BadInput(f"padding {list(a.padding)} leaves windows of {list(a.size)} without any element", where=where)
    rows, columns = window.positions(where, (x.shape[1], x.shape[2]), a.size, a.stride, NO_DILATION, a.padding)
    return (((x.shape[0], rows, columns, x.shape[3]), x.dtype),)


def windows(a: Pool, x: Array, fill: float) -> Array:
    """[N, H, W, C] to [N, OH, OW, kh, kw, C], padding filled."""
    return window.windows(x, a.size, a.stride, NO_DILATION, a.padding, fill)


def clamp(values: Array, out: Tensor, activation: str) -> Array:
    """The fused activation on int8 or int16 values."""
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    return np.clip(values, low, high).astype(NUMPY[out.dtype])


def taps(node: Node, graph: Graph) -> Taps:
    """The rows of one image that a window reads."""
    a = attrs(node)
    return Taps(a.size[0], a.stride[0], 1, a.padding[0])


def access(node: Node, graph: Graph) -> Access:
    """Padding rows are not rows of anything: the kernel gets null pointers and passes over them."""
    return images.access(node, graph, taps(node, graph), None)


def is_int8(node: Node, graph: Graph) -> bool:
    """The node pools int8."""
    return graph.out(node).dtype == "int8"


def is_float(node: Node, graph: Graph) -> bool:
    """The node pools float32."""
    return graph.out(node).dtype == "float32"


def leaf(node: Node, graph: Graph) -> Leaf:
    """No data: only how windows walk over a row, which rows and columns may be missing, and the clamp."""
    a, (x,), out = attrs(node), graph.ins(node), graph.out(node)
    (kh, kw), (top, _, left, _) = a.size, a.padding
    params = {
        "type": c_type(x), "kh": kh, "activation": a.activation,
        "rows_missing": window.leaves_image(x.shape[1], kh, out.shape[1], a.stride[0], 1, top),
        "edges": window.leaves_image(x.shape[2], kw, out.shape[2], a.stride[1], 1, left),
    }  # fmt: skip
    numbers = {
        "in_w": x.shape[2], "channels": x.shape[3], "out_w": out.shape[2],
        "kw": kw, "stride": a.stride[1], "left": left,
    }  # fmt: skip
    if x.dtype != "float32":
        low, high = qmath.activation_range(a.activation, out.dtype, out.scale, out.zero_point)
        numbers |= {"low": low, "high": high}
    return Leaf(params, numbers)
