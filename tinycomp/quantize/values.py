"""Two graphs walked side by side: the values of each, node after node, on all cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp import ops
from tinycomp.ir import Array, Graph, Node


@dataclass(frozen=True)
class Values:
    """Values of one graph on all cases, along the leading axis; dropped when nobody reads them any more."""

    graph: Graph
    cases: int
    held: dict[str, Array]
    left: dict[str, int]

    @classmethod
    def of(cls, graph: Graph, cases: int, inputs: Sequence[Array]) -> Values:
        """Nothing but the inputs, [cases · n, …] for each."""
        readers = {name: len(graph.consumers(name)) for name in graph.tensors}
        return cls(graph, cases, dict(zip(graph.inputs, inputs, strict=True)), readers)

    def run(self, node: Node, size: int, graph: Graph | None = None) -> tuple[Array, ...]:
        """The node's outputs, computed `size` cases at a time; `graph` where its constants have changed."""
        graph = graph or self.graph
        made = [
            ops.operator(node).reference(node, graph, [self._part(graph, name, k, size) for name in node.inputs])
            for k in range(0, self.cases, size)
        ]
        return tuple(np.concatenate(parts) for parts in zip(*made, strict=True))

    def _part(self, graph: Graph, name: str, start: int, size: int) -> Array:
        data = graph.tensors[name].data
        if data is not None:
            return data
        values = self.held[name]
        each = len(values) // self.cases
        return values[start * each : (start + size) * each]

    def store(self, node: Node, made: Sequence[Array]) -> None:
        """Keep what the node made, drop what it was the last to read."""
        self.held.update(zip(node.outputs, made, strict=True))
        for name in dict.fromkeys(node.inputs):
            self.left[name] -= 1
            if not self.left[name]:
                self.held.pop(name, None)
