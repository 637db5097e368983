"""CONCATENATION: tensors side by side along one axis, any dtype. Bytes are copied, never requantized.

The reference kernels require int8 operands to be quantized exactly like the output and int16 to have no zero point.
int16 scales they do not compare; neither does this.

Sources: tensorflow/lite/micro/kernels/concatenation.cc and tensorflow/lite/kernels/concatenation.cc (Prepare).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import ITEM_BYTES, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, rowwise, whole
from tinycomp.ops.axes import axis_of, row_axes
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written
from tinycomp.ops.reshape import Reshape


@dataclass(frozen=True)
class Concatenation(Attrs):
    """axis: counted from the front."""

    op: ClassVar[str] = "concatenation"
    axis: int = 0


def attrs(node: Node) -> Concatenation:
    """The node's attributes, typed."""
    return cast(Concatenation, node.attrs)


def _read(source: Source) -> Parsed:
    where = f"{source.name} ({source.builtin})"
    if source.activation() != "none":
        raise Unsupported("a fused activation is not supported, nor by the reference kernels", where=where,
                          fix="use a separate activation layer")  # fmt: skip
    inputs = tuple(source.input(i) for i in range(len(source.inputs)))
    if not inputs:
        raise BadInput("has no inputs", where=where, fix="export the model again")
    axis = axis_of(int(source.options.get("axis", 0)), len(inputs[0].shape), where)
    return Parsed(Reshape(inputs[0].shape) if len(inputs) == 1 else Concatenation(axis), inputs)


def _write(node: Node, graph: Graph) -> Written:
    return Written({"axis": attrs(node).axis, "fused_activation_function": 0}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    axis, ins, where = attrs(node).axis, graph.ins(node), f"{node.name} (concatenation)"
    first, out = ins[0], graph.out(node)
    for t in ins[1:]:
        if t.dtype != first.dtype or _without(t.shape, axis) != _without(first.shape, axis):
            pair = f"{t.name!r} {t.dtype}{list(t.shape)} and {first.name!r} {first.dtype}{list(first.shape)}"
            raise BadInput(f"{pair} do not fit together along axis {axis}", where=where, fix="export the model again")
    for t in ins:
        if not _alike(t, out):
            raise Unsupported(f"input {t.name!r} and output {out.name!r} are quantized differently ({_show(t)} and "
                              f"{_show(out)}), and a concatenation does not requantize", where=where,
                              fix="quantize the operands alike, or put a QUANTIZE before it")  # fmt: skip
    return (((*first.shape[:axis], sum(t.shape[axis] for t in ins), *first.shape[axis + 1 :]), first.dtype),)


def _alike(t: Tensor, out: Tensor) -> bool:
    """The operand's integers mean what the output's do, as far as the reference kernels look."""
    if t.dtype in ("int8", "uint8"):
        return _parameters(t) == _parameters(out)
    return t.dtype != "int16" or not any((*_parameters(t)[1], *_parameters(out)[1]))


def _parameters(t: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]]:
    return ((), ()) if t.quant is None else (t.quant.scale, t.quant.zero_point)


def _show(t: Tensor) -> str:
    if t.quant is None:
        return "no parameters"
    return f"scale {t.quant.scale[0]:.9g}, zero point {t.quant.zero_point[0]}"


def _without(shape: Shape, axis: int) -> Shape:
    return (len(shape), *shape[:axis], *shape[axis + 1 :])


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    axis, ins = attrs(node).axis, graph.ins(node)
    batch = max(a.shape[0] // t.shape[0] for a, t in zip(args, ins, strict=True)) if axis else 1
    parts = [
        np.tile(a, (batch,) + (1,) * (a.ndim - 1)) if t.data is not None and batch > 1 else a
        for a, t in zip(args, ins, strict=True)
    ]
    return (np.concatenate(parts, axis=axis),)


def _by_rows(node: Node, graph: Graph) -> bool:
    """The axis lies inside a row, and all rows of a constant are equal: a kernel is not told which row it makes."""
    inside = attrs(node).axis >= row_axes(graph.out(node).shape)
    return inside and all(t.data is None or _one_row(t, t.data) is not None for t in graph.ins(node))


def _one_row(t: Tensor, data: Array) -> Array | None:
    """The row that all rows of a constant equal, flat."""
    rows = data.reshape(t.rows, -1)
    return rows[0] if rows.tobytes() == rows[:1].tobytes() * t.rows else None


def _access(node: Node, graph: Graph) -> Access:
    operands = len(graph.activations(node))
    return rowwise(operands) if _by_rows(node, graph) else whole(operands)


def _lower(node: Node, graph: Graph) -> Leaf:
    """parts: (operand or constant, its number, bytes) of what lies side by side, `repeat` times in a row or tensor."""
    axis, ins, by_rows = attrs(node).axis, graph.ins(node), _by_rows(node, graph)
    item = ITEM_BYTES[ins[0].dtype]
    parts: list[tuple[bool, int, int]] = []
    consts: list[Const] = []
    for t in ins:
        size = math.prod(t.shape[axis:]) * item
        if t.data is None:
            parts.append((False, len(parts) - len(consts), size))
            continue
        parts.append((True, len(consts), size))
        row = _one_row(t, t.data) if by_rows else None
        consts.append(Const("weights", t.data.reshape(-1) if row is None else row))
    outer = ins[0].shape[row_axes(ins[0].shape) if by_rows else 0 : axis]
    return Leaf({"parts": tuple(parts), "repeat": math.prod(outer)}, consts=tuple(consts))


OPERATOR = Operator(
    attrs=Concatenation,
    codecs=(Codec("CONCATENATION", "ConcatenationOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
    access=_access,
    kernels=(Kernel("portable", _lower),),
)
