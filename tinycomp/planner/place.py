"""Placement of buffers in one static arena (dynamic storage allocation, known offline)."""

from __future__ import annotations

from collections.abc import Sequence

from tinycomp.errors import BadInput
from tinycomp.planner.bound import lower_bound
from tinycomp.planner.buffers import Buffer, Placement
from tinycomp.planner.exact import prove
from tinycomp.planner.greedy import orders, packer
from tinycomp.planner.improve import improve
from tinycomp.planner.problem import Layout, Problem, Work, components, problem

EFFORT = 2_000_000
EXACT = 60  # buffers up to which branch and bound is tried


def place(buffers: Sequence[Buffer], *, effort: int = EFFORT) -> Placement:
    """Offsets for the buffers in as small an arena as the effort finds. Deterministic.

    effort: a budget in looks at placed buffers, spent until the lower bound is met. Raises BadInput where two
    buffers share a name.
    """
    names = {b.name for b in buffers}
    if len(names) != len(buffers):
        twice = next(b.name for k, b in enumerate(buffers) if any(b.name == other.name for other in buffers[:k]))
        raise BadInput("two buffers have this name", where=f"buffer {twice!r}", fix="give each its own")
    bound = lower_bound(buffers)
    work = Work(effort)
    offsets: dict[str, int] = {}
    proved: list[int] = []
    sizes = [0]
    for group in components(buffers):
        p = problem(group, bound)
        layout, optimal = _solve(p, work)
        offsets.update((b.name, at) for b, at in zip(group, layout.offsets, strict=True))
        sizes.append(layout.size)
        if optimal:
            proved.append(layout.size)
    size = max(sizes)
    return Placement(offsets, size, bound, size == bound or size in proved)


def _solve(p: Problem, work: Work) -> tuple[Layout, bool]:
    """The best layout of one component, and whether none is smaller."""
    pack = packer(p, work)
    best: Layout | None = None
    best_order: list[int] = []
    for k, order in enumerate(orders(p)):
        for best_fit in (False, True):
            if best is not None and (best.size <= p.target or (work.over and k > 1)):
                break
            result = pack(order, best.size - 1 if best else sum(p.size) * max(p.align) , best_fit)
            if isinstance(result, Layout):
                best, best_order = result, order
    assert best is not None
    if best.size <= p.target:
        return best, best.size <= p.bound
    if p.count <= EXACT:
        best, proved = prove(p, best, Work(min(work.left, 400_000)))
        if proved:
            return best, best.size <= p.bound or True
    return improve(p, pack, best_order, best, work), False
