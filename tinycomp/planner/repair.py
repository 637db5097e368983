"""Guided ejection search: squeeze a layout below a limit by moving only what is in the way.

What sticks out is taken from the layout and put back, one buffer at a time: into a gap if there is one, else where
the buffers that it throws out weigh least. These are then put back in the same way. A buffer's weight grows each time
it finds no gap, so that the search does not go in circles (after Nagata and Bräysy, "A powerful route minimization
heuristic for the vehicle routing problem with time windows", 2009). One move touches only buffers that are alive
together, so a thousand short-lived row slots cost no more per move than a dozen.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate

from tinycomp.planner.problem import Dice, Layout, Problem, Work, neighbours

STAGES = 16  # the effort is cut into this many tries, before a limit is given up for one that is closer


def repair(p: Problem, best: Layout, work: Work) -> Layout:
    """The best layout that a bounded search from `best` finds; never worse."""
    search = _Search(p)
    # Pushed-down layouts end at sums of sizes and alignments, so smaller steps than their divisor change nothing.
    grain = math.gcd(*p.size, *p.align)
    stage = work.left // STAGES
    step = max(grain, (best.size - p.bound) // 2)
    while not work.over and best.size > p.target:
        allowance = Work(min(work.left, stage))
        found = search.squeeze(best, max(best.size - step, p.target), allowance)
        work.spend(allowance.spent + p.count)
        if found is not None:
            best = found
            step = max(grain, min(step, (best.size - p.bound) // 2))
            continue
        if step == grain:  # the closest limit has failed: longer tries, from fresh weights
            stage *= 2
            search.penalty = [1] * p.count
        step = max(grain, step // 2)
    return best


class _Search:
    def __init__(self, p: Problem) -> None:
        self.p = p
        self.near = neighbours(p)
        self.dice = Dice(p.count)
        self.penalty = [1] * p.count
        self.area = [size * (end - start) for size, start, end in zip(p.size, p.start, p.end, strict=True)]
        self.offset = [-1] * p.count

    def squeeze(self, layout: Layout, limit: int, work: Work) -> Layout | None:
        """A layout of at most `limit` bytes made from this one, or None where the work ran out first."""
        p = self.p
        self.offset = offset = list(layout.offsets)
        homeless = [i for i in range(p.count) if offset[i] + p.size[i] > limit]
        for i in homeless:
            offset[i] = -1
        homeless.sort(key=p.size.__getitem__)  # the last is the next
        while homeless:
            if work.over:
                return None
            i = homeless.pop()
            placed = [j for j in self.near[i] if offset[j] >= 0]
            placed.sort(key=offset.__getitem__)
            work.spend(len(self.near[i]) + 8)
            at = self.gap(i, placed, limit)
            if at < 0:
                work.spend(6 * len(placed))
                self.penalty[i] += 1
                at = self.cheapest(i, placed, limit)
                if at < 0:
                    return None
                top = at + p.size[i]
                thrown = [j for j in placed if offset[j] < top and offset[j] + p.size[j] > at]
                for j in thrown:
                    offset[j] = -1
                homeless.extend(sorted(thrown, key=p.size.__getitem__))
            offset[i] = at
        return Layout(offset, max(at + size for at, size in zip(offset, p.size, strict=True)))

    def gap(self, i: int, placed: list[int], limit: int) -> int:
        """The lowest offset at which buffer i fits between the placed ones, or −1."""
        sizes, size, align, offset = self.p.size, self.p.size[i], self.p.align[i], self.offset
        free = 0
        for j in placed:
            if offset[j] - free >= size:
                return free
            top = offset[j] + sizes[j]
            if top > free:
                free = -(-top // align) * align
        return free if free + size <= limit else -1

    def cheapest(self, i: int, placed: list[int], limit: int) -> int:
        """The offset at which buffer i would throw out the least weight, ties by the dice; −1 where there is none.

        The least weight is found where some buffer's bytes end, or at 0. The weight thrown out by [at, at + size) is
        that of the buffers which begin below at + size, less that of those which end at or below `at`.
        """
        size, align, offset = self.p.size[i], self.p.align[i], self.offset
        weights = [self.penalty[j] * self.area[j] for j in placed]
        lows = [offset[j] for j in placed]
        begun = [0, *accumulate(weights)]
        ends = sorted((offset[j] + self.p.size[j], weight) for j, weight in zip(placed, weights, strict=True))
        tops = [top for top, _ in ends]
        ended = [0, *accumulate(weight for _, weight in ends)]
        least, found = -1, [-1]
        for at in dict.fromkeys([0, *(-(-top // align) * align for top in tops)]):
            if at + size > limit:
                break
            weight = begun[bisect_left(lows, at + size)] - ended[bisect_right(tops, at)]
            if least < 0 or weight < least:
                least, found = weight, [at]
            elif weight == least:
                found.append(at)
        return found[self.dice.below(len(found))]
