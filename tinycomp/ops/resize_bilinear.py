"""RESIZE_BILINEAR: an image in another size, each pixel a mean of its four neighbours, weighted by how near they are.

Integers in fixed point with ten fractional bits along each axis, rounded once, halves away from zero. Where rounding
of the step takes the reference past the last pixel, whose neighbours it then reads, the last pixel counts.

Sources: tensorflow/lite/kernels/internal/reference/resize_bilinear.h, tensorflow/lite/micro/kernels/resize_bilinear.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tinycomp.ir import NUMPY, Array, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops import moves, resize_nearest, unary
from tinycomp.ops.base import Operator, Shape, c_type, require_dtype, whole_access
from tinycomp.ops.resize_nearest import Resize

ONE = 1024  # a whole pixel in fixed point
DTYPES: list[tuple[DType, ...]] = [("int8", "int8"), ("int16", "int16"), ("float32", "float32")]


@dataclass(frozen=True)
class ResizeBilinear(Resize):
    """Between the nearest pixels."""

    op: ClassVar[str] = "resize_bilinear"


class Neighbours(NamedTuple):
    """For each output index of one axis the input indices on both sides and how much the second one counts, 0 to 1."""

    low: moves.Index
    high: moves.Index
    share: unary.Float64


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """Raises Unsupported for dtypes, activations quantized per channel and what integers cannot address."""
    require_dtype(node, graph, DTYPES)
    (x,), out = graph.ins(node), graph.out(node)
    if x.dtype != "float32":
        for t in (x, out):
            unary.require_per_tensor(node, t)
    return ((resize_nearest.shape(node, graph), x.dtype),)


def _step(size: int, count: int, a: Resize, real: bool) -> float:
    """From one output pixel to the next, in pixels of the input or in parts of ONE. size: of the input."""
    above, below = (size - 1, count - 1) if a.align_corners and count > 1 else (size, count)
    return float(np.float32(above) / np.float32(below)) if real else (ONE * above + below // 2) // below


def _start(step: float, a: Resize) -> int:
    """Where the first output pixel lies, in parts of ONE."""
    return int(step) // 2 - ONE // 2 if a.half_pixel_centers else 0


def _neighbours(size: int, count: int, a: Resize, real: bool) -> Neighbours:
    step, index = _step(size, count, a, real), np.arange(count)
    if real:
        half = np.float32(0.5 if a.half_pixel_centers else 0)
        at = ((index.astype(np.float32) + half) * np.float32(step) - half).astype(np.float64)
    else:
        at = (index * int(step) + _start(step, a)) / ONE
    low = np.clip(np.floor(at), 0, size - 1).astype(np.int64)
    return Neighbours(low, np.minimum(low + (at > low), size - 1), at - low)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """In float64, which holds the integers' fixed point exactly."""
    (x,), a, real = args, resize_nearest.attrs(node), args[0].dtype == np.float32
    down, across = (_neighbours(n, count, a, real) for n, count in zip(x.shape[1:3], a.size, strict=True))
    wide, share = x.astype(np.float64), down.share[:, None, None]
    lines = wide[:, down.low] * (1 - share) + wide[:, down.high] * share
    share = across.share[:, None]
    made = lines[:, :, across.low] * (1 - share) + lines[:, :, across.high] * share
    rounded = made if real else np.sign(made) * np.floor(np.abs(made) + 0.5)
    return (rounded.astype(NUMPY[graph.out(node).dtype]),)


def _lower(node: Node, graph: Graph) -> Leaf:
    """step: from one pixel of the output to the next. start: where the first one lies, of integers."""
    a, (x,), real = resize_nearest.attrs(node), graph.ins(node), unary.is_float(node, graph)
    items, in_h, in_w, channels = x.shape
    down, across = (_step(n, count, a, real) for n, count in zip((in_h, in_w), a.size, strict=True))
    params: dict[str, Param] = {"type": c_type(x)}
    numbers = {"items": items, "in_h": in_h, "in_w": in_w, "channels": channels, "out_h": a.size[0], "out_w": a.size[1]}
    if real:
        return Leaf(params | {"step_h": down, "step_w": across, "half": a.half_pixel_centers}, numbers)
    numbers |= {"step_h": int(down), "start_h": _start(down, a), "step_w": int(across), "start_w": _start(across, a)}
    return Leaf(params, numbers)


OPERATOR = Operator(
    attrs=ResizeBilinear,
    codecs=(resize_nearest.codec("RESIZE_BILINEAR", "ResizeBilinearOptions", ResizeBilinear),),
    infer=_infer,
    reference=_reference,
    access=whole_access,
    kernels=(Kernel("portable", _lower),),
)
