"""Nodes that nobody reads, and nodes whose result is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.rules.nets import Net, matches, ops_of, rewritten, rule
from tests.support import quant
from tinycomp.ir import Graph
from tinycomp.ops.add import Add
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.mul import Mul
from tinycomp.ops.relu import Relu
from tinycomp.ops.split import Split
from tinycomp.rewrite import apply_rules
from tinycomp.rules import EXACT

DEAD, CONSTANTS = rule("dead"), rule("constants")


def test_a_chain_that_leads_nowhere_goes_in_one_edit_with_its_constants():
    net = Net()
    x = net.input(1, 4, 4, 2)
    y = net.op(Relu("relu"), x)
    net.op(Relu("relu6"), net.conv(net.conv(x, 3), 4))
    graph = net.graph(y)
    after = rewritten(graph, DEAD)
    assert ops_of(after) == ["relu"]
    assert set(after.tensors) == {x, y}


def test_a_diamond_that_leads_nowhere_goes_whole():
    net = Net()
    x = net.input(1, 4, 4, 2)
    stem = net.conv(x, 3)
    net.op(Add(), net.op(Relu("relu"), stem), net.op(Relu("relu6"), stem))
    after, _ = apply_rules(net.graph(net.op(Relu("relu"), x)), (DEAD,))
    assert ops_of(after) == ["relu"]


def test_what_an_output_needs_stays():
    net = Net()
    stem = net.conv(net.input(1, 4, 4, 2), 3)
    net.op(Relu("relu"), stem)
    after = rewritten(net.graph(net.conv(stem, 2)), DEAD)
    assert ops_of(after) == ["conv2d", "conv2d"]
    assert not matches(after, DEAD)


def test_an_unused_output_beside_a_used_one_keeps_the_node():
    net = Net()
    x = net.input(1, 4, 4, 4)
    net.op(Relu("relu"), x)
    graph = net.graph(x)
    tensors = {**graph.tensors, "a": replace(graph.tensors[x], name="a", shape=(1, 4, 4, 2)),
               "b": replace(graph.tensors[x], name="b", shape=(1, 4, 4, 2))}  # fmt: skip
    split = replace(graph.nodes[0], name="split_0", attrs=Split(3, (2, 2)), outputs=("a", "b"))
    assert not matches(replace(graph, tensors=tensors, nodes=(split,), outputs=("b",)), DEAD)


def test_a_node_without_outputs_acts_otherwise_and_stays():
    net = Net()
    x = net.input(1, 4, 4, 4)
    net.op(Relu("relu"), x)
    graph = net.graph(x)
    silent = replace(graph.nodes[0], outputs=())
    assert DEAD.match(replace(graph, nodes=(silent,)), silent) is None


def constant_branch() -> Graph:
    """x + relu(dequantize(c) · d), the second operand constant."""
    net = Net("float32")
    x = net.input(1, 4, 4, 3)
    c = net.constant(np.array([[1, -2, 3]], np.int8), quant(0.5, 1))
    real = net.op(Dequantize(), c, dtype="float32")
    scaled = net.op(Mul(), real, net.constant(np.array([2, 3, 4], np.float32)))
    return net.graph(net.op(Add(), x, net.op(Relu("relu"), scaled)))


def test_everything_that_depends_on_constants_alone_is_computed_now():
    graph = constant_branch()
    assert ops_of(rewritten(graph, CONSTANTS)) == ["mul", "relu", "add"]
    after, _ = apply_rules(graph, (CONSTANTS,))
    assert ops_of(after) == ["add"]
    (folded,) = (t for t in after.tensors.values() if t.data is not None)
    np.testing.assert_array_equal(folded.data, np.array([[0, 0, 4]], np.float32))


def test_a_node_with_one_constant_operand_is_not_folded():
    net = Net("float32")
    graph = net.graph(net.op(Add(), net.input(1, 3), net.constant(np.ones(3, np.float32))))
    assert not matches(graph, CONSTANTS)


def test_the_graphs_output_is_still_computed():
    net = Net("float32")
    x = net.input(1, 3)
    graph = net.graph(net.op(Relu("relu"), x), net.op(Relu("relu"), net.constant(np.ones((1, 3), np.float32))))
    assert not matches(graph, CONSTANTS)


@pytest.mark.parametrize("name", [r.name for r in EXACT])
def test_no_exact_rule_touches_a_graph_with_nothing_to_do(name):
    net = Net()
    x = net.conv(net.input(1, 8, 8, 3), 4, (3, 3), padding=(1, 1, 1, 1))
    assert not matches(net.graph(net.op(Add("relu"), x, net.depthwise(x, padding=(1, 1, 1, 1)))), rule(name))
