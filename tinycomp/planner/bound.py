"""How small an arena could be at best: the bytes alive together at the busiest step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinycomp.planner.buffers import Buffer

Ints = NDArray[np.int64]


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Bytes that every placement needs: the largest sum of live sizes over the steps, alignment included.

    With g the greatest common divisor of the alignments alive at a step, all their offsets are multiples of g. So
    each buffer but the topmost takes its size rounded up to g; the topmost saves at most the largest rounding.
    """
    if not buffers:
        return 0
    size, start, end, align = _columns(buffers)
    steps = np.unique(start)  # a maximal set of live buffers is complete when its last member is born
    begin, stop = np.searchsorted(steps, start), np.searchsorted(steps, end)
    best = int(_sums(size, begin, stop, len(steps)).max())
    if bool((align == 1).all()):
        return best
    common = _common_alignment(align, begin, stop, len(steps))
    for g in np.unique(common):
        rounded = -(-size // g) * g
        load = np.where(common == g, _sums(rounded, begin, stop, len(steps)), 0)
        for step in np.argsort(-load, kind="stable"):
            if load[step] <= best:
                break
            live = (begin <= step) & (step < stop)
            best = max(best, int(load[step] - (rounded - size)[live].max()))
    return best


def _columns(buffers: Sequence[Buffer]) -> tuple[Ints, Ints, Ints, Ints]:
    table = np.array([(b.size, b.start, b.end, b.align) for b in buffers], dtype=np.int64)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def _sums(values: Ints, begin: Ints, stop: Ints, steps: int) -> Ints:
    """The sum of `values` alive at each step."""
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, begin, values)
    np.subtract.at(change, stop, values)
    return np.cumsum(change)[:steps]


def _common_alignment(align: Ints, begin: Ints, stop: Ints, steps: int) -> Ints:
    """The greatest common divisor of the alignments alive at each step (0 where nothing is alive)."""
    common = np.zeros(steps, dtype=np.int64)
    for value in np.unique(align):
        alive = _sums((align == value).astype(np.int64), begin, stop, steps) > 0
        common = np.where(alive, np.gcd(common, value), common)
    return common
