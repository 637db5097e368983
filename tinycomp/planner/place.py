"""Placement of buffers in one static arena (dynamic storage allocation, all lifetimes known)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tinycomp.errors import BadInput
from tinycomp.planner.bound import lower_bound
from tinycomp.planner.buffers import Buffer, Placement
from tinycomp.planner.exact import prove
from tinycomp.planner.greedy import orders, packer, stacked
from tinycomp.planner.improve import improve
from tinycomp.planner.problem import Layout, Problem, Work, components, problem
from tinycomp.planner.repair import repair

EFFORT = 4_000_000
EXACT = 40  # buffers up to which branch and bound is tried
SPARSE = 1_500_000  # conflicts up to which the searches that list them are tried


def place(buffers: Sequence[Buffer], *, effort: int = EFFORT) -> Placement:
    """Offsets for the buffers in as small an arena as the effort finds. Deterministic.

    effort: a budget in looks at a placed buffer (very roughly 0.2 µs each), spent only while the lower bound is not
    met. 0 gives the best of a few greedy passes. Raises BadInput where two buffers share a name.
    """
    names = Counter(b.name for b in buffers)
    if len(names) != len(buffers):
        twice = next(name for name, times in names.items() if times > 1)
        raise BadInput(f"{names[twice]} buffers have this name", where=f"buffer {twice!r}", fix="give each its own")
    bound = lower_bound(buffers)
    work = Work(effort)
    offsets: dict[str, int] = {}
    size, optimal = 0, True
    # The arena is as large as the largest component: the others need not be smaller than that.
    for group in sorted(components(buffers), key=lower_bound, reverse=True):
        p = problem(group, max(bound, size))
        layout, proved = _solve(p, work)
        offsets.update((b.name, at) for b, at in zip(group, layout.offsets, strict=True))
        if layout.size > size:
            size, optimal = layout.size, proved
    return Placement({b.name: offsets[b.name] for b in buffers}, size, bound, size == bound or optimal)


def _solve(p: Problem, work: Work) -> tuple[Layout, bool]:
    """The best layout of one component, and whether none is smaller. Stops at `p.target` bytes."""
    pack, reserve = packer(p, work), work.left // 2  # the searches gain more than the last few orders
    best, best_order = stacked(p), list(range(p.count))
    for k, order in enumerate(orders(p)):
        for best_fit in (False, True):
            if best.size <= p.target or (work.left <= reserve and k > 1):
                break
            result = pack(order, best.size - 1, best_fit)
            if isinstance(result, Layout):
                best, best_order = result, order
    if best.size > p.target and p.count <= EXACT:
        allowance = Work(work.left // 8)
        best, proved = prove(p, best, allowance)
        work.spend(allowance.spent)
        if proved:
            return best, True
    if best.size > p.target and not work.over:
        best = _search(p, best_order, best, work)
    return best, best.size <= p.bound


def _search(p: Problem, order: list[int], best: Layout, work: Work) -> Layout:
    """Spend a part of the work on orders and the rest on repairs. Orders win where buffers are long-lived and few."""
    listed = p.conflicts <= SPARSE
    allowance = Work(work.left // 4 if listed else work.left)
    best = improve(p, packer(p, allowance), order, best, allowance)
    work.spend(allowance.spent)
    return repair(p, best, work) if listed else best
