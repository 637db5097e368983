"""A dense layer of states: the C of it, over features of both kinds, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import activation, needs_cc, quant, random_inputs, run_program, same
from tinycomp import interpret, ops
from tinycomp.errors import BadInput
from tinycomp.ir import Graph, Node, Quant, State, Tensor
from tinycomp.lower import lower
from tinycomp.ops.trainable_dense import TrainableDense
from tinycomp.program import Recipe


def layer(inner: int, outputs: int, q: Quant | None, shape: tuple[int, ...] = ()) -> Graph:
    """One layer. q: of int8 features, None for float32."""
    rng = np.random.default_rng(inner)
    x = activation("x", shape or (1, inner), "float32" if q is None else "int8", q)
    shapes = {"w": (outputs, inner), "b": (outputs,), "w2": (outputs, inner), "b2": (outputs,), "out": (1, outputs)}
    tensors = {name: activation(name, dims, "float32") for name, dims in shapes.items()}
    states = tuple(State(name, name, f"{name}2", rng.normal(0, 0.3, shapes[name]).astype(np.float32)) for name in "wb")
    node = Node("head_0", TrainableDense(), ("x", "w", "b"), ("out", "w2", "b2"))
    graph = Graph("head", {"x": x, **tensors}, (node,), ("x",), ("out",), states=states)
    ops.check(graph)
    return graph


LAYERS = {
    "int8": layer(16, 5, quant(0.05, -7)), "lowest zero point": layer(7, 3, quant(0.3, -128)),
    "highest zero point": layer(7, 3, quant(1e-4, 127)), "float32": layer(9, 4, None),
    "one of each": layer(1, 1, quant(0.5, 3)), "an image": layer(24, 2, quant(0.02), (1, 2, 3, 4)),
}  # fmt: skip


@needs_cc
@pytest.mark.parametrize("name", LAYERS)
def test_the_c_is_the_reference_and_states_stay_as_they_are(name: str):
    graph = LAYERS[name]
    cases = random_inputs(graph, cases=5)
    wanted = [[values["out"]] for values in interpret.sequence(graph, cases)]
    for k, answer in enumerate(run_program(lower(graph, Recipe()), cases)):
        same(answer, wanted[k], f"{name}, case {k}")


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_is_its_cases_one_by_one(name: str):
    graph = LAYERS[name]
    cases = random_inputs(graph, cases=4)
    both = interpret.run(graph, [np.concatenate([case[0] for case in cases])])["out"]
    same([both], [np.concatenate([interpret.run(graph, case)["out"] for case in cases])], name)


def test_it_is_the_dense_layer_of_its_weights():
    graph = LAYERS["int8"]
    (x,) = random_inputs(graph, cases=3)[2]
    w, b = (s.initial.astype(np.float64) for s in graph.states)
    wanted = (x.astype(np.float64) + 7) * 0.05 @ w.T + b
    np.testing.assert_allclose(np.asarray(interpret.run(graph, [x])["out"], np.float64), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("x", activation("x", (1, 15), "int8", quant(0.05))), ("b", activation("b", (4,), "float32")),
     ("x", activation("x", (1, 16), "int16", quant(0.05))), ("w", activation("w", (5, 16), "int8", quant(0.1)))],
)  # fmt: skip
def test_operands_that_do_not_fit_are_refused(name: str, tensor: Tensor):
    graph = LAYERS["int8"]
    with pytest.raises(BadInput, match="trainable_dense"):
        ops.operator(graph.nodes[0]).infer(graph.nodes[0], replace(graph, tensors={**graph.tensors, name: tensor}))
