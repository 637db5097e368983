"""Local search over packing orders: a buffer that does not fit below the best size is asked for earlier."""

from __future__ import annotations

from tinycomp.planner.greedy import Packer
from tinycomp.planner.problem import Dice, Layout, Problem, Work

PATIENCE = 40  # failures in a row before the order is shaken


def improve(p: Problem, pack: Packer, order: list[int], best: Layout, work: Work) -> Layout:
    """The best layout that a bounded search from this order finds; never worse than `best`.

    `pack` charges `work`. First fit and best fit take turns.
    """
    dice = Dice(p.count)
    order, kept = list(order), list(order)
    failures = 0
    while not work.over and best.size > p.target:
        result = pack(order, best.size - 1, bool(failures & 1))
        work.spend(p.count // 4)
        if isinstance(result, Layout):
            best, kept, failures = result, list(order), 0
            continue
        failures += 1
        if failures % PATIENCE == 0:
            order = list(kept)
            for _ in range(1 + dice.below(4)):
                a, b = dice.below(p.count), dice.below(p.count)
                order[a], order[b] = order[b], order[a]
        else:
            at = order.index(result)
            order.insert(dice.below(at + 1), order.pop(at))
    return best
