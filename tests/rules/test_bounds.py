"""No channel ever leaves its bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.rules.nets import Net, random_batch
from tests.rules.networks import networks
from tests.support import quant
from tinycomp import interpret
from tinycomp.ir import Graph
from tinycomp.ops.add import Add
from tinycomp.ops.leaky_relu import LeakyRelu
from tinycomp.ops.mul import Mul
from tinycomp.ops.relu import Relu
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.sub import Sub
from tinycomp.rules.bounds import bounds


def assert_inside(graph: Graph, batch: int = 6) -> None:
    """Values of random inputs lie between the bounds of their channels, for every tensor that is computed."""
    known = bounds(graph)
    for name, values in interpret.run(graph, random_batch(graph, batch=batch), keep=True).items():
        flat = values.reshape(-1, values.shape[-1])
        assert (flat >= known[name].low).all(), name
        assert (flat <= known[name].high).all(), name


@settings(max_examples=60, deadline=None)
@given(networks())
def test_integers_stay_between_the_bounds(graph):
    assert_inside(graph)


@settings(max_examples=30, deadline=None)
@given(networks("float32"))
def test_floats_stay_between_the_bounds(graph):
    assert_inside(graph)


def test_the_bounds_of_an_activation_are_those_of_its_clamp():
    net = Net()
    y = net.op(Relu("relu6"), net.input(1, 4, 4, 3))
    known = bounds(net.graph(y))[y]
    assert known.low.tolist() == [-3] * 3
    assert known.high.tolist() == [117] * 3  # 6 / 0.05 − 3


def test_a_falling_function_has_its_bounds_the_other_way_round():
    net = Net()
    h = net.op(Relu("relu"), net.conv(net.input(1, 4, 4, 2), 3))
    y = net.op(LeakyRelu(-1.0), net.op(Sub(), net.constant(np.zeros(3, np.int8), quant(0.05)), h))
    assert_inside(net.graph(y))


@pytest.mark.parametrize("attrs", [Add(), Sub(), Mul()])
def test_integers_of_32_bits_that_wrap_are_not_taken_for_rising(attrs):
    net = Net("int32")
    x, y = net.input(1, 2, 3), net.constant(np.array([1, 2, -1], np.int32))
    graph = net.graph(net.op(attrs, x, y))
    known = bounds(graph)[graph.outputs[0]]
    values = np.array([[[2**31 - 1, -(2**31), 0], [-(2**31), 2**31 - 1, 5]]], np.int32)
    (found,) = interpret.run(graph, [values]).values()
    assert (found >= known.low).all()
    assert (found <= known.high).all()


def test_a_requantization_whose_shift_wraps_is_not_taken_for_rising():
    """Multiplied by 2^20 the extremes of the accumulator clamp above, values between them below."""
    net = Net()
    h = net.conv(net.input(1, 16, 16, 1, scale=1.0, zero=-128), 1, q=quant(1.0))
    graph = net.graph(h)
    w, b = graph.ins(graph.nodes[0])[1:]
    ten = replace(w, data=np.full((1, 1, 1, 1), 10, np.int8), quant=quant(2.0**20))
    bias = replace(b, data=np.array([100], np.int32), quant=quant(2.0**20))
    graph = replace(graph, tensors={**graph.tensors, w.name: ten, b.name: bias})
    (values,) = interpret.run(graph, [np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)]).values()
    assert values.flat[0] == values.flat[255] == 127
    assert values.min() == -128
    assert bounds(graph)[h].low.tolist() == [-128]


def test_nothing_is_said_of_operators_that_mix():
    net = Net()
    h = net.conv(net.input(1, 2, 2, 2), 3, dead=(0, 1, 2))
    y = net.op(Softmax(), h, q=quant(1 / 256, -128))
    known = bounds(net.graph(y))
    assert known[h].steady.all()
    assert not known[y].steady.any()


def test_infinite_constants_raise_no_warning():
    net = Net("float32")
    x = net.op(Mul(), net.input(1, 3), net.constant(np.array([np.inf, 0, 1], np.float32)))
    y = net.op(Add(), net.constant(np.array([[np.inf, np.inf, 1]], np.float32)), x)
    assert not bounds(net.graph(y))[y].steady.any()
