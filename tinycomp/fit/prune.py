"""How many channels each cluster keeps: the greedy path from a whole graph to a thin one, by measured harm per price.

A step takes a few channels, in their order (`order`), from the cluster where that costs the outputs least for what it
saves. What it costs is measured: the graph is cut and repaired on some cases and compared with the teacher on others.
Harm grows along the path, so a cluster whose last known figure is too high already need not be measured again (lazy
greedy, M. Minoux 1978).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp.fit.distance import answers, distance
from tinycomp.fit.order import orders
from tinycomp.fit.repair import Effort, Teacher, repair
from tinycomp.ir import Graph
from tinycomp.quantize.data import Data
from tinycomp.rules.groups import groups, keep_only

Price = Callable[[Graph], float]  # of a graph, in any unit

STEP = 4  # channels that go at once: kernels take them by fours
NARROW = 12  # clusters of fewer channels lose one at a time
ROUGH = Effort(rows=4096, passes=0)  # for figures along the path


@dataclass(frozen=True)
class Cut:
    """How many groups each cluster has lost, and the graph that is left of the teacher, repaired."""

    counts: tuple[int, ...]
    graph: Graph
    harm: float


class Pruner:
    """The clusters of a teacher and the data that judges."""

    def __init__(self, graph: Graph, fitting: Data, judging: Data) -> None:
        self.teacher = Teacher.of(graph, fitting.inputs)
        self.judging = judging.inputs
        self.wanted = answers(graph, judging.inputs)
        self.found = groups(graph)
        self.orders = [o for o in orders(graph, self.found, fitting.inputs) if len(o.groups)]

    def cut(self, counts: Sequence[int]) -> Cut:
        """The teacher less the first groups of each order, repaired roughly."""
        live = np.ones(len(self.found.pinned), np.bool_)
        for order, count in zip(self.orders, counts, strict=True):
            live[order.groups[:count]] = False
        keep = self.found.keep(live)
        made = repair(keep_only(self.teacher.graph, keep), self.teacher, keep, ROUGH)
        return Cut(tuple(counts), made, self.harm(made))

    def harm(self, graph: Graph) -> float:
        """Distance from the teacher on the judging cases."""
        return distance(self.teacher.graph, self.wanted, answers(graph, self.judging))

    def gone(self, cut: Cut) -> tuple[int, ...]:
        """The groups that a cut has lost, in ascending order."""
        pairs = zip(self.orders, cut.counts, strict=True)
        return tuple(sorted(g for order, count in pairs for g in order.groups[:count].tolist()))

    def path(self, price: Price) -> Iterator[Cut]:
        """The whole graph, then ever thinner ones, until no cluster can lose any more."""
        now = Cut((0,) * len(self.orders), self.teacher.graph, 0.0)
        yield now
        waiting: list[tuple[float, int, int]] = []  # price of harm, the step when it was measured, the cluster
        known: dict[int, Cut] = {}
        for k in range(len(self.orders)):
            self._measure(k, now, price, 0, waiting, known)
        step = 0
        while waiting:
            _, when, k = heapq.heappop(waiting)
            if when < step:
                self._measure(k, now, price, step, waiting, known)
                continue
            now, step = known[k], step + 1
            yield now
            self._measure(k, now, price, step, waiting, known)

    def _measure(
        self, k: int, now: Cut, price: Price, step: int, waiting: list[tuple[float, int, int]], known: dict[int, Cut]
    ) -> None:
        """What it costs to take the next channels from a cluster."""
        order = self.orders[k]
        width = STEP if order.width > NARROW else 1
        take = (order.width - now.counts[k]) % width or width
        if now.counts[k] + take > len(order.groups):
            return
        counts = [n + take if i == k else n for i, n in enumerate(now.counts)]
        known[k] = made = self.cut(counts)
        saved = max(price(now.graph) - price(made.graph), 1e-9)
        heapq.heappush(waiting, ((made.harm - now.harm) / saved, step, k))
