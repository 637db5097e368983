"""The numpy meaning of a graph: what every pass must preserve and every kernel must compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from tinycomp import ops
from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Graph, Node


def run(graph: Graph, inputs: Sequence[Array], keep: bool = False) -> dict[str, Array]:
    """The values of the graph's outputs (with `keep` of every tensor, constants aside), by tensor name.

    Inputs come in the graph's order, with the graph's shapes; the leading dimension may be larger than the graph's,
    and then so is that of every value. States have their initial values; `sequence` carries them on.
    Raises BadInput where an input's shape or dtype does not fit.
    """
    values = evaluate(graph, inputs, lambda node, made: None)
    wanted = values if keep else graph.outputs
    return {name: values[name] for name in wanted}


def sequence(graph: Graph, cases: Iterable[Sequence[Array]], keep: bool = False) -> Iterator[dict[str, Array]]:
    """What `run` returns for each case in turn, each inference beginning with the states that the last one left."""
    states: dict[str, Array] = {}
    for inputs in cases:
        values = evaluate(graph, inputs, lambda node, made: None, states)
        states = {s.before: values[s.after] for s in graph.states}
        yield {name: values[name] for name in (values if keep else graph.outputs)}


def evaluate(
    graph: Graph,
    inputs: Sequence[Array],
    seen: Callable[[Node, tuple[Array, ...]], None],
    states: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Every value by tensor name; `seen` is called after each node with what it made.

    states: values of states by the tensors that hold them, initial ones where left out.
    """
    values: dict[str, Array] = dict(_bound(graph, inputs))
    batch = max((x.shape[0] // graph.tensors[n].shape[0] for n, x in values.items() if x.ndim), default=1)
    initial = {s.before: _repeated(s.initial, batch) for s in graph.states}
    values |= {**initial, **(states or {})}
    for node in graph.nodes:
        args = [graph.tensors[name].data if name not in values else values[name] for name in node.inputs]
        made = ops.operator(node).reference(node, graph, [a for a in args if a is not None])
        values.update(zip(node.outputs, made, strict=True))
        seen(node, made)
    for name in graph.results:
        data = graph.tensors[name].data
        if name not in values and data is not None:
            values[name] = data
    return values


def _repeated(initial: Array, batch: int) -> Array:
    """A state's initial value for a batch `batch` times the graph's."""
    return np.tile(initial, (batch,) + (1,) * (initial.ndim - 1)) if initial.ndim and batch > 1 else initial


def _bound(graph: Graph, inputs: Sequence[Array]) -> Mapping[str, Array]:
    if len(inputs) != len(graph.inputs):
        raise BadInput(f"{len(inputs)} inputs given, the model has {len(graph.inputs)}: {', '.join(graph.inputs)}")
    bound: dict[str, Array] = {}
    for name, value in zip(graph.inputs, inputs, strict=True):
        t = graph.tensors[name]
        if value.dtype != NUMPY[t.dtype] or value.shape[1:] != t.shape[1:] or value.ndim != len(t.shape):
            raise BadInput(f"expected {t.dtype}{list(t.shape)}, found {value.dtype}{list(value.shape)}",
                           where=f"input {name!r}")  # fmt: skip
        bound[name] = value
    return bound
