"""A state of frames, the new frames behind it, and the last of both as its next value -> a delay line. Exact.

READ, CONCATENATION [, STRIDED_SLICE of the last frames], ASSIGN is how converters write a stream's memory: the
concatenation is what layers read, the state a copy of its end. As one buffer that outlives the inference it is held
once, and moves up in place. READ, STRIDED_SLICE, CONCATENATION, ASSIGN is the same, the oldest frames cut off first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tinycomp.ir import Graph, Node, State, Tensor, fresh, pruned
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.delay import Delay
from tinycomp.ops.strided_slice import StridedSlice


@dataclass(frozen=True)
class _Line:
    """What is found: the concatenation `joined` of a state's value and `new`; cut: the slice before it, if any."""

    state: State
    joined: Node
    new: str
    axis: int
    cut: Node | None


def delay_lines(graph: Graph) -> Graph:
    """The graph with every such state as a delay line; the very same graph where there is none."""
    for state in graph.states:
        line = _found(graph, state)
        if line is not None:
            graph = _replaced(graph, line)
    return graph


def _found(graph: Graph, state: State) -> _Line | None:
    if state.before in graph.results or len(graph.consumers(state.before)) != 1:
        return None
    (reader,) = graph.consumers(state.before)
    cut, held = (reader, reader.outputs[0]) if isinstance(reader.attrs, StridedSlice) else (None, state.before)
    if cut is not None and (held in graph.results or len(graph.consumers(held)) != 1):
        return None
    joined = graph.consumers(held)[0]
    if not isinstance(joined.attrs, Concatenation) or len(joined.inputs) != 2 or joined.inputs[0] != held:
        return None
    out, new, axis = graph.out(joined), graph.ins(joined)[1], joined.attrs.axis
    if joined.inputs[1] == held or new.data is not None or math.prod(out.shape[:axis]) != 1:
        return None
    if graph.tensors[state.before].quant != out.quant:
        return None
    if cut is not None:
        fits = state.after == joined.outputs[0] and _last(graph, cut, out.shape[axis] - new.shape[axis], axis)
    else:
        maker = graph.producer(state.after)
        fits = maker is not None and maker.inputs[0] == out.name and _last(
            graph, maker, graph.tensors[state.before].shape[axis], axis
        )  # fmt: skip
    return _Line(state, joined, new.name, axis, cut) if fits else None


def _last(graph: Graph, node: Node, count: int, axis: int) -> bool:
    """The node takes the last `count` frames of its input along the axis, and all of every other axis."""
    if not isinstance(node.attrs, StridedSlice) or node.attrs.drop:
        return False
    a, shape = node.attrs, graph.ins(node)[0].shape
    wanted = [(n - count if i == axis else 0, n, 1) for i, n in enumerate(shape)]
    return [*zip(a.start, a.stop, a.step, strict=True)] == wanted


def _replaced(graph: Graph, line: _Line) -> Graph:
    out, before = graph.out(line.joined), graph.tensors[line.state.before]
    older = [*out.shape]
    older[line.axis] -= before.shape[line.axis]  # frames that have left the state, and are about to leave the buffer
    initial = np.concatenate([np.zeros(older, line.state.initial.dtype), line.state.initial], axis=line.axis)
    held = Tensor(fresh(graph, f"{line.state.name}/frames"), out.shape, out.dtype, out.quant)
    node = Node(fresh(graph, f"delay_{line.joined.name.removeprefix('concatenation_')}"), Delay(line.axis),
                (held.name, line.new), (out.name,))  # fmt: skip
    states = tuple(
        State(s.name, held.name, out.name, initial) if s is line.state else s for s in graph.states
    )  # fmt: skip
    nodes = tuple(node if n is line.joined else n for n in graph.nodes if n is not line.cut)
    return pruned(replace(graph, tensors={**graph.tensors, held.name: held}, nodes=nodes, states=states))
