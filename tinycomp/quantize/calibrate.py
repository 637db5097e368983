"""Calibration: the float graph is run on the data, and of every tensor its values are recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tinycomp import interpret
from tinycomp.ir import Array, Graph, Node
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.pool import Pool, attrs
from tinycomp.quantize.observe import Recorder, Statistics

Progress = Callable[[int], None]  # takes how many inputs are done

BATCH_BYTES = 32 << 20  # of the largest intermediate array of one batch
LARGEST_BATCH = 64


def calibrate(graph: Graph, inputs: Sequence[Array], progress: Progress = lambda done: None) -> dict[str, Statistics]:
    """Statistics of every float32 tensor that is computed or given, by name.

    inputs: for each input of the graph an array [cases, *shape], as `Data.inputs` holds them. Raises BadInput where
    their shapes or dtypes are not the graph's.
    """
    recorders = {name: Recorder(name) for name, t in graph.tensors.items() if t.data is None and t.dtype == "float32"}
    done = 0

    for batch in batches(graph, inputs):

        def record(node: Node, made: tuple[Array, ...], cases: int = batch.cases) -> None:
            for name, values in zip(node.outputs, made, strict=True):
                if name in recorders:
                    recorders[name].add(values, cases)

        for name, values in zip(graph.inputs, batch.inputs, strict=True):
            if name in recorders:
                recorders[name].add(values, batch.cases)
        with np.errstate(over="ignore", invalid="ignore"):  # the recorder refuses what comes of it, by name
            interpret.evaluate(graph, batch.inputs, record)
        done += batch.cases
        progress(done)
    return {name: recorder.statistics() for name, recorder in recorders.items()}


class Batch(NamedTuple):
    """Cases that are run at once: their inputs as `interpret` takes them, and how many they are."""

    inputs: list[Array]
    cases: int


def batches(graph: Graph, inputs: Sequence[Array]) -> Iterator[Batch]:
    """The cases in batches that keep intermediate arrays small."""
    size = batch_size(graph) if stackable(graph, inputs) else 1
    for start in range(0, len(inputs[0]), size):
        part = [x[start : start + size] for x in inputs]
        yield Batch(stacked(part), len(part[0]))


def stacked(inputs: Sequence[Array]) -> list[Array]:
    """Inputs [cases, n, …] as a graph takes them, [cases · n, …]; a scalar input stays one."""
    return [x.reshape(-1, *x.shape[2:]) if x.ndim > 1 else x.reshape(x.shape[1:]) for x in inputs]


def stackable(graph: Graph, inputs: Sequence[Array]) -> bool:
    """Whether cases may share a run: every value of two cases at once is that of the first, then of the second.

    A graph may well mix what lies along its leading axis; so it is tried.
    """
    if len(inputs[0]) < 2 or any(graph.tensors[name].shape[:1] != (1,) for name in graph.inputs):
        return False
    cuts = (slice(0, 1), slice(1, 2), slice(0, 2))
    with np.errstate(over="ignore", invalid="ignore"):
        one, two, both = (interpret.run(graph, stacked([x[k] for x in inputs]), keep=True) for k in cuts)
    return all(
        one[name].ndim > 0
        and both[name].shape == (2 * one[name].shape[0], *one[name].shape[1:])
        and np.allclose(both[name], np.concatenate([one[name], two[name]]), 1e-3, 1e-4)
        for name in one
        if graph.tensors[name].data is None
    )


def batch_size(graph: Graph) -> int:
    """How many cases fit into BATCH_BYTES where the references spread windows out; at least one."""
    largest = max((_spread(node, graph) for node in graph.nodes), default=1)
    return max(1, min(LARGEST_BATCH, BATCH_BYTES // (8 * largest)))


def _spread(node: Node, graph: Graph) -> int:
    """Elements of the largest array that a reference makes for one case."""
    x, out = graph.ins(node)[0] if node.inputs else graph.out(node), graph.out(node)
    if isinstance(node.attrs, Conv2D):
        return math.prod(out.shape[:3]) * math.prod(graph.ins(node)[1].shape[1:])
    if isinstance(node.attrs, DepthwiseConv2D):
        return max(x.elements, out.elements) * 2
    if isinstance(node.attrs, Pool):
        return out.elements * math.prod(attrs(node).size)
    return max(x.elements, out.elements)
