"""States: what survives an inference, in the interpreter, in C, and across a reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.support import activation, constant, needs_cc, quant, random_inputs, references, run_program, same
from tinycomp import interpret, ops
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Graph, Node, State, Tensor
from tinycomp.lower import lower
from tinycomp.ops.add import Add
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.reshape import Reshape
from tinycomp.program import Recipe

Q = quant(0.5, 3)


def graph_of(
    tensors: Sequence[Tensor], nodes: Sequence[Node], outputs: Sequence[str], states: Sequence[State]
) -> Graph:
    """A checked graph with the one input x."""
    graph = Graph("g", {t.name: t for t in tensors}, tuple(nodes), ("x",), tuple(outputs), states=tuple(states))
    ops.check(graph)
    return graph


def frames(name: str, count: int, axis: int = 1) -> Tensor:
    """[1, count, 1, 6], or the count along another axis."""
    shape = [1, 1, 1, 6]
    shape[axis] = count
    return activation(name, shape, "int8", Q)


def start(t: Tensor, seed: int = 5) -> Array:
    """Random initial values."""
    return np.random.default_rng(seed).integers(-128, 128, t.shape).astype(np.int8)


def accumulator(out: str) -> Graph:
    """s' = s + x; `out` is s, s' or x."""
    s, x, after = (activation(n, (1, 4), "int8", Q) for n in ("s", "x", "after"))
    return graph_of([s, x, after], [Node("add_0", Add(), ("s", "x"), ("after",))], [out],
                    [State("sum", "s", "after", start(s))])  # fmt: skip


def chain() -> Graph:
    """Two delays of one inference each, b' = a and a' = x, and the swap c' = d, d' = c."""
    tensors = [activation(n, (1, 4), "int8", Q) for n in ("a", "b", "c", "d", "x", "t", "out")]
    nodes = [Node("add_0", Add(), ("a", "b"), ("t",)), Node("add_1", Add(), ("t", "c"), ("out",))]
    moves = {"b": "a", "a": "x", "c": "d", "d": "c"}
    states = [State(k, k, v, start(tensors[0], i)) for i, (k, v) in enumerate(moves.items())]
    return graph_of(tensors, nodes, ["out", "d"], states)


def viewed() -> Graph:
    """s' = x, and the output is a view of s."""
    s, x, out = (
        activation("s", (1, 4), "int8", Q),
        activation("x", (1, 4), "int8", Q),
        activation("out", (4,), "int8", Q),
    )
    return graph_of([s, x, out], [Node("reshape_0", Reshape((4,)), ("s",), ("out",))], ["out"],
                    [State("s", "s", "x", start(s))])  # fmt: skip


def fixed() -> Graph:
    """s' = 7, which only the first inference does not see."""
    s, x, out = (activation(n, (1, 4), "int8", Q) for n in ("s", "x", "out"))
    seven = constant("seven", np.full((1, 4), 7, np.int8), Q)
    return graph_of([s, x, out, seven], [Node("add_0", Add(), ("s", "x"), ("out",))], ["out"],
                    [State("s", "s", "seven", start(s))])  # fmt: skip


GRAPHS = {
    "sum, new value out": lambda: accumulator("after"), "sum, old value out": lambda: accumulator("s"),
    "sum, input out": lambda: accumulator("x"), "chain and swap": chain, "view of the old value": viewed,
    "constant": fixed,
}  # fmt: skip


@needs_cc
@pytest.mark.parametrize("name", GRAPHS)
def test_c_carries_states_as_the_interpreter_does(name: str):
    graph = GRAPHS[name]()
    cases = random_inputs(graph, cases=6)
    found = run_program(lower(graph, Recipe()), cases)
    for k, (got, wanted) in enumerate(zip(found, references(graph, cases), strict=True)):
        same(got, wanted, f"{name}, inference {k}")


def test_the_interpreter_carries_states_on_and_starts_anew():
    graph = accumulator("after")
    cases = [[np.full((1, 4), v, np.int8)] for v in (3, 4, 5)]  # zero point 3, so the first adds nothing
    first, second, third = (a for (a,) in references(graph, cases))
    np.testing.assert_array_equal(first, graph.states[0].initial)
    np.testing.assert_array_equal(third.astype(int), np.clip(first.astype(int) + 3, -128, 127))
    np.testing.assert_array_equal(second.astype(int), np.clip(first.astype(int) + 1, -128, 127))
    np.testing.assert_array_equal(interpret.run(graph, cases[0])["after"], first)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"after": "wide"}, "its next value"),
        ({"before": "after"}, "gives it a value"),
        ({"before": "x"}, "one tensor"),
        ({"after": "nothing"}, "does not exist"),
        ({"initial": np.zeros((1, 4), np.int16)}, "begins with"),
    ],
)
def test_a_contradictory_state_is_refused(change, says: str):
    graph = accumulator("after")
    tensors = {**graph.tensors, "wide": activation("wide", (1, 5), "int8", Q)}
    nodes = (*graph.nodes, Node("c", Concatenation(1), ("x", "one"), ("wide",)))
    tensors["one"] = constant("one", np.zeros((1, 1), np.int8), Q)
    made = replace(graph, tensors=tensors, nodes=nodes, states=(replace(graph.states[0], **change),))
    with pytest.raises(BadInput, match=says):
        ops.check(made)
