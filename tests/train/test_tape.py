"""Gradients against finite differences, operator by operator and over whole graphs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from tests.quantize.nets import residual
from tests.rules.nets import Net
from tests.rules.nets import random_batch as batch_for
from tinycomp import interpret
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, Graph
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.elementwise import Elementwise
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.sub import Sub
from tinycomp.ops.tanh import Tanh
from tinycomp.train import tape
from tinycomp.train.step import Reals, Step

STEP = 1e-6
BATCH = 2
GROW: dict[str, Callable[[Net, str], str]] = {
    "conv": lambda n, x: n.conv(x, 3, (3, 2), padding=(1, 1, 0, 1), activation="relu"),
    "conv strided": lambda n, x: n.conv(x, 3, (3, 3), stride=(2, 2), padding=(0, 1, 1, 1), activation="relu6"),
    "conv dilated": lambda n, x: n.conv(x, 2, (2, 2), dilation=(2, 3)),
    "conv 1×1": lambda n, x: n.conv(x, 5, activation="relu_n1_to_1"),
    "conv 1×1 strided": lambda n, x: n.conv(x, 5, stride=(2, 1)),
    "depthwise": lambda n, x: n.depthwise(x, padding=(1, 1, 1, 1), activation="relu"),
    "depthwise strided": lambda n, x: n.depthwise(x, (3, 2), stride=(2, 2), dilation=(1, 2), padding=(1, 0, 1, 0)),
    "depthwise multiplier": lambda n, x: n.depthwise(x, (2, 2), multiplier=3),
    "dense": lambda n, x: n.dense(n.op(Reshape((1, 120)), x), 7, activation="relu"),
    "dense on rows": lambda n, x: n.dense(x, 7, keep_dims=True),
    "add": lambda n, x: n.op(Add("relu"), x, n.conv(x, 4)),
    "add to itself": lambda n, x: n.op(Add(), x, x),
    "add constant": lambda n, x: n.op(Add(), x, n.constant(n.rng.normal(size=(1, 1, 1, 4)).astype(np.float32))),
    "sub broadcast": lambda n, x: n.op(Sub(), n.op(Mean((1, 2), True), x), x),
    "mul": lambda n, x: n.op(Mul("relu6"), x, n.conv(x, 4)),
    "mul channels": lambda n, x: n.op(Mul(), x, n.op(Logistic(), n.op(Mean((1, 2), True), x))),
    "average pool": lambda n, x: n.op(AveragePool2D((3, 3), (2, 2), (1, 1, 0, 1), "relu"), x),
    "max pool": lambda n, x: n.op(MaxPool2D((2, 3), (2, 1), (0, 1, 1, 1)), x),
    "mean": lambda n, x: n.op(Mean((1, 2)), x),
    "pad": lambda n, x: n.op(Pad(((0, 0), (1, 2), (0, 3), (0, 1))), x),
    "concatenation": lambda n, x: n.op(Concatenation(3), x, n.conv(x, 3), x),
    "softmax": lambda n, x: n.op(Softmax(0.5), x),
    "relu": lambda n, x: n.op(Relu("relu6"), x),
    "leaky relu": lambda n, x: n.op(LeakyRelu(0.2), x),
    "logistic": lambda n, x: n.op(Logistic(), x),
    "tanh": lambda n, x: n.op(Tanh(), x),
    "hard swish": lambda n, x: n.op(Elementwise("hard_swish"), x),
}


def grown(name: str) -> Graph:
    """A graph of one image that ends in the operator."""
    net = Net("float32")
    return net.graph(GROW[name](net, net.input(1, 5, 6, 4)))


def grouped() -> Graph:
    """A convolution whose two groups read two channels each."""
    graph = grown("conv 1×1")
    node = graph.nodes[0]
    w, b = (graph.tensors[name] for name in node.inputs[1:])
    rng = np.random.default_rng(3)
    data = rng.normal(size=(6, 3, 3, 2)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    tensors = {t.name: type(t)(t.name, d.shape, "float32", None, d) for t, d in zip((w, b), data, strict=True)}
    out = graph.out(node)
    tensors[out.name] = type(out)(out.name, (1, 3, 4, 6), "float32")
    return Graph("grouped", {**graph.tensors, **tensors}, (node,), graph.inputs, graph.outputs)


def constants(graph: Graph) -> dict[str, Reals]:
    """The float32 constants that nodes read."""
    names = {name for node in graph.nodes for name in node.inputs}
    found = ((name, graph.constant(name)) for name in sorted(names))
    return {name: data for name, data in found if data is not None and data.dtype == np.float32}


def check_gradients(graph: Graph, elements: int = 40) -> None:
    """Gradients by the input and every constant are those of finite differences in float64."""
    rng = np.random.default_rng(5)
    images = dict(zip(graph.inputs, batch_for(graph, 2, BATCH), strict=True))
    given = {name: a.astype(np.float64) for name, a in {**images, **constants(graph)}.items()}
    made = tape.record(graph, given, frozenset(given))
    weights = {name: rng.normal(size=v.shape) for name, v in made.values.items()}
    found = made.backward(weights)

    def loss(name: str, index: tuple[int, ...], change: float) -> float:
        moved = given[name].copy()
        moved[index] += change
        values = tape.record(graph, {**given, name: moved}, frozenset()).values
        return sum(float((values[out] * w).sum()) for out, w in weights.items())

    for name, value in given.items():
        assert found[name].shape == value.shape
        places = list(product(*map(range, value.shape)))
        for index in places[:: -(-len(places) // elements)]:
            slope = (loss(name, index, STEP) - loss(name, index, -STEP)) / (2 * STEP)
            assert found[name][index] == pytest.approx(slope, rel=1e-5, abs=1e-6), (name, index)


@pytest.mark.parametrize("name", GROW)
def test_gradients_are_those_of_finite_differences(name: str):
    check_gradients(grown(name))


def test_gradients_of_a_grouped_convolution_are_those_of_finite_differences():
    check_gradients(grouped())


def test_gradients_of_a_whole_network_are_those_of_finite_differences():
    check_gradients(residual(), elements=8)


@pytest.mark.parametrize("graph", [*map(grown, GROW), grouped(), residual()])
def test_values_are_those_of_the_interpreter(graph: Graph):
    inputs = batch_for(graph, 4, BATCH)
    wanted = interpret.run(graph, inputs)
    found = tape.record(graph, dict(zip(graph.inputs, inputs, strict=True)), frozenset(constants(graph))).values
    for name in graph.outputs:
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], np.asarray(wanted[name], np.float32), rtol=1e-5, atol=1e-5)


def test_every_derivative_of_the_table_is_tested():
    tested = {node.op for name in GROW for node in grown(name).nodes}
    assert tested - {"elementwise"} == set(tape.DERIVATIVES)


def without_derivative(net: Net) -> Graph:
    """A layer before and one after an operator that no gradient passes."""
    before = net.conv(net.input(1, 4, 4, 2), 3)
    return net.graph(net.conv(net.op(Elementwise("floor"), before), 2))


def test_a_layer_before_an_operator_without_derivative_is_refused_by_name():
    graph = without_derivative(Net("float32"))
    with pytest.raises(Unsupported, match=r"elementwise_1 .*floor has no derivative"):
        tape.require_derivatives(graph, frozenset(graph.nodes[0].inputs[1:]))


def test_a_layer_after_an_operator_without_derivative_can_be_trained():
    graph = without_derivative(Net("float32"))
    inputs: list[Array] = batch_for(graph, 1, BATCH)
    parameters = graph.nodes[-1].inputs[1:]
    made = tape.record(graph, dict(zip(graph.inputs, inputs, strict=True)), frozenset(parameters))
    found = made.backward({name: np.ones_like(v) for name, v in made.values.items()})
    assert set(found) == set(parameters)
    np.testing.assert_allclose(found[parameters[1]], BATCH * 16)


def times_four(gradient: Reals) -> tuple[Reals]:
    """Exact in binary, whatever is added up."""
    return (4 * gradient,)


def test_what_is_done_around_a_value_takes_part_in_gradients():
    graph = grown("conv 1×1")
    parameters = frozenset(graph.nodes[0].inputs[1:])
    given = dict(zip(graph.inputs, batch_for(graph, 1, BATCH), strict=True))
    plain = tape.record(graph, given, parameters)
    enlarged = tape.record(graph, given, parameters, lambda name, v: Step(4 * v, times_four))
    ones = {name: np.ones_like(v) for name, v in plain.values.items()}
    once, more = plain.backward(ones), enlarged.backward(ones)
    for name in parameters:
        np.testing.assert_array_equal(more[name], 4 * once[name])
