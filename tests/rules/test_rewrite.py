"""The driver: fixpoints, edits that get in each other's way, records, speed, rules that never end."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.rules.nets import Net, assert_equal, ops_of, rule
from tinycomp import rules
from tinycomp.errors import BadInput
from tinycomp.ir import Edit, Graph, Node, apply
from tinycomp.ops.add import Add
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.pad import Pad
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.rewrite import PassRecord, Rule, Size, Stage, apply_rules, apply_stage, size
from tinycomp.rules import EXACT


def chain(length: int) -> Graph:
    """convolution, RELU, RELU6, RESHAPE to the same shape, again and again."""
    net = Net()
    x = net.input(1, 2, 2, 2)
    for _ in range(length):
        x = net.op(Reshape((1, 2, 2, 2)), net.op(Relu("relu6"), net.op(Relu("relu"), net.conv(x, 2))))
    return net.graph(x)


def test_rules_run_until_none_matches():
    graph = chain(5)
    after, records = apply_rules(graph, EXACT)
    assert ops_of(after) == ["conv2d"] * 5
    assert {node.attrs for node in after.nodes} == {Conv2D(activation="relu6")}
    assert [r.name for r in records] == ["noop", "merge_activations", "fuse_activation"]
    assert_equal(graph, after)


def test_records_say_what_changed_in_order_and_nothing_else():
    graph = chain(3)
    after, records = apply_rules(graph, EXACT)
    assert records[0].before == size(graph) == Size(12, 3 * 16, 3 * 4)
    assert records[-1].after == size(after) == Size(3, 3 * 16, 3 * 4)
    assert [a.after for a in records[:-1]] == [b.before for b in records[1:]]
    assert all(r.exact for r in records)
    assert apply_rules(after, EXACT) == (after, [])


def test_a_thousand_nodes_with_hundreds_of_matches_take_about_a_second():
    graph = chain(250)
    start = time.process_time()
    after, _ = apply_rules(graph, EXACT)
    assert len(after.nodes) == 250
    assert time.process_time() - start < 2  # it takes 0.1 s; rebuilding the graph for each edit, 2 s


def test_a_long_chain_of_reshapes_takes_few_sweeps():
    net = Net()
    x = net.conv(net.input(1, 2, 3, 4), 2)
    for i in range(64):
        x = net.op(Reshape((3, 4) if i % 2 else (2, 6)), x)
    calls = 0

    def counted(graph: Graph, node: Node) -> Edit | None:
        nonlocal calls
        calls += 1
        return rule("merge_reshapes").match(graph, node)

    after, _ = apply_rules(net.graph(x), (Rule("counted", Reshape, counted),))
    assert ops_of(after) == ["conv2d", "reshape"]
    assert calls < 64 * 6


def test_edits_that_share_a_tensor_are_made_one_after_the_other():
    net = Net()
    x = net.input(1, 4, 4, 2)
    hidden = net.op(Pad(((0, 0),) * 4), net.op(Relu("relu"), net.op(Relu("relu"), net.conv(x, 2))))
    graph = net.graph(net.op(Add(), hidden, net.op(Reshape((1, 4, 4, 2)), hidden)))
    after, _ = apply_rules(graph, EXACT)
    assert ops_of(after) == ["conv2d", "add"]
    assert after.nodes[1].inputs == after.nodes[0].outputs * 2
    assert_equal(graph, after)


def test_several_edits_at_once_are_those_edits_in_turn():
    graph = chain(3)
    edits = [rule("noop").match(graph, node) for node in graph.nodes if isinstance(node.attrs, Reshape)][:2]
    found = [edit for edit in edits if edit is not None]
    together, in_turn = apply(graph, *found), apply(apply(graph, found[0]), found[1])
    assert (together.nodes, together.outputs, together.tensors) == (in_turn.nodes, in_turn.outputs, in_turn.tensors)
    assert len(together.nodes) == 10


def test_rules_that_undo_one_another_are_stopped():
    def flip(graph: Graph, node: Node) -> Edit:
        now = "relu6" if node.attrs == Relu("relu") else "relu"
        return Edit(remove=(node,), insert=(replace(node, attrs=Relu(now)),))

    with pytest.raises(RuntimeError, match="the rule flip still matches after"):
        apply_rules(chain(1), (Rule("flip", Relu, flip),))


def test_a_rule_that_breaks_the_graph_is_caught():
    def shrink(graph: Graph, node: Node) -> Edit | None:
        out = graph.out(node)
        return Edit(tensors=(replace(out, shape=(1, 1, 1, 2)),), before=node) if out.shape[1] == 2 else None

    with pytest.raises(BadInput, match="is declared as"):
        apply_rules(chain(1), (Rule("shrink", Conv2D, shrink),))


def test_a_stage_is_recorded_where_it_changes_something():
    graph = chain(1)
    assert apply_stage(graph, Stage("nothing", lambda g: g)) == (graph, [])
    fewer, records = apply_stage(graph, Stage("fewer", lambda g: apply_rules(g, EXACT)[0], exact=False))
    assert records == [PassRecord("fewer", False, size(graph), size(fewer))]


def test_optimise_runs_rules_and_channels_and_names_what_it_did():
    net = Net()
    x = net.op(Relu("relu"), net.conv(net.input(1, 4, 4, 2), 6, dead=(1, 4)))
    graph = net.graph(net.conv(x, 3))
    after, records = rules.optimise(graph)
    assert [r.name for r in records] == ["fuse_activation", "channels"]
    assert records[-1].after == Size(2, 16 * (2 * 4 + 4 * 3), 2 * 4 + 4 * 3)
    assert_equal(graph, after)


def test_optimising_twice_changes_nothing_more():
    after, _ = rules.optimise(chain(4))
    again, records = rules.optimise(after)
    assert again is after
    assert records == ()
