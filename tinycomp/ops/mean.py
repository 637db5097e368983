"""MEAN over any axes: int8 and int16 with a new scale, float32.

Integers as in TFLM: the sum of all elements less their zero points, times a multiplier into which 1/count is folded.
Sources: tensorflow/lite/kernels/internal/reference/reduce.h (QuantizedMeanOrSum, Mean), micro/kernels/reduce_common.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import numpy as np

from tinycomp import qmath
from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Kernel, Leaf, Taps, rowwise, whole
from tinycomp.ops import int16, mve, requant, unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type, require_dtype

LONGEST_ROW = 255  # int8 values whose sum is an int16


@dataclass(frozen=True)
class Mean(Attrs):
    """The axes that are averaged away, ascending; keep_dims leaves each as a dimension of 1."""

    op: ClassVar[str] = "mean"
    axes: tuple[int, ...] = ()
    keep_dims: bool = False


def attrs(node: Node) -> Mean:
    """The node's attributes, typed."""
    return cast(Mean, node.attrs)


def _read(source: Source) -> Parsed:
    x = source.input(0)
    rank, found = len(x.shape), source.constant(1, "the axes").ravel().tolist()
    if any(not -rank <= axis < rank for axis in found):
        raise BadInput(f"averages over axes {found} of a tensor of rank {rank}",
                       where=f"{source.name} ({source.builtin})", fix="export the model again")  # fmt: skip
    axes = tuple(sorted({int(axis) % rank for axis in found}))
    return Parsed(Mean(axes, bool(source.options.get("keep_dims", False))), (x,))


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    return Written({"keep_dims": a.keep_dims}, (*node.inputs, np.array(a.axes, np.int32)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    (x,) = graph.ins(node)
    require_dtype(node, graph, [("int8", "int8"), ("int16", "int16"), ("float32", "float32")])
    where = f"{node.name} (mean)"
    int16.require_symmetric(where, (x, graph.out(node)))
    int16.require_countable(where, x, math.prod(x.shape[axis] for axis in attrs(node).axes))
    if x.dtype != "float32":
        unary.require_multiplier(node, graph, x.scale / graph.out(node).scale, requant.LIMIT)
    return ((_shape(x.shape, attrs(node)), x.dtype),)


def _shape(x: Shape, a: Mean) -> Shape:
    kept = tuple(1 if i in a.axes else d for i, d in enumerate(x))
    return kept if a.keep_dims else tuple(d for i, d in enumerate(kept) if i not in a.axes)


def multiplier(x: Tensor, out: Tensor, count: int) -> qmath.Multiplier:
    """scale_x / scale_out / count. The division is done on the fixed-point mantissa, truncating, as in TFLM."""
    whole_sum = qmath.quantize_multiplier(x.scale / out.scale)
    shift = min(count.bit_length() - 1, 32, 31 + whole_sum.shift)
    return qmath.Multiplier((whole_sum.mantissa << shift) // count, whole_sum.shift - shift)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (xt,), out = attrs(node), graph.ins(node), graph.out(node)
    (x,) = args
    shape, count = _shape(x.shape, a), math.prod(x.shape[axis] for axis in a.axes)
    if xt.dtype == "float32":
        total = x.sum(axis=a.axes, dtype=np.float32)
        return ((total / np.float32(count)).astype(np.float32).reshape(shape),)
    m = multiplier(xt, out, count)
    total = x.sum(axis=a.axes, dtype=np.int64) - count * xt.zero_point
    q = qmath.requantize(qmath.wrap32(total), m.mantissa, m.shift) + out.zero_point
    return (np.clip(q, *qmath.INT_RANGE[out.dtype]).astype(NUMPY[out.dtype]).reshape(shape),)


class Loops(NamedTuple):
    """The nested loops of one call, each (trips, stride in elements): over the output, and over what is averaged."""

    kept: tuple[tuple[int, int], ...]
    reduced: tuple[tuple[int, int], ...]


def loops(shape: Shape, axes: Sequence[int]) -> Loops:
    """Neighbouring dimensions of one kind are one loop, dimensions of 1 are none."""
    found: list[tuple[bool, int, int]] = []
    stride = 1
    for i in reversed(range(len(shape))):
        reduced = i in axes
        if shape[i] > 1 and found and found[-1][0] == reduced:
            _, trips, inner = found[-1]
            found[-1] = (reduced, trips * shape[i], inner)
        elif shape[i] > 1:
            found.append((reduced, shape[i], stride))
        stride *= shape[i]
    found.reverse()
    return Loops(tuple((t, s) for r, t, s in found if not r), tuple((t, s) for r, t, s in found if r))


def row_shape(x: Tensor) -> Shape:
    """The dimensions inside a row (see Tensor.rows)."""
    return x.shape[2:] if len(x.shape) >= 3 else x.shape[1:] if len(x.shape) == 2 else x.shape


def _access(node: Node, graph: Graph) -> Access:
    """By row where only dimensions inside it are averaged; a running sum where all those outside are; else whole."""
    (x,), out = graph.ins(node), graph.out(node)
    outside = len(x.shape) - len(row_shape(x))
    over_rows = [x.shape[i] > 1 for i in attrs(node).axes if i < outside]
    if out.rows == x.rows and not any(over_rows):
        return rowwise()
    left = math.prod(d for i, d in enumerate(x.shape[:outside]) if i not in attrs(node).axes)
    if out.rows == 1 and left == 1 and 4 * out.elements < x.bytes:
        return Access("reduce", (Taps(),))
    return whole()


def _reduces(node: Node, graph: Graph) -> bool:
    return _access(node, graph).kind == "reduce"


def _is_int8(node: Node, graph: Graph) -> bool:
    return graph.out(node).dtype == "int8"


def _lower(node: Node, graph: Graph) -> Leaf:
    """No data. Scratch: one int32 or float sum for each output element, where rows come one by one."""
    a, (x,), out = attrs(node), graph.ins(node), graph.out(node)
    by_row = _access(node, graph).kind != "whole"
    inside = row_shape(x) if by_row else x.shape
    outside = len(x.shape) - len(inside)
    nest = loops(inside, [axis - outside for axis in a.axes])
    count = math.prod(x.shape[axis] for axis in a.axes)
    params = {"type": c_type(x), "kept": nest.kept, "reduced": nest.reduced}
    numbers = {"count": count, "in_rows": x.rows, "outputs": out.elements}
    if x.dtype != "float32":
        m = multiplier(x, out, count)
        numbers |= {"start": -count * x.zero_point, "mantissa": m.mantissa, "shift": m.shift}
        numbers |= {"out_zero": out.zero_point}
    return Leaf(params, numbers, scratch=4 * out.elements if _reduces(node, graph) else 0)


def _whole_rows(node: Node, graph: Graph) -> bool:
    """The mean of all columns of all rows, channels kept, where a row's columns add up in 16 bits."""
    if not (_is_int8(node, graph) and _reduces(node, graph)):
        return False
    kept, reduced = _one_loop_each(node, graph)
    return kept is not None and reduced is not None and reduced[0] <= LONGEST_ROW


def _one_loop_each(node: Node, graph: Graph) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The loops over a row, (trips, stride): neighbouring channels that stay and columns that go; None where others."""
    params = _lower(node, graph).params
    kept = cast(tuple[tuple[int, int], ...], params["kept"])
    reduced = cast(tuple[tuple[int, int], ...], params["reduced"])
    if len(kept) != 1 or len(reduced) != 1 or kept[0][1] != 1 or reduced[0][1] != kept[0][0]:
        return None, None
    return kept[0], reduced[0]


def _lower_dsp(node: Node, graph: Graph) -> Leaf:
    """No data. Scratch: one int32 sum for each channel."""
    made, (kept, reduced) = _lower(node, graph), _one_loop_each(node, graph)
    assert kept is not None  # `accepts` has asked
    assert reduced is not None
    numbers = {name: made.numbers[name] for name in ("start", "mantissa", "shift", "out_zero")}
    numbers |= {"channels": kept[0], "in_h": made.numbers["in_rows"]}
    return Leaf({"in_w": reduced[0], "rest": kept[0] % 4 > 0}, numbers, scratch=made.scratch)


def _is_float(node: Node, graph: Graph) -> bool:
    return graph.out(node).dtype == "float32"


_INT8_HELPERS = ("requantize", "clamp_int8")
_HELPERS = (*_INT8_HELPERS, "clamp_int16")

OPERATOR = Operator(
    attrs=Mean,
    codecs=(Codec("MEAN", "ReducerOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(
        Kernel("reduce_mve", _lower_dsp, _whole_rows, mve.MVE, ("mve_sums", *_INT8_HELPERS)),
        Kernel("reduce_dsp", _lower_dsp, _whole_rows, frozenset({"dsp"}), ("load_word", "sxtab16", *_INT8_HELPERS)),
        Kernel("reduce", _lower, lambda n, g: _reduces(n, g) and not _is_float(n, g), helpers=_HELPERS),
        Kernel("reduce_float", _lower, lambda n, g: _reduces(n, g) and _is_float(n, g)),
        Kernel("portable", _lower, lambda n, g: not _reduces(n, g) and not _is_float(n, g), helpers=_HELPERS),
        Kernel("float", _lower, lambda n, g: not _reduces(n, g) and _is_float(n, g)),
    ),
)
