"""The planner's working view of its input: columns instead of objects, conflicts as lists, work as a count."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from tinycomp.planner.bound import lower_bound
from tinycomp.planner.buffers import Buffer


@dataclass(frozen=True)
class Problem:
    """Buffers that are connected by conflicts, as columns; `target` bytes is a size worth stopping at."""

    size: list[int]
    start: list[int]
    end: list[int]
    align: list[int]
    degree: list[int]  # buffers alive together with this one
    bound: int
    target: int

    @property
    def count(self) -> int:
        """Number of buffers."""
        return len(self.size)

    @property
    def conflicts(self) -> int:
        """Ordered pairs of buffers that are alive together."""
        return sum(self.degree)


@dataclass(frozen=True)
class Layout:
    """Byte offsets by buffer index, and the arena that they need."""

    offsets: list[int]
    size: int


@dataclass
class Work:
    """A budget in looks at a placed buffer, so that equal inputs give equal bytes on every machine."""

    left: int
    spent: int = field(default=0)

    def spend(self, amount: int) -> None:
        """Charge `amount`; the last charge may overdraw."""
        self.left -= amount
        self.spent += amount

    @property
    def over(self) -> bool:
        """Nothing is left."""
        return self.left <= 0


class Dice:
    """A linear congruential generator (Knuth's MMIX constants): the same throws on every version of Python."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, sides: int) -> int:
        """A number in [0, sides)."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) * sides >> 31


def components(buffers: Sequence[Buffer]) -> list[list[Buffer]]:
    """The buffers in groups whose lifetimes do not meet, in order of time. Each group can be placed by itself."""
    groups: list[list[Buffer]] = []
    reach = min((b.start for b in buffers), default=0)
    for buffer in sorted(buffers, key=lambda b: (b.start, b.end)):
        if buffer.start >= reach:
            groups.append([])
        groups[-1].append(buffer)
        reach = max(reach, buffer.end)
    return groups


def problem(buffers: Sequence[Buffer], target: int = 0) -> Problem:
    """The columns of these buffers, in their order. Stopping is worth it at `target` bytes or at their own bound."""
    starts, ends = sorted(b.start for b in buffers), sorted(b.end for b in buffers)
    # Alive together: born before the end, less those dead by the start, less the buffer itself.
    degree = [bisect_left(starts, b.end) - bisect_left(ends, b.start + 1) - 1 for b in buffers]
    bound = lower_bound(buffers)
    return Problem(
        [b.size for b in buffers],
        [b.start for b in buffers],
        [b.end for b in buffers],
        [b.align for b in buffers],
        degree,
        bound,
        max(bound, target),
    )


def neighbours(p: Problem) -> list[list[int]]:
    """For each buffer, those alive together with it."""
    by_start = sorted(range(p.count), key=lambda i: (p.start[i], i))
    starts = [p.start[i] for i in by_start]
    found: list[list[int]] = [[] for _ in by_start]
    for rank, i in enumerate(by_start):
        later = by_start[rank + 1 : bisect_left(starts, p.end[i])]
        found[i].extend(later)
        for j in later:
            found[j].append(i)
    return found
