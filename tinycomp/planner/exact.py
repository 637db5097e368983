"""Branch and bound over placements from the bottom up, which finds the smallest arena or runs out of work.

Take a smallest placement whose offsets have the least sum, and place its buffers in order of (offset, index). Then
- each buffer lies directly on the buffers placed before that are alive together with it (its *floor*), since else it
  could sink;
- no buffer is placed at or above the floor plus the size of another that is still to come, since that one could
  sink there without touching anything (the canonical order of MiniMalloc, Moffitt 2023).
So only such orders are searched. Of buffers that are equal in all but name, the first is placed first.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from tinycomp.planner.problem import Layout, Problem, Work, neighbours


def prove(p: Problem, best: Layout, work: Work) -> tuple[Layout, bool]:
    """The best layout found and whether nothing smaller exists. Starts from `best`; bounded by `work`."""
    search = _Search(p, best, work)
    complete = search.run()
    return search.best, complete


class _Search:
    """Depth first, with an explicit stack of candidate lists."""

    def __init__(self, p: Problem, best: Layout, work: Work) -> None:
        self.p, self.best, self.work = p, best, work
        self.near = neighbours(p)
        self.grain = math.gcd(*p.align)
        self.sections = _sections(p)
        self.within: list[list[int]] = [[] for _ in range(p.count)]
        for s, members in enumerate(self.sections):
            for i in members:
                self.within[i].append(s)
        self.rounded = [-(-size // self.grain) * self.grain for size in p.size]
        # The topmost buffer of a section needs no rounding; which one that is, is not known.
        self.slack = [max(self.rounded[i] - p.size[i] for i in members) for members in self.sections]
        self.twin = _twins(p)
        self.area = [size * (end - start) for size, start, end in zip(p.size, p.start, p.end, strict=True)]
        self.floor = [0] * p.count
        self.offset = [-1] * p.count
        self.height = [0] * len(self.sections)  # top of what is placed
        self.waiting = [sum(self.rounded[i] for i in members) for members in self.sections]  # bytes to come
        self.open = list(range(p.count))

    def run(self) -> bool:
        """Search; True where the tree was exhausted or the target reached."""
        undo: list[tuple[int, list[tuple[int, int]], list[tuple[int, int]]]] = []
        stack = [iter(self.candidates(0, -1))]
        while stack:
            if self.best.size <= self.p.target:
                return True
            if self.work.over:
                return False
            i = next(stack[-1], None)
            if i is None:
                stack.pop()
                if undo:
                    self.take_back(*undo.pop())
                continue
            undo.append(self.put(i))
            if not self.open:
                self.best = Layout(list(self.offset), max(self.height))
            hopeful = self.open and self.hopeful(self.offset[i])
            stack.append(iter(self.candidates(self.offset[i], i)) if hopeful else _nothing())
        return True

    def put(self, i: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """Place buffer i on its floor; what it returns takes it back."""
        at = self.floor[i]
        top = at + self.p.size[i]
        self.offset[i] = at
        self.open.remove(i)
        floors: list[tuple[int, int]] = []
        for j in self.near[i]:
            if self.offset[j] < 0:
                align = self.p.align[j]
                raised = -(-top // align) * align
                if raised > self.floor[j]:
                    floors.append((j, self.floor[j]))
                    self.floor[j] = raised
        heights: list[tuple[int, int]] = []
        for s in self.within[i]:
            heights.append((s, self.height[s]))
            self.height[s] = top
            self.waiting[s] -= self.rounded[i]
        self.work.spend(len(self.near[i]) + len(self.within[i]) + len(self.sections) + 2 * len(self.open))
        return i, floors, heights

    def take_back(self, i: int, floors: list[tuple[int, int]], heights: list[tuple[int, int]]) -> None:
        """Undo `put(i)`."""
        for s, height in heights:
            self.height[s] = height
            self.waiting[s] += self.rounded[i]
        for j, floor in floors:
            self.floor[j] = floor
        self.offset[i] = -1
        self.open.append(i)

    def hopeful(self, last: int) -> bool:
        """Whether every section can still end below the best arena. What is to come lies at `last` or above."""
        grain, best = self.grain, self.best.size
        for height, waiting, slack in zip(self.height, self.waiting, self.slack, strict=True):
            if waiting:
                base = height if height > last else last
                if -(-base // grain) * grain + waiting - slack >= best:
                    return False
        return True

    def candidates(self, last: int, last_index: int) -> list[int]:
        """The buffers that may come next in the canonical order, the most promising first."""
        lid = min(self.floor[j] + self.p.size[j] for j in self.open)
        if lid <= last:
            return []  # one that is still to come could sink below the last one
        found: list[int] = []
        for i in self.open:
            at = self.floor[i]
            if at >= lid or at < last or (at == last and i < last_index):
                continue
            if self.twin[i] >= 0 and self.offset[self.twin[i]] < 0:
                continue
            if at + self.p.size[i] < self.best.size:
                found.append(i)
        found.sort(key=lambda i: (self.floor[i], -self.area[i], i))
        return found


def _nothing() -> Iterator[int]:
    return iter(())


def _sections(p: Problem) -> list[list[int]]:
    """The maximal sets of buffers alive together: those at a birth that a death follows before the next birth."""
    births, deaths = sorted(set(p.start)), sorted(p.end)
    sections: list[list[int]] = []
    for k, step in enumerate(births):
        following = births[k + 1] if k + 1 < len(births) else deaths[-1]
        if bisect_right(deaths, following) > bisect_right(deaths, step):
            sections.append([i for i in range(p.count) if p.start[i] <= step < p.end[i]])
    return sections


def _twins(p: Problem) -> list[int]:
    """For each buffer, the previous one that is equal in all but its index, or −1."""
    last: dict[tuple[int, int, int, int], int] = {}
    twins: list[int] = []
    for i, key in enumerate(zip(p.size, p.start, p.end, p.align, strict=True)):
        twins.append(last.get(key, -1))
        last[key] = i
    return twins
