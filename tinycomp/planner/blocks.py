"""Placement of rows: blocks of pieces that move together, each piece alive in time intervals of its own.

A free row is a block of one piece. A tensor that must be dense is a block with a piece for each row, so that a later
tensor may take the place of the rows that nobody needs any more. First fit: the lowest address at which no piece
meets a placed piece in bytes and time, for a few orders of the blocks; the best order is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 12  # rounds in which the blocks that end highest are placed earlier
GIANT = 1 << 40

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """`size` bytes at `offset` in their block, alive in the tasks [start, end)."""

    offset: int
    size: int
    start: int
    end: int


@dataclass(frozen=True)
class Block:
    """Pieces that are placed as one, at a multiple of `align`."""

    name: str
    pieces: tuple[Piece, ...]
    align: int

    @property
    def size(self) -> int:
        """Bytes from the block's start to the end of its last piece."""
        return max(p.offset + p.size for p in self.pieces)

    @property
    def start(self) -> int:
        """The first task in which a piece is alive."""
        return min(p.start for p in self.pieces)

    @property
    def end(self) -> int:
        """The task after the last one in which a piece is alive."""
        return max(p.end for p in self.pieces)


@dataclass(frozen=True)
class Layout:
    """Where each block begins, in the order given; size: bytes of arena; lower_bound: no layout can go below."""

    offsets: tuple[int, ...]
    size: int
    lower_bound: int


def live_bytes(blocks: Iterable[Block], tasks: int) -> Ints:
    """Bytes alive at each task."""
    change = np.zeros(tasks + 1, np.int64)
    for block in blocks:
        for p in block.pieces:
            change[p.start] += p.size
            change[p.end] -= p.size
    return np.cumsum(change)[:tasks]


def place_blocks(blocks: Sequence[Block], tasks: int) -> Layout:
    """Offsets in as small an arena as a bounded search finds. Deterministic."""
    bound = int(live_bytes(blocks, tasks).max(initial=0))
    best: tuple[int, list[int]] = (GIANT, [])
    best_order: list[int] = []
    for order in _orders(blocks):
        found = _first_fit(blocks, order, best[0])
        if found is not None and found[0] < best[0]:
            best, best_order = found, order
        if best[0] <= bound:
            break
    order = best_order
    for _ in range(ROUNDS):
        if best[0] <= bound or len(blocks) < 2:
            break
        top = [i for i in order if best[1][i] + blocks[i].size == best[0]]
        order = [*top, *(i for i in order if i not in set(top))]
        found = _first_fit(blocks, order, best[0])
        if found is None:
            break
        best = found
    return Layout(tuple(best[1]), best[0] if blocks else 0, bound)


def _orders(blocks: Sequence[Block]) -> list[list[int]]:
    """Birth; size; dense blocks first with either; longest life; the reverse of birth."""
    indices = range(len(blocks))
    size = [b.size for b in blocks]
    start = [b.start for b in blocks]
    dense = [len(b.pieces) > 1 for b in blocks]
    life = [b.end - b.start for b in blocks]
    keys = [
        [(-size[i], start[i]) for i in indices],
        [(not dense[i], start[i], -size[i]) for i in indices],
        [(not dense[i], -size[i], start[i]) for i in indices],
        [(start[i], -size[i]) for i in indices],
        [(not dense[i], -size[i] * life[i], start[i]) for i in indices],
        [(-life[i], -size[i]) for i in indices],
        [(-start[i], -size[i]) for i in indices],
    ]
    return [sorted(indices, key=key.__getitem__) for key in keys]


def _first_fit(blocks: Sequence[Block], order: Sequence[int], limit: int) -> tuple[int, list[int]] | None:
    """(arena bytes, offsets), None where the arena would reach `limit`."""
    total = sum(len(b.pieces) for b in blocks)
    placed = np.zeros((4, total), np.int64)  # address, size, start, end of each piece placed so far
    count, arena = 0, 0
    offsets = [0] * len(blocks)
    for i in order:
        block = blocks[i]
        at = _lowest(block, placed[:, :count])
        arena = max(arena, at + block.size)
        if arena >= limit:
            return None
        offsets[i] = at
        for p in block.pieces:
            placed[:, count] = (at + p.offset, p.size, p.start, p.end)
            count += 1
    return arena, offsets


def _lowest(block: Block, placed: Ints) -> int:
    """The lowest aligned address at which the block meets nothing."""
    address, size, start, end = placed
    low: list[Ints] = []
    high: list[Ints] = []
    for p in block.pieces:
        meets = (start < p.end) & (end > p.start)
        near = address[meets]
        low.append(near - p.offset - p.size)  # the block's start must not lie strictly between low and high
        high.append(near + size[meets] - p.offset)
    lows, highs = np.concatenate(low), np.concatenate(high)
    by_low = np.argsort(lows, kind="stable")
    at = 0
    for a, b in zip(lows[by_low].tolist(), highs[by_low].tolist(), strict=True):
        if a >= at:
            break
        if b > at:
            at = -(-b // block.align) * block.align
    return at
