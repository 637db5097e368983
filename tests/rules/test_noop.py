"""Nodes that hand their input on disappear; the graph's inputs and outputs keep their names."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rules.nets import Net, matches, ops_of, rewritten, rule
from tests.support import quant
from tinycomp.ir import Attrs, Graph
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.ops.transpose import Transpose

NOOP, MERGE, BACK = rule("noop"), rule("merge_reshapes"), rule("requantize_back")
SHAPE = (1, 4, 5, 3)
COPIES: dict[str, Attrs] = {
    "reshape": Reshape(SHAPE), "transpose": Transpose((0, 1, 2, 3)), "pad": Pad(((0, 0),) * 4),
    "concatenation": Concatenation(3), "slice": StridedSlice((0, 0, 0, 0), SHAPE, (1, 1, 1, 1)),
}  # fmt: skip


def between(attrs: Attrs, dtype: str = "int8", **how: object) -> Graph:
    """convolution, the node, RELU."""
    net = Net(dtype)
    x = net.conv(net.input(1, 4, 5, 2), 3)
    return net.graph(net.op(Relu("relu"), net.op(attrs, x, **how)))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_removed(kind, dtype):
    assert ops_of(rewritten(between(COPIES[kind], dtype), NOOP)) == ["conv2d", "relu"]


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_that_is_the_graphs_output_is_removed_and_the_output_keeps_its_name(kind):
    net = Net()
    hidden = net.conv(net.input(1, 4, 5, 2), 3)
    graph = net.graph(net.op(Relu("relu"), hidden), net.op(COPIES[kind], hidden))
    after = rewritten(graph, NOOP)
    assert ops_of(after) == ["conv2d", "relu"]
    assert after.nodes[1].inputs == after.outputs[1:]


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_from_an_input_to_an_output_stays(kind):
    net = Net()
    graph = net.graph(net.op(COPIES[kind], net.input(*SHAPE)))
    assert not matches(graph, NOOP)


def test_a_copy_between_two_outputs_stays():
    net = Net()
    hidden = net.conv(net.input(1, 4, 5, 2), 3)
    assert not matches(net.graph(hidden, net.op(Reshape(SHAPE), hidden)), NOOP)


@pytest.mark.parametrize("kind", ["reshape", "transpose", "pad", "slice"])
def test_a_copy_that_changes_what_the_integers_mean_stays(kind):
    assert not matches(between(COPIES[kind], q=quant(0.07, 1)), NOOP)


@pytest.mark.parametrize(
    "attrs",
    [
        Reshape((1, 20, 3)), Reshape((1, 5, 4, 3)), Transpose((0, 2, 1, 3)), Pad(((0, 0), (0, 1), (0, 0), (0, 0))),
        StridedSlice((0, 3, 0, 0), (1, -1, 5, 3), (1, -1, 1, 1)), StridedSlice((0, 1, 0, 0), SHAPE, (1, 1, 1, 1)),
    ],
)  # fmt: skip
def test_what_moves_or_changes_elements_stays(attrs):
    assert not matches(between(attrs), NOOP)


def test_a_transpose_of_one_shape_that_does_move_elements_stays():
    net = Net()
    x = net.conv(net.input(1, 4, 4, 2), 3)
    assert not matches(net.graph(net.op(Relu("relu"), net.op(Transpose((0, 2, 1, 3)), x))), NOOP)


def test_a_concatenation_of_two_stays():
    net = Net()
    x, y = net.conv(net.input(1, 4, 5, 2), 3), net.conv(net.input(1, 4, 5, 2), 3)
    assert not matches(net.graph(net.op(Relu("relu"), net.op(Concatenation(3), x, y))), NOOP)


def test_quantize_without_a_change_is_removed():
    assert ops_of(rewritten(between(Quantize()), NOOP)) == ["conv2d", "relu"]


@pytest.mark.parametrize("q", [quant(0.051, -3), quant(0.05, -2)], ids=["scale", "zero point"])
def test_quantize_with_a_change_stays(q):
    assert not matches(between(Quantize(), q=q), NOOP)


def test_relu_over_values_that_cannot_be_negative_is_removed():
    net = Net()
    x = net.conv(net.input(1, 4, 5, 2), 3, q=quant(0.05, -128))
    assert ops_of(rewritten(net.graph(net.op(Relu("relu"), x)), NOOP)) == ["conv2d"]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_relu_that_does_something_stays(dtype):
    net = Net(dtype)
    x = net.conv(net.input(1, 4, 5, 2), 3, q=net.quant(0.05, -127))
    assert not matches(net.graph(net.op(Relu("relu"), x)), NOOP)


def test_the_second_of_two_reshapes_reads_the_first_ones_input():
    net = Net()
    x = net.conv(net.input(1, 4, 5, 2), 3)
    graph = net.graph(net.op(Relu("relu"), net.op(Reshape((3, 20)), net.op(Reshape((1, 60)), x))))
    assert ops_of(rewritten(graph, MERGE)) == ["conv2d", "reshape", "relu"]


def test_the_first_of_two_reshapes_stays_where_it_is_an_output():
    net = Net()
    first = net.op(Reshape((1, 60)), net.conv(net.input(1, 4, 5, 2), 3))
    after = rewritten(net.graph(net.op(Reshape((3, 20)), first), first), MERGE)
    assert ops_of(after) == ["conv2d", "reshape", "reshape"]
    assert after.nodes[2].inputs == after.nodes[0].outputs


def test_one_reshape_is_not_merged():
    net = Net()
    assert not matches(net.graph(net.op(Reshape((1, 60)), net.conv(net.input(1, 4, 5, 2), 3))), MERGE)


def there_and_back(scale: float, zero: int) -> Graph:
    """convolution, DEQUANTIZE, QUANTIZE, RELU."""
    net = Net()
    real = net.op(Dequantize(), net.conv(net.input(1, 8, 8, 2), 4, q=quant(0.05, -3)), dtype="float32")
    return net.graph(net.op(Relu("relu"), net.op(Quantize(), real, q=quant(scale, zero), dtype="int8")))


def test_dequantize_and_quantize_with_one_scale_cancel():
    after = rewritten(there_and_back(0.05, -3), BACK)
    assert after.nodes[-1].inputs == after.nodes[0].outputs


NEXT = float(np.nextafter(np.float32(0.05), np.float32(1)))


@pytest.mark.parametrize(("scale", "zero"), [(0.06, -3), (0.05, -4), (NEXT, -3)])
def test_dequantize_and_quantize_with_another_scale_or_zero_point_stay(scale, zero):
    assert not matches(there_and_back(scale, zero), BACK)


def test_quantize_then_dequantize_rounds_and_stays():
    net = Net("float32")
    q = net.op(Quantize(), net.input(1, 4, 4, 2), q=quant(0.05, -3), dtype="int8")
    graph = net.graph(net.op(Relu("relu"), net.op(Dequantize(), q, dtype="float32")))
    assert not matches(graph, BACK)
    assert not matches(graph, NOOP)
