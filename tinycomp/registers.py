"""States between inferences: which of them kernels update in place, what must be copied before the others change."""

from __future__ import annotations

from dataclasses import replace

from tinycomp import ops
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node, Tensor, fresh
from tinycomp.ops.concatenation import Concatenation


def in_place(graph: Graph) -> dict[str, Node]:
    """The nodes that carry on states in place, by the tensor that holds the value before.

    Raises Unsupported where a state is carried on by a kernel and read or kept by something else as well.
    """
    found: dict[str, Node] = {}
    after = {s.before: s.after for s in graph.states}
    for node in graph.nodes:
        for i, o in ops.operator(node).carries:
            before = node.inputs[i]
            alone = graph.consumers(before) == (node,) and node.inputs.count(before) == 1
            if after.get(before) != node.outputs[o] or before in graph.results or not alone:
                raise Unsupported(f"does not own the state {before!r}", where=f"{node.name} ({node.op})",
                                  fix="give each recurrent operator variables of its own")  # fmt: skip
            found[before] = node
    return found


def settled(graph: Graph) -> Graph:
    """The graph with copies of what would be lost when the states get their next values, at the end of an inference.

    That is every output, and every next value, that is an old value of a state or a view of one.
    """
    carried = in_place(graph)
    old = {s.before for s in graph.states if s.before not in carried}
    for node in graph.nodes:
        if ops.operator(node).view and node.inputs[0] in old:
            old.add(node.outputs[0])
    lost = [name for name in dict.fromkeys(graph.results) if name in old]
    copies = {name: _copy(graph, name, i) for i, name in enumerate(lost)}
    if not copies:
        return graph
    tensors = {**graph.tensors, **{t.name: t for t, _ in copies.values()}}
    kept = {name: t.name for name, (t, _) in copies.items()}
    states = tuple(replace(s, after=kept.get(s.after, s.after)) for s in graph.states)
    outputs = tuple(kept.get(name, name) for name in graph.outputs)
    return replace(graph, tensors=tensors, nodes=(*graph.nodes, *(node for _, node in copies.values())),
                   outputs=outputs, states=states)  # fmt: skip


def _copy(graph: Graph, name: str, index: int) -> tuple[Tensor, Node]:
    """A concatenation of one operand is a copy, and stays one: the rules have run by now."""
    t = graph.tensors[name]
    made = replace(t, name=fresh(graph, f"{name}/kept"))
    axis = max(len(t.shape) - 1, 0)
    return made, Node(fresh(graph, f"kept_{index}"), Concatenation(axis), (name,), (made.name,))
