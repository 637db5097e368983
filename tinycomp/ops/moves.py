"""What operators that only move elements share: slices, tiles, reversals, blocks of space and depth.

Such an operator says what it does once, as its numpy reference. Here the reference is applied to the numbers of the
input's elements, and the answer, the element that each output element copies, is taken apart into a nest of loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinycomp.ir import ITEM_BYTES, Array, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Taps, whole
from tinycomp.ops.axes import row_axes

Index = NDArray[np.int64]
Reference = Callable[[Node, Graph, Sequence[Array]], tuple[Array, ...]]
MOST_TAPS = 8  # rows of input that one row of output may come from; beyond that the operand is read whole


class Loop(NamedTuple):
    """One level of the nest: how many times, and how far the source moves on; or the table that says where to.

    row: steps in rows of input. step: in elements. table: its number, or −1.
    """

    times: int
    row: int
    step: int
    table: int = -1


@dataclass(frozen=True)
class Walk:
    """The elements that are copied, in the order of the output: the loops, outermost first, from a first element."""

    row: int
    start: int
    loops: tuple[Loop, ...]
    tables: tuple[tuple[int, ...], ...] = ()


class Plan(NamedTuple):
    """How an operator that moves is run: the operand's rows, and the walk of one call."""

    access: Access
    walk: Walk


def sources(reference: Reference, node: Node, graph: Graph) -> Index:
    """For each element of the output the number of the input element that it copies."""
    x = graph.ins(node)[0]
    values: list[Array] = [np.arange(x.elements, dtype=np.int64).reshape(x.shape)]
    values += [t.data for t in graph.ins(node)[1:] if t.data is not None]
    (made,) = reference(node, graph, values)
    return made.astype(np.int64)


def plan(reference: Reference, node: Node, graph: Graph) -> Plan:
    """Row by row where each output row comes from the input's rows at one stride, else everything at once."""
    x, out, index = graph.ins(node)[0], graph.out(node), sources(reference, node, graph)
    return _by_row(x, out, index) or Plan(whole(), walk(index))


def access(reference: Reference) -> Callable[[Node, Graph], Access]:
    """Which rows of the input an output row copies from, given the operator's reference."""
    return lambda node, graph: plan(reference, node, graph).access


def copy(reference: Reference) -> Kernel:
    """The kernel of an operator whose output elements are copies of input elements.

    Elements by their size, whatever the dtype. Tables of offsets in elements, in the narrowest type that does.
    """

    def lower(node: Node, graph: Graph) -> Leaf:
        x, found = graph.ins(node)[0], plan(reference, node, graph).walk
        params = {
            "type": f"uint{8 * ITEM_BYTES[x.dtype]}_t", "loops": tuple(tuple(loop) for loop in found.loops),
            "row": found.row, "start": found.start,
        }  # fmt: skip
        return Leaf(params, consts=tuple(Const("table", _narrow(np.array(t, np.int64))) for t in found.tables))

    return Kernel("copy", lower)


def _by_row(x: Tensor, out: Tensor, index: Index) -> Plan | None:
    rows = index.reshape(out.rows, -1)
    first = rows.min(axis=1) // x.row_elements
    inside = rows[0] - first[0] * x.row_elements
    if not (rows - first[:, None] * x.row_elements == inside).all():
        return None
    stride = int(first[1] - first[0]) if out.rows > 1 else 1
    count = int(inside.max()) // x.row_elements + 1
    lined_up = (first == first[0] + stride * np.arange(out.rows)).all()
    if stride < 0 or not lined_up or count > (MOST_TAPS if out.rows > 1 else 1):
        return None
    found = walk(inside.reshape(out.shape[row_axes(out.shape) :] or (1,)))
    parted = found if count == 1 else _parted(found, x.row_elements)
    return parted and Plan(Access("window", (Taps(count, stride, 1, -int(first[0])),)), parted)


def _parted(found: Walk, row: int) -> Walk | None:
    """The walk with its steps in rows and elements; None where one is neither."""
    loops = [Loop(n, step // row, 0) if step % row == 0 else Loop(n, 0, step) for n, _, step, _ in found.loops]
    columns = found.start % row + sum((loop.times - 1) * loop.step for loop in loops)
    if found.tables or columns >= row or any(loop.step < 0 or loop.row < 0 for loop in loops):
        return None
    if loops[-1].row:
        loops.append(Loop(1, 0, 1))
    return Walk(found.start // row, found.start % row, tuple(loops))


def walk(index: Index) -> Walk:
    """The fewest loops that visit the elements `index` in its order.

    Axes whose contributions add up are loops of their own; where they do not, one table lists every element.
    """
    start = int(index.flat[0])
    lines: list[Index] = []
    for axis in range(index.ndim):
        at: list[Any] = [0] * index.ndim
        at[axis] = slice(None)
        lines.append(index[tuple(at)] - start)
    total = np.full(index.shape, start)
    for axis, line in enumerate(lines):
        total = total + line.reshape([-1 if i == axis else 1 for i in range(index.ndim)])
    if not (total == index).all():
        lines = [index.reshape(-1) - start]
    loops: list[Loop] = []
    tables: list[tuple[int, ...]] = []
    for line in lines:
        for count, found in _radix(line):
            last = loops[-1] if loops else None
            if not isinstance(found, int):
                if found not in tables:
                    tables.append(found)
                loops.append(Loop(count, 0, 0, tables.index(found)))
            elif last and last.table < 0 and last.step == found * count:
                loops[-1] = Loop(last.times * count, 0, found)
            else:
                loops.append(Loop(count, 0, found))
    return Walk(0, start, tuple(loops) or (Loop(1, 0, 1),), tuple(tables))


def _radix(line: Index) -> list[tuple[int, int | tuple[int, ...]]]:
    """One axis as loops (count, step): several where it counts in digits, a table where it follows no rule."""
    n = len(line)
    if n == 1:
        return []
    if (np.diff(line) == line[1]).all():
        return [(n, int(line[1]))]
    for inner in range(2, n // 2 + 1):
        digits, low = line[::inner], line[:inner]
        if n % inner or not (np.diff(low) == low[1]).all():
            continue
        if (line.reshape(-1, inner) == digits[:, None] + low).all():
            return [*_radix(digits), (inner, int(low[1]))]
    return [(n, tuple(int(v) for v in line))]


def _narrow(table: Index) -> Array:
    """The values in the smallest unsigned type, or in int16 or int32 where some are negative."""
    low, high = int(table.min()), int(table.max())
    kinds = (np.uint8, np.uint16, np.int16, np.int32)
    fits = (k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    return table.astype(next(fits))
