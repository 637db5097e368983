"""Activations merge with one another and into the operator before them."""

from __future__ import annotations

import pytest

from tests.rules.nets import Net, matches, ops_of, rewritten, rule
from tests.support import quant
from tinycomp.ir import Graph, Reference
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.base import ACTIVATIONS
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.relu import Relu
from tinycomp.ops.sub import Sub

FUSE, MERGE = rule("fuse_activation"), rule("merge_activations")
NAMED = ACTIVATIONS[1:4]
# One after the other; None where the interval has no name.
BOTH = {
    ("relu", "relu"): "relu", ("relu", "relu6"): "relu6", ("relu6", "relu"): "relu6", ("relu6", "relu6"): "relu6",
    ("relu_n1_to_1", "relu_n1_to_1"): "relu_n1_to_1", ("relu", "relu_n1_to_1"): None, ("relu6", "relu_n1_to_1"): None,
    ("relu_n1_to_1", "relu"): None, ("relu_n1_to_1", "relu6"): None,
}  # fmt: skip


def host(net: Net, kind: str, before: str = "none") -> str:
    """The output of one operator that can clamp."""
    x = net.input(1, 4, 5, 3)
    q = net.quant(0.06, -20)
    if kind in ("add", "sub", "mul"):
        attrs = {"add": Add, "sub": Sub, "mul": Mul}[kind](before)
        return net.op(attrs, x, net.input(1, 4, 5, 3, scale=0.03, zero=7), q=q)
    if kind in ("average", "max"):
        return net.op({"average": AveragePool2D, "max": MaxPool2D}[kind]((2, 2), activation=before), x)
    if kind == "dense":
        return net.dense(x, 4, q=q, activation=before)
    if kind == "conv":
        return net.conv(x, 4, (3, 3), q=q, activation=before)
    return net.depthwise(x, q=q, activation=before)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("activation", NAMED)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense", "add", "sub", "mul", "average", "max"])
def test_an_activation_is_fused_into_whatever_can_clamp(kind, activation, dtype):
    net = Net(dtype)
    graph = net.graph(net.op(Relu(activation), host(net, kind)))
    fused = rewritten(graph, FUSE)
    assert len(fused.nodes) == 1
    assert fused.nodes[0].attrs.activation == activation


@pytest.mark.parametrize(("first", "second"), BOTH)
def test_an_activation_joins_one_that_is_fused_already(first, second):
    net = Net()
    graph = net.graph(net.op(Relu(second), host(net, "conv", first)))
    if BOTH[first, second] is None:
        assert not matches(graph, FUSE)
    else:
        assert rewritten(graph, FUSE).nodes[0].attrs.activation == BOTH[first, second]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize(("first", "second"), BOTH)
def test_two_activations_become_the_one_they_amount_to(first, second, dtype):
    net = Net(dtype)
    graph = net.graph(net.op(Relu(second), net.op(Relu(first), net.input(1, 3, 4, 2))))
    if BOTH[first, second] is None:
        assert not matches(graph, MERGE)
    else:
        merged = rewritten(graph, MERGE)
        assert [node.attrs for node in merged.nodes] == [Relu(BOTH[first, second])]


def rescaling(reference: Reference) -> Graph:
    """RELU6, then a RELU whose output has another scale."""
    net = Net(reference=reference)
    hidden = net.op(Relu("relu6"), net.input(1, 16, 16, 1))
    return net.graph(net.op(Relu("relu"), hidden, q=quant(0.03, 4)))


def test_activations_that_rescale_merge_where_the_reference_rescales_both_alike():
    assert [node.attrs for node in rewritten(rescaling("litert"), MERGE).nodes] == [Relu("relu6")]


def test_activations_do_not_merge_into_a_relu6_that_would_have_to_rescale_in_tflm():
    assert not matches(rescaling("tflm"), MERGE)


@pytest.mark.parametrize("kind", ["conv", "add", "average"])
def test_no_fusion_across_a_change_of_scale(kind):
    net = Net()
    graph = net.graph(net.op(Relu("relu"), host(net, kind), q=quant(0.07, -20)))
    assert not matches(graph, FUSE)


def test_no_fusion_where_the_unclamped_values_are_read_as_well():
    net = Net()
    hidden = host(net, "conv")
    graph = net.graph(net.op(Relu("relu"), hidden), net.op(Mean((1, 2)), hidden))
    assert not matches(graph, FUSE)


def test_no_fusion_where_the_unclamped_values_are_an_output():
    net = Net()
    hidden = host(net, "conv")
    assert not matches(net.graph(net.op(Relu("relu"), hidden), hidden), FUSE)


def test_no_merge_where_the_first_activation_is_read_as_well():
    net = Net()
    hidden = net.op(Relu("relu"), net.input(1, 3, 4, 2))
    assert not matches(net.graph(net.op(Relu("relu6"), hidden), hidden), MERGE)


def test_no_fusion_into_an_operator_that_cannot_clamp():
    net = Net()
    graph = net.graph(net.op(Relu("relu"), net.op(Mean((1, 2)), net.input(1, 3, 4, 2))))
    assert ops_of(graph) == ["mean", "relu"]
    assert not matches(graph, FUSE)
