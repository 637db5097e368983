"""What a float graph will cost, without quantizing or compiling it: good enough to decide what is looked into."""

from __future__ import annotations

from collections.abc import Mapping

from tinycomp import ops
from tinycomp.fit.goal import Made
from tinycomp.fit.recipe import Scheme, weight_bytes
from tinycomp.ir import Graph

AMOUNTS = {"weights": "bytes", "flash": "bytes", "cycles": "work", "ms": "work", "ram": "space"}  # that figures follow
NEAR = 1.12  # times a limit: estimates this near are looked into


class Estimate:
    """Estimates for graphs made of one graph, from its plain build. short: the limits that the plain build misses."""

    def __init__(self, graph: Graph, plain: Made, most: Mapping[str, float], short: frozenset[str]) -> None:
        self.most, self.short, self.plain = most, short, plain.figures
        self.bytes_short = not short.isdisjoint(("weights", "flash"))
        layers = {layer["name"]: layer["cycles"] or layer["macs"] for layer in plain.build.report["layers"]}
        work = {n.name: ops.operator(n).macs(n, graph) for n in graph.nodes}
        self.rates = {name: layers.get(name, 0) / macs for name, macs in work.items() if macs}
        self.full = self._amounts(graph)

    def price(self, graph: Graph) -> float:
        """Of a graph, relative to the whole one, in what is short."""
        now = self._amounts(graph)
        return sum(now[k] / max(self.full[k], 1.0) for k in {AMOUNTS[name] for name in self.short})

    def plausible(self, graph: Graph, scheme: Scheme) -> bool:
        """The graph may fit: weights are certain, flash and time are near."""
        weights, work = weight_bytes(graph, scheme), self._work(graph) / max(self.full["work"], 1.0)
        near = {"weights": float(weights), "flash": (self.plain.flash - self.plain.weights + weights) / NEAR}
        if self.plain.cycles is not None and self.plain.ms is not None:
            near |= {"cycles": self.plain.cycles * work / NEAR, "ms": self.plain.ms * work / NEAR}
        return all(near[name] <= self.most[name] for name in near if name in self.most)

    def progress(self, graph: Graph) -> float:
        """How much of the way to nothing is gone."""
        return 1 - self.price(graph) / max(len(self.short), 1)

    def _amounts(self, graph: Graph) -> dict[str, float]:
        """Bytes of weights, work as the plain build's layers have it, elements of activations."""
        return {
            "bytes": float(weight_bytes(graph, "int4" if self.bytes_short else "int8")),
            "work": self._work(graph),
            "space": float(sum(t.elements for t in graph.tensors.values() if t.data is None)),
        }

    def _work(self, graph: Graph) -> float:
        return sum(ops.operator(n).macs(n, graph) * self.rates.get(n.name, 0.0) for n in graph.nodes)
