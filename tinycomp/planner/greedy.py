"""Placing buffers one by one, each in a gap between those already placed that are alive together with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from tinycomp.planner.problem import Layout, Problem, Work, neighbours

# (order, limit in bytes, best fit instead of first fit) -> the layout, or the buffer that did not fit below the limit
Packer = Callable[[Sequence[int], int, bool], Layout | int]

# Above this many conflicts per buffer, numpy over all buffers is faster than Python over the conflicts, and their
# lists would not be worth their memory.
DENSE = 300


def orders(p: Problem) -> list[list[int]]:
    """Orders worth trying, without repeats. Ties go to the earlier birth, then to the given order.

    Birth order is interval colouring, which is optimal for equal sizes; big or long-lived buffers first are the
    strategies of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020).
    """
    weight = conflict_bytes(p)
    crowd = crowding(p)
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (p.start[i], -p.size[i]),
        lambda i: (-p.size[i], p.start[i]),
        lambda i: (-p.size[i] * (p.end[i] - p.start[i]), p.start[i]),
        lambda i: (p.start[i] - p.end[i], -p.size[i], p.start[i]),
        lambda i: (-p.end[i], -p.size[i]),
        lambda i: (-weight[i], -p.size[i], p.start[i]),
        lambda i: (-crowd[i], -p.size[i], p.start[i]),
    ]
    found = [tuple(sorted(range(p.count), key=key)) for key in keys]
    return [list(order) for order in dict.fromkeys(found)]


def conflict_bytes(p: Problem) -> list[int]:
    """For each buffer, the bytes of all buffers alive together with it, its own included."""
    size = np.array(p.size, dtype=np.int64)
    total = int(size.sum())
    gone = _bytes_before(np.array(p.end), size, np.array(p.start) + 1)
    unborn = total - _bytes_before(np.array(p.start), size, np.array(p.end))
    return [int(w) for w in total - gone - unborn]


def _bytes_before(times: np.typing.NDArray[np.int64], size: np.typing.NDArray[np.int64],
                  moments: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.int64]:  # fmt: skip
    """For each moment, the bytes of the buffers whose time is earlier."""
    by_time = np.argsort(times, kind="stable")
    sums = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(size[by_time])])
    return sums[np.searchsorted(times[by_time], moments)]


def crowding(p: Problem) -> list[int]:
    """For each buffer, the live bytes at the busiest step of its life."""
    moments = sorted(set(p.start))
    index = {moment: k for k, moment in enumerate(moments)}
    change = [0] * (len(moments) + 1)
    stops = [int(k) for k in np.searchsorted(moments, p.end)]
    for i in range(p.count):
        change[index[p.start[i]]] += p.size[i]
        change[stops[i]] -= p.size[i]
    load = np.array(list(accumulate(change)), dtype=np.int64)
    return [int(load[index[p.start[i]] : stops[i]].max()) for i in range(p.count)]


def stacked(p: Problem) -> Layout:
    """All buffers on top of each other, as if alive together: what every packing improves on."""
    offsets: list[int] = []
    top = 0
    for size, align in zip(p.size, p.align, strict=True):
        offsets.append(-(-top // align) * align)
        top = offsets[-1] + size
    return Layout(offsets, top)


def packer(p: Problem, work: Work) -> Packer:
    """A packer for this problem that charges its work."""
    if p.conflicts > DENSE * p.count:
        return lambda order, limit, best_fit: pack_dense(p, order, limit, best_fit, work)
    near = neighbours(p)
    return lambda order, limit, best_fit: pack_sparse(p, near, order, limit, best_fit, work)


def pack_sparse(p: Problem, near: list[list[int]], order: Sequence[int], limit: int, best_fit: bool,
                work: Work) -> Layout | int:  # fmt: skip
    """Pack by walking each buffer's placed conflicts in order of offset."""
    offset, top = [-1] * p.count, [0] * p.count
    highest = looks = 0
    for i in order:
        size, align = p.size[i], p.align[i]
        placed = [j for j in near[i] if offset[j] >= 0]
        placed.sort(key=offset.__getitem__)
        looks += len(near[i]) + 4
        free, tightest, chosen = 0, -1, -1
        for j in placed:
            room = offset[j] - free
            if room >= size:
                if not best_fit:
                    break
                if chosen < 0 or room < tightest:
                    tightest, chosen = room, free
            if top[j] > free:
                free = -(-top[j] // align) * align
        if chosen >= 0:
            free = chosen
        if free + size > limit:
            work.spend(looks)
            return i
        offset[i], top[i] = free, free + size
        highest = max(highest, free + size)
    work.spend(looks)
    return Layout(offset, highest)


def pack_dense(p: Problem, order: Sequence[int], limit: int, best_fit: bool, work: Work) -> Layout | int:
    """Pack by masking one table of all placed buffers, kept in order of offset."""
    table = np.zeros((4, p.count), dtype=np.int64)  # offset, end of bytes, birth, death
    offsets = [-1] * p.count
    highest = 0
    for count, i in enumerate(order):
        size, align = p.size[i], p.align[i]
        work.spend(4 + p.degree[i] // 8)
        low, high, birth, death = table[:, :count]
        live = np.nonzero((birth < p.end[i]) & (death > p.start[i]))[0]
        free = np.zeros(len(live) + 1, dtype=np.int64)  # where each gap begins; the last is above everything
        np.maximum.accumulate(-(-high[live] // align) * align, out=free[1:])
        room = low[live] - free[:-1]
        fits = np.nonzero(room >= size)[0]
        gap = len(live) if not len(fits) else int(fits[np.argmin(room[fits])]) if best_fit else int(fits[0])
        at = int(free[gap])
        if at + size > limit:
            return i
        offsets[i] = at
        highest = max(highest, at + size)
        row = int(np.searchsorted(low, at))
        table[:, row + 1 : count + 1] = table[:, row:count].copy()
        table[:, row] = at, at + size, p.start[i], p.end[i]
    return Layout(offsets, highest)
