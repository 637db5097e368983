"""How far a graph's answers are from those of the graph that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinycomp import interpret
from tinycomp.ir import Array, Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.accuracy import real_values
from tinycomp.quantize.calibrate import batch_size, stacked
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.to_int8 import as_inputs

TINY = 1e-3  # probabilities below are alike: an int8 output has steps of 1/256


def answers(graph: Graph, inputs: Sequence[Array]) -> dict[str, Floats]:
    """The outputs on all cases, as real values along the leading axis, by name.

    inputs: real values [cases, *shape] for each, as an integer graph's scales say; cases must be stackable.
    """
    together, size = stacked(inputs), batch_size(graph)
    starts = range(0, len(together[0]), size)
    parts = [interpret.run(graph, as_inputs(graph, [x[k : k + size] for x in together])) for k in starts]
    return {name: np.concatenate([real_values(part, name, graph) for part in parts]) for name in graph.outputs}


def distance(graph: Graph, theirs: Mapping[str, Floats], ours: Mapping[str, Floats]) -> float:
    """The mean over cases, summed over outputs.

    An output that is a softmax or a logistic: the Kullback-Leibler divergence, in nats. Any other: the squared error
    relative to the power about the mean.
    """
    return sum(_output(graph, name, theirs[name], ours[name]) for name in graph.outputs)


def _output(graph: Graph, name: str, p: Floats, q: Floats) -> float:
    node = graph.producer(name)
    if node is not None and isinstance(node.attrs, Softmax):
        return _divergence(p, q)
    if node is not None and isinstance(node.attrs, Logistic):
        return _divergence(p, q) + _divergence(1 - p, 1 - q)
    power = float(((p - p.mean(axis=0)) ** 2).sum())
    return float(((p - q) ** 2).sum()) / max(power, 1e-12)


def _divergence(p: Floats, q: Floats) -> float:
    terms = p * (np.log(np.maximum(p, TINY)) - np.log(np.maximum(q, TINY)))
    return float(terms.sum()) / len(p)
