"""Local search over packing orders: a buffer that does not fit below the best size is asked for earlier."""

from __future__ import annotations

from tinycomp.planner.greedy import Packer
from tinycomp.planner.problem import Layout, Problem, Work

PATIENCE = 40  # failures in a row before the order is shaken


class _Dice:
    """A linear congruential generator (Knuth's MMIX constants): the same numbers on every version of Python."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, limit: int) -> int:
        """A number in [0, limit)."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) * limit >> 31


def improve(p: Problem, pack: Packer, order: list[int], best: Layout, work: Work) -> Layout:
    """The best layout that a bounded search from this order finds; never worse than `best`."""
    dice = _Dice(p.count)
    order, kept = list(order), list(order)
    failures = reached = 0
    while not work.over and best.size > p.target:
        result = pack(order, best.size - 1, bool(failures & 1))
        if isinstance(result, Layout):
            best, kept, failures = result, list(order), 0
            continue
        failures += 1
        at = order.index(result)
        if failures % PATIENCE == 0:
            order = list(kept)
            for _ in range(1 + dice.below(4)):
                a, b = dice.below(p.count), dice.below(p.count)
                order[a], order[b] = order[b], order[a]
        else:
            order.insert(dice.below(at + 1) if at else 0, order.pop(at))
    return best
