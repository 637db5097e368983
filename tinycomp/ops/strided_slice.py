"""STRIDED_SLICE and SLICE: a box of a tensor, with steps, some axes dropped.

Sources: tensorflow/lite/kernels/internal/strided_slice_logic.h, tensorflow/lite/micro/kernels/strided_slice.cc and
slice.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Attrs, DType, Graph, Node
from tinycomp.ops import moves
from tinycomp.ops.axes import integers
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class StridedSlice(Attrs):
    """Elements start, start + step, … before stop of each axis (a negative step may stop at −1); `drop` lists the axes
    that the output does without."""

    op: ClassVar[str] = "strided_slice"
    start: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()
    step: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()


def attrs(node: Node) -> StridedSlice:
    """The node's attributes, typed."""
    return cast(StridedSlice, node.attrs)


def _read(source: Source) -> Parsed:
    where, x = f"{source.name} ({source.builtin})", source.input(0)
    if source.options.get("ellipsis_mask") or source.options.get("new_axis_mask"):
        raise Unsupported("ellipsis and new-axis masks are not supported", where=where,
                          fix="write the slice with one index for each axis and reshape after it")  # fmt: skip
    begin, end, strides = (integers(source.constant(i + 1, what)) for i, what in enumerate(("begin", "end", "strides")))
    if not len(begin) == len(end) == len(strides) <= len(x.shape):
        raise BadInput(f"begin, end and strides have {len(begin)}, {len(end)} and {len(strides)} entries for an input "
                       f"of rank {len(x.shape)}", where=where, fix="export the model again")  # fmt: skip
    bounds = [_bounds(source, i, n, (begin[i], end[i], strides[i]), where) for i, n in enumerate(x.shape[: len(begin)])]
    bounds += [(0, n, 1) for n in x.shape[len(begin) :]]
    shrink = int(source.options.get("shrink_axis_mask", 0))
    drop = tuple(i for i in range(len(begin)) if shrink >> i & 1)
    start, stop, step = (tuple(b[k] for b in bounds) for k in range(3))
    return Parsed(StridedSlice(start, stop, step, drop), (x,))


def _bounds(source: Source, axis: int, size: int, triple: tuple[int, int, int], where: str) -> tuple[int, int, int]:
    """(start, stop, step) of one axis: masks, negative indices and clamping as in StartForAxis and StopForAxis."""
    begin, end, step = triple
    dropped = bool(int(source.options.get("shrink_axis_mask", 0)) >> axis & 1)
    if step == 0 or (dropped and step < 0):
        raise BadInput(f"the stride of axis {axis}{', which is dropped,' if dropped else ''} is {step}", where=where,
                       fix="export the model again")  # fmt: skip
    low, high = (0, size) if step > 0 else (-1, size - 1)

    def settled(index: int) -> int:
        return min(max(index + size if index < 0 else index, low), high)

    def masked(option: str) -> bool:
        return bool(int(source.options.get(option, 0)) >> axis & 1)

    start = (low if step > 0 else high) if masked("begin_mask") else settled(begin)
    if dropped:
        if not 0 <= start < size:
            raise BadInput(f"index {begin} of axis {axis} is outside its {size} elements", where=where,
                           fix="export the model again")  # fmt: skip
        return start, start + 1, 1
    if masked("end_mask"):
        return start, high if step > 0 else low, step
    return start, settled(end + start if source.options.get("offset") else end), step


def _read_slice(source: Source) -> Parsed:
    where, x = f"{source.name} ({source.builtin})", source.input(0)
    begin, sizes = integers(source.constant(1, "begin")), integers(source.constant(2, "size"))
    if not len(begin) == len(sizes) == len(x.shape):
        raise BadInput(f"begin and size have {len(begin)} and {len(sizes)} entries for an input of rank {len(x.shape)}",
                       where=where, fix="export the model again")  # fmt: skip
    stop = tuple(n if size == -1 else b + size for n, b, size in zip(x.shape, begin, sizes, strict=True))
    if any(not 0 <= b <= e <= n for n, b, e in zip(x.shape, begin, stop, strict=True)):
        raise BadInput(f"begin {list(begin)} and size {list(sizes)} leave {x.name!r} {list(x.shape)}", where=where,
                       fix="export the model again")  # fmt: skip
    return Parsed(StridedSlice(begin, stop, (1,) * len(begin)), (x,))


def _write_slice(node: Node, graph: Graph) -> Written | None:
    a = attrs(node)
    if a.drop or any(s != 1 for s in a.step):
        return None
    sizes = [e - b for b, e in zip(a.start, a.stop, strict=True)]
    return Written({}, (node.inputs[0], np.array(a.start, np.int32), np.array(sizes, np.int32)))


def _write(node: Node, graph: Graph) -> Written | None:
    """A stop of −1 cannot be written as an index, which would count from the back: the mask says it."""
    a = attrs(node)
    to_front = sum(1 << i for i, e in enumerate(a.stop) if e < 0)
    options = {
        "begin_mask": 0, "end_mask": to_front, "ellipsis_mask": 0, "new_axis_mask": 0,
        "shrink_axis_mask": sum(1 << i for i in a.drop), "offset": False,
    }  # fmt: skip
    stop = [max(e, 0) for e in a.stop]
    return Written(options, (node.inputs[0], *(np.array(v, np.int32) for v in (a.start, stop, a.step))))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, (x,) = attrs(node), graph.ins(node)
    where = f"{node.name} (strided_slice)"
    if not len(a.start) == len(a.stop) == len(a.step) == len(x.shape):
        raise BadInput(f"slices {len(a.start)} axes of {x.name!r} {list(x.shape)}", where=where,
                       fix="export the model again")  # fmt: skip
    sizes = [len(range(*triple)) for triple in zip(a.start, a.stop, a.step, strict=True)]
    if any(sizes[i] != 1 for i in a.drop):
        raise BadInput(f"drops axes {list(a.drop)} of a slice of shape {sizes}", where=where,
                       fix="export the model again")  # fmt: skip
    return ((tuple(n for i, n in enumerate(sizes) if i not in a.drop), x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, (x,), (declared,) = attrs(node), args, graph.ins(node)
    box: list[slice | int] = []
    for i, (start, stop, step) in enumerate(zip(a.start, a.stop, a.step, strict=True)):
        if i in a.drop:
            box.append(start)
        elif (start, stop, step) == (0, declared.shape[i], 1):
            box.append(slice(None))
        elif not range(start, stop, step):
            box.append(slice(0, 0))
        else:
            box.append(slice(start, None if stop < 0 else stop, step))
    return (np.asarray(x[tuple(box)]).copy(),)


OPERATOR = Operator(
    attrs=StridedSlice,
    codecs=(
        Codec("SLICE", "SliceOptions", _read_slice, _write_slice),
        Codec("STRIDED_SLICE", "StridedSliceOptions", _read, _write),
    ),
    infer=_infer,
    reference=_reference,
    access=moves.access(_reference),
    kernels=(moves.copy(_reference),),
)
