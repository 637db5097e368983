"""Which channels hang together, and graphs with some of them removed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rules.nets import Net, random_batch
from tests.support import quant
from tinycomp import interpret, ops
from tinycomp.ir import Graph
from tinycomp.ops import OPERATORS
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.transpose import Transpose
from tinycomp.rules.groups import connected, groups, keep_only
from tinycomp.rules.ties import TABLE

# Operators that a graph keeps all channels around: they mix them without weights, or have no kernel.
HELD = {
    "add_n", "arg_extreme", "batch_matmul", "batch_to_space", "broadcast_args", "cast", "cumsum", "delay",
    "depth_to_space", "elementwise", "fake_quant", "fill", "gather", "gather_nd", "l2_norm", "l2_pool2d", "log_softmax",
    "lstm", "mirror_pad", "one_hot", "pack", "pairwise", "range", "reduce", "resize_bilinear", "resize_nearest",
    "reverse", "select", "shape", "softmax", "space_to_batch", "space_to_depth", "split", "strided_slice", "svdf",
    "tile", "trainable_dense", "transpose_conv", "unpack",
}  # fmt: skip


def partners(graph: Graph, name: str, channel: int) -> dict[str, set[int]]:
    """The channels, by tensor, that go with one channel."""
    found = groups(graph)
    wanted = found.label[name][channel]
    hits = {n: set(np.flatnonzero(label == wanted).tolist()) for n, label in found.label.items()}
    return {n: channels for n, channels in hits.items() if channels}


def test_every_operator_is_in_the_table_or_known_to_hold_its_channels():
    assert {kind.op for kind in TABLE} | HELD == set(OPERATORS)
    assert not {kind.op for kind in TABLE} & HELD


def test_a_convolution_frees_both_its_sides():
    net = Net()
    h = net.conv(net.input(1, 3, 3, 2), 4)
    y = net.conv(h, 3)
    assert partners(net.graph(y), h, 1) == {h: {1}}


def test_a_depthwise_channel_goes_with_all_its_multiples():
    net = Net()
    h = net.conv(net.input(1, 3, 3, 2), 4)
    d = net.depthwise(h, multiplier=3)
    assert partners(net.graph(net.conv(d, 2)), d, 7) == {h: {2}, d: {6, 7, 8}}


@pytest.mark.parametrize(
    "attrs",
    [
        AveragePool2D((2, 2)), MaxPool2D((2, 2)), Pad(((0, 0), (1, 0), (0, 2), (0, 0))), Mean((1,)),
        Mean((1, 2), True), Quantize(), Transpose((0, 2, 1, 3)), Reshape((1, 9, 1, 4)),
    ],
)  # fmt: skip
def test_channel_by_channel_operators_tie_each_to_its_own(attrs):
    net = Net()
    h = net.conv(net.input(1, 3, 3, 2), 4)
    y = net.op(attrs, h)
    z = net.dense(y, 5)
    assert partners(net.graph(z), h, 3) == {h: {3}, y: {3}}


@pytest.mark.parametrize(
    "attrs",
    [Softmax(), Pad(((0, 0), (0, 0), (0, 0), (1, 0))), Mean((3,), True), Transpose((0, 3, 1, 2))],
)
def test_operators_that_mix_or_move_channels_hold_them(attrs):
    net = Net()
    h = net.conv(net.input(1, 3, 3, 2), 4)
    q = quant(1 / 256, -128) if isinstance(attrs, Softmax) else None
    found = groups(net.graph(net.op(attrs, h, q=q)))
    assert found.pinned[found.label[h]].all()


@pytest.mark.parametrize("attrs", [Add(), Mul()])
def test_both_operands_of_a_sum_or_product_go_with_the_result(attrs):
    net = Net()
    x = net.input(1, 3, 3, 2)
    a, b, c = net.conv(x, 4), net.conv(x, 4), net.constant(np.ones((1, 1, 1, 4), np.int8), net.quant())
    y = net.op(attrs, a, b)
    z = net.op(attrs, y, c)
    assert partners(net.graph(net.conv(z, 2)), b, 2) == {a: {2}, b: {2}, c: {2}, y: {2}, z: {2}}


def test_a_gate_of_one_channel_is_held():
    net = Net()
    x = net.input(1, 3, 3, 2)
    a, gate = net.conv(x, 4), net.conv(x, 1)
    y = net.op(Mul(), a, gate)
    graph = net.graph(net.conv(y, 2))
    assert partners(graph, y, 2) == {a: {2}, y: {2}}
    found = groups(graph)
    assert found.pinned[found.label[gate]].all()


def test_a_concatenation_offsets_its_operands():
    net = Net()
    x = net.input(1, 3, 3, 2)
    a, b = net.conv(x, 4), net.conv(x, 3)
    y = net.op(Concatenation(3), a, b)
    graph = net.graph(net.conv(y, 2))
    assert partners(graph, y, 2) == {a: {2}, y: {2}}
    assert partners(graph, y, 5) == {b: {1}, y: {5}}


def test_a_concatenation_of_rows_ties_its_operands_together():
    net = Net()
    x = net.input(1, 3, 3, 2)
    a, b = net.conv(x, 4), net.conv(x, 4)
    y = net.op(Concatenation(1), a, b)
    assert partners(net.graph(net.conv(y, 2)), y, 2) == {a: {2}, b: {2}, y: {2}}


def test_flattening_ties_strided_columns_to_a_channel_and_back():
    net = Net()
    h = net.conv(net.input(1, 2, 2, 2), 3)
    flat = net.op(Reshape((1, 12)), h)
    image = net.op(Reshape((1, 4, 1, 3)), flat)
    graph = net.graph(net.conv(image, 2))
    assert partners(graph, h, 1) == {h: {1}, flat: {1, 4, 7, 10}, image: {1}}


def test_a_reshape_across_channels_ties_all_of_them():
    net = Net()
    h = net.conv(net.input(1, 2, 2, 2), 3)
    y = net.op(Reshape((1, 3, 4)), h)
    assert partners(net.graph(net.dense(y, 5)), h, 1) == {h: {0, 1, 2}, y: {0, 1, 2, 3}}


def test_inputs_and_outputs_and_grouped_convolutions_are_held():
    net = Net()
    x = net.input(1, 3, 3, 4)
    h = net.conv(x, 4)
    w = net.constant(np.ones((6, 1, 1, 2), np.int8), quant(0.01))
    b = net.constant(np.zeros(6, np.int32))
    y = net.op(net.nodes[0].attrs, h, w, b)
    found = groups(net.graph(net.conv(y, 2)))
    assert all(found.pinned[found.label[name]].all() for name in (x, h, y))


def test_components_are_numbered_by_their_first_vertex():
    edges = [(np.array([5, 1]), np.array([1, 5])), (np.array([3]), np.array([6])), (np.array([6]), np.array([0]))]
    assert connected(8, edges).tolist() == [0, 1, 2, 0, 3, 1, 0, 4]
    assert connected(3, []).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_components_are_those_of_a_search(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 60, 45), rng.integers(0, 60, 45)
    label = connected(60, [(a, b)])
    reach = np.eye(60, dtype=bool)
    reach[a, b] = reach[b, a] = True
    for _ in range(6):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    np.testing.assert_array_equal(label[:, None] == label[None, :], reach)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_graph_with_channels_removed_computes_what_the_whole_one_does_with_their_weights_zero(dtype):
    """Removing group g is the same as ignoring it: first layer's row and every reader's column."""
    net = Net(dtype)
    x = net.input(1, 5, 5, 2)
    h = net.conv(x, 4, (3, 3), padding=(1, 1, 1, 1))
    d = net.depthwise(h, multiplier=2, padding=(1, 1, 1, 1))
    y = net.op(Add(), d, net.constant(net.rng.integers(-9, 9, (1, 1, 1, 8)).astype(dtype), net.quant(0.01)))
    flat = net.op(Reshape((1, 9 * 8)), net.op(MaxPool2D((2, 2), (2, 2), (0, 1, 0, 1)), y))
    graph = net.graph(net.dense(flat, 3))
    found = groups(graph)
    dropped = np.isin(np.arange(len(found.pinned)), found.label[h][[0, 2]])
    assert not (dropped & found.pinned).any()
    after = keep_only(graph, found.keep(~dropped))
    ops.check(after)
    assert after.tensors[h].shape == (1, 5, 5, 2)
    assert after.tensors[flat].shape == (1, 36)
    w = net.tensors[net.nodes[-1].inputs[1]].data
    assert w is not None
    w[:, found.keep(~dropped)[flat] == 0] = 0  # the test's own graph: its arrays may change
    inputs = random_batch(graph)
    (wanted,), (got,) = interpret.run(graph, inputs).values(), interpret.run(after, inputs).values()
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert (got == wanted).all() or dtype == "float32"


def test_weights_that_two_layers_share_are_narrowed_for_each():
    net = Net()
    h = net.conv(net.input(1, 3, 3, 4), 4)
    attrs, (w, b) = net.nodes[0].attrs, net.nodes[0].inputs[1:]
    y = net.op(attrs, h, w, b)
    graph = net.graph(y)
    after = keep_only(graph, {h: np.array([True, False, True, True])})
    ops.check(after)
    assert [after.ins(node)[1].shape for node in after.nodes] == [(3, 1, 1, 4), (4, 1, 1, 3)]
