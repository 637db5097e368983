"""How far a graph's answers are from those of the graph that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinycomp import interpret
from tinycomp.ir import Array, Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.calibrate import batches
from tinycomp.quantize.observe import Floats

TINY = 1e-7  # probabilities are kept from 0


def answers(graph: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """The outputs on all cases, along the leading axis, by name. inputs: [cases, *shape] for each."""
    made = [interpret.run(graph, batch.inputs) for batch in batches(graph, inputs)]
    return {name: np.concatenate([part[name] for part in made]) for name in graph.outputs}


def distance(graph: Graph, theirs: Mapping[str, Array], ours: Mapping[str, Array]) -> float:
    """The mean over cases, summed over outputs.

    An output that is a softmax or a logistic: the Kullback-Leibler divergence, in nats. Any other: the squared error
    relative to the power about the mean.
    """
    return sum(_output(graph, name, theirs[name], ours[name]) for name in graph.outputs)


def _output(graph: Graph, name: str, theirs: Array, ours: Array) -> float:
    node = graph.producer(name)
    p, q = (v.astype(np.float64) for v in (theirs, ours))
    if node is not None and isinstance(node.attrs, Softmax):
        return _divergence(p, q)
    if node is not None and isinstance(node.attrs, Logistic):
        return _divergence(p, q) + _divergence(1 - p, 1 - q)
    power = float(((p - p.mean(axis=0)) ** 2).sum())
    return float(((p - q) ** 2).sum()) / max(power, 1e-12)


def _divergence(p: Floats, q: Floats) -> float:
    terms = p * (np.log(np.maximum(p, TINY)) - np.log(np.maximum(q, TINY)))
    return float(terms.sum()) / len(p)
