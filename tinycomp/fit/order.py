"""In which order channels go: the least harm to the layers that read them, each of which makes up for what it loses.

A layer reads A, a row for each output position, and computes A·W. Without the columns B of a channel, the best that its
other weights can do leaves the error tr(W_Bᵀ · [(H⁻¹)_BB]⁻¹ · W_B), H being AᵀA about the means: the optimal brain
surgeon, B. Hassibi and D. Stork (NIPS 1992), for a block of weights at once and with the layer's own output as its aim.
Taking columns out changes H⁻¹ and W in closed form, so that a whole order costs little more than one inverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp.ir import Array, Graph, Node
from tinycomp.quantize import reconstruct, sample, weights
from tinycomp.quantize.calibrate import batch_size, stacked
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.values import Values
from tinycomp.rules.groups import Cluster, Groups, clusters
from tinycomp.rules.ties import Indices, channels, ties

DAMPING = 1e-3  # on the diagonal of H, relative to its mean: directions that the data does not show


@dataclass(frozen=True, eq=False)
class Order:
    """Groups of channels of one cluster, the first the first to go.

    width: how many groups there are that are not held fast. Every tensor keeps a channel, so not all are in `groups`.
    """

    cluster: Cluster
    width: int
    groups: Indices


@dataclass(eq=False)
class _Reader:
    """A layer that reads a cluster's channels: H⁻¹ [taps, taps], W [taps, outputs], the group of each tap."""

    inverse: Floats
    weights: Floats
    label: Indices
    power: float

    def harm(self, group: int) -> float:
        """Error at the output, relative to its power, if the group goes."""
        at = np.flatnonzero(self.label == group)
        rows = self.weights[at]
        return float((rows * np.linalg.solve(self.inverse[np.ix_(at, at)], rows)).sum()) / self.power

    def remove(self, group: int) -> None:
        """Take the group's taps out; the others make up for them."""
        at = np.flatnonzero(self.label == group)
        columns = self.inverse[:, at]
        share = np.linalg.solve(self.inverse[np.ix_(at, at)], np.eye(len(at)))
        self.weights -= columns @ (share @ self.weights[at])
        self.inverse -= columns @ share @ columns.T
        left = self.label != group
        self.weights, self.label = self.weights[left], self.label[left]
        self.inverse = self.inverse[np.ix_(left, left)]


def orders(graph: Graph, found: Groups, inputs: Sequence[Array]) -> list[Order]:
    """An order for each cluster of channels that can go, in the graph's order.

    inputs: [cases, *shape] for each. What only graph outputs or unknown operators read is pinned and has none.
    """
    values, size = Values.of(graph, len(inputs[0]), stacked(inputs)), batch_size(graph)
    made: dict[str, list[_Reader]] = {n.inputs[0]: [] for n in graph.nodes if n.inputs}
    for node in graph.nodes:
        out = values.run(node, size)
        if ties(node, graph).mixes and not found.pinned[found.label[node.inputs[0]]].all():
            made[node.inputs[0]].append(_reader(node, found, values, out[0]))
        values.store(node, out)
    active = [name for name, label in found.label.items() if not found.pinned[label].all()]
    return [_order(cluster, found, made) for cluster in clusters(found.label, active)]


def _order(cluster: Cluster, found: Groups, made: Mapping[str, Sequence[_Reader]]) -> Order:
    readers = [reader for name in cluster.names for reader in made.get(name, ())]
    free = [int(g) for g in cluster.groups if not found.pinned[g]]
    left, gone = list(free), list[int]()
    held = {name: set(found.label[name].tolist()) for name in cluster.names}
    while left := [g for g in left if all(rest != {g} for rest in held.values())]:
        harm = [sum(reader.harm(g) for reader in readers if (reader.label == g).any()) for g in left]
        mildest = left.pop(int(np.argmin(harm)))
        gone.append(mildest)
        held = {name: rest - {mildest} for name, rest in held.items()}
        for reader in readers:
            if (reader.label == mildest).any():
                reader.remove(mildest)
    return Order(cluster, len(free), np.array(gone, np.intp))


def _reader(node: Node, found: Groups, values: Values, out: Array) -> _Reader:
    graph, x = values.graph, values.graph.ins(node)[0]
    layer = weights.layer_of(node, graph)
    parts = sample.layer_moments(node, graph, values.held[x.name], sample.plain(x), out, values.cases)
    gram: Floats = reconstruct.centred(reconstruct.average(parts)).gram[0]
    gram += DAMPING * max(float(np.trace(gram)) / len(gram), 1e-12) * np.eye(len(gram))
    w: Floats = sample.by_groups(layer)[0].copy()
    power = max(float((w * (gram @ w)).sum()), 1e-30)
    label = np.tile(found.label[x.name], w.shape[0] // channels(x))
    return _Reader(np.asarray(np.linalg.solve(gram, np.eye(len(gram))), np.float64), w, label, power)
