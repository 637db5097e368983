"""float32: MUL, ADD and SUB by constants for each channel move into the convolution or dense layer beside them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rules.nets import Net, assert_equal, matches, ops_of, rewritten, rule
from tests.support import quant
from tinycomp.ir import DType, Graph
from tinycomp.ops.add import Add
from tinycomp.ops.binary import Binary
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.sub import Sub
from tinycomp.rules import fold_float

INTO_PRODUCER, INTO_CONSUMER = rule("scale_into_producer"), rule("scale_into_consumer")
SHAPES = [(4,), (1, 1, 1, 4), (), (1,)]


def layer(net: Net, kind: str, x: str, **attrs: object) -> str:
    """A layer of four outputs, or twice the channels of its input for the depthwise one."""
    if kind == "dense":
        return net.dense(x, 4, **attrs)  # type: ignore[arg-type]
    if kind == "depthwise":
        return net.depthwise(x, multiplier=2, **attrs)  # type: ignore[arg-type]
    return net.conv(x, 4, (3, 3), **attrs)  # type: ignore[arg-type]


def combined(net: Net, attrs: Binary, x: str, shape: tuple[int, ...], swapped: bool) -> str:
    """x with a random constant of that shape."""
    value = net.constant(net.rng.normal(0, 2, shape).astype(np.float32))
    return net.op(attrs, value, x) if swapped else net.op(attrs, x, value)


def input_for(net: Net, kind: str, channels: int) -> str:
    """An input that the layer takes."""
    return net.input(2, channels) if kind == "dense" else net.input(1, 6, 5, channels)


@pytest.mark.parametrize("swapped", [False, True], ids=["constant last", "constant first"])
@pytest.mark.parametrize("attrs", [Mul("relu"), Add("relu6"), Sub("none")], ids=lambda a: a.op)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_into_the_layer_before(kind, attrs, shape, swapped):
    if kind == "dense" and len(shape) == 4:
        shape = (1, 4)
    net = Net("float32")
    x = input_for(net, kind, 2)
    after = rewritten(net.graph(combined(net, attrs, layer(net, kind, x), shape, swapped)), INTO_PRODUCER)
    assert [node.attrs.activation for node in after.nodes] == [attrs.activation]


@pytest.mark.parametrize("swapped", [False, True], ids=["constant last", "constant first"])
@pytest.mark.parametrize("attrs", [Mul(), Add(), Sub()], ids=lambda a: a.op)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_into_the_layer_behind(kind, attrs, swapped):
    net = Net("float32")
    y = combined(net, attrs, input_for(net, kind, 4), (4,), swapped)
    after = rewritten(net.graph(layer(net, kind, y, activation="relu")), INTO_CONSUMER)
    assert [node.attrs.activation for node in after.nodes] == ["relu"]


def test_into_a_dense_layer_that_flattens_an_image():
    net = Net("float32")
    y = combined(net, Mul(), net.input(1, 3, 2, 4), (4,), False)
    z = combined(net, Add(), y, (4,), False)
    graph = net.graph(net.dense(z, 5, inner=24))
    after, _ = fold_float(graph)
    assert ops_of(after) == ["fully_connected"]
    assert_equal(graph, after, exact=False)


def test_a_factor_passes_through_padding_and_a_shift_does_not():
    for attrs, passes in ((Mul(), True), (Add(), False), (Sub(), False)):
        net = Net("float32")
        y = combined(net, attrs, net.input(1, 6, 5, 4), (4,), False)
        graph = net.graph(net.conv(y, 3, (3, 3), padding=(1, 1, 1, 1)))
        assert matches(graph, INTO_CONSUMER) == passes
        if passes:
            rewritten(graph, INTO_CONSUMER)


def test_batch_normalisation_around_an_activation_goes_both_ways():
    net = Net("float32")
    x = net.conv(net.input(1, 6, 6, 3), 4, (3, 3))
    x = combined(net, Add("relu"), combined(net, Mul(), x, (4,), False), (4,), False)
    x = combined(net, Add(), combined(net, Mul(), x, (1, 1, 1, 4), True), (4,), True)
    graph = net.graph(net.conv(x, 5))
    after, records = fold_float(graph)
    assert ops_of(after) == ["conv2d", "conv2d"]
    assert_equal(graph, after, exact=False)
    assert not all(record.exact for record in records)


def with_constant(shape: tuple[int, ...], dtype: DType = "float32", activation: str = "none") -> Graph:
    """A convolution and a MUL by a constant."""
    net = Net(dtype)
    y = net.conv(net.input(1, 3, 3, 2), 4, activation=activation)
    c = net.constant(net.rng.integers(1, 9, shape).astype(dtype), quant(0.1) if dtype == "int8" else None)
    return net.graph(net.op(Mul(), y, c))


def test_it_does_move_where_nothing_is_in_the_way():
    rewritten(with_constant((4,)), INTO_PRODUCER)


@pytest.mark.parametrize("shape", [(3, 1), (1, 3, 1, 4), (1, 3, 3, 4), (2, 1, 1, 4)], ids=str)
def test_not_where_the_constant_differs_between_pixels_or_enlarges_the_tensor(shape):
    assert not matches(with_constant(shape), INTO_PRODUCER)


def test_not_in_integers():
    assert not matches(with_constant((4,), "int8"), INTO_PRODUCER)


def test_not_past_an_activation():
    assert not matches(with_constant((4,), activation="relu"), INTO_PRODUCER)
    net = Net("float32")
    y = combined(net, Mul("relu"), net.input(1, 6, 5, 4), (4,), False)
    assert not matches(net.graph(net.conv(y, 3)), INTO_CONSUMER)


def test_not_where_somebody_else_reads_what_is_between():
    net = Net("float32")
    y = net.conv(net.input(1, 3, 3, 2), 4)
    assert not matches(net.graph(combined(net, Mul(), y, (4,), False), net.op(Mean((1, 2)), y)), INTO_PRODUCER)
    net = Net("float32")
    y = combined(net, Mul(), net.input(1, 3, 3, 4), (4,), False)
    assert not matches(net.graph(net.conv(y, 2), y), INTO_CONSUMER)


def test_not_where_both_operands_are_computed():
    net = Net("float32")
    x = net.input(1, 3, 3, 2)
    assert not matches(net.graph(net.op(Mul(), net.conv(x, 4), net.conv(x, 4))), INTO_PRODUCER)


def test_not_where_float32_overflows():
    net = Net("float32")
    y = net.conv(net.input(1, 3, 3, 2), 4)
    assert not matches(net.graph(net.op(Mul(), y, net.constant(np.full(4, 3e38, np.float32)))), INTO_PRODUCER)


def test_weights_that_two_layers_share_are_scaled_for_one_of_them():
    net = Net("float32")
    x = net.input(1, 3, 3, 4)
    y = net.conv(x, 4)
    w, b = net.nodes[0].inputs[1:]
    z = net.op(net.nodes[0].attrs, y, w, b)
    graph = net.graph(combined(net, Mul(), z, (4,), False))
    after = rewritten(graph, INTO_PRODUCER)
    assert after.nodes[0].inputs[1:] == (w, b)
    assert set(after.nodes[1].inputs[1:]).isdisjoint((w, b))
