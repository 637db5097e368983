"""Channels leave a float graph in an order, along a path, and what is left is repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from tests.quantize.nets import data_for, residual
from tests.rules.nets import Net
from tinycomp import ops
from tinycomp.fit.distance import answers, distance
from tinycomp.fit.order import orders
from tinycomp.fit.prune import Pruner
from tinycomp.fit.repair import Effort, Teacher, repair
from tinycomp.ir import Graph, Tensor
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.observe import Floats
from tinycomp.rewrite import size
from tinycomp.rules.groups import groups, keep_only

CASES = 120


def chain(channels: int = 8, seed: int = 0) -> Graph:
    """Convolution, pointwise, dense over all positions, softmax."""
    net = Net("float32", seed)
    a = net.conv(net.input(1, 8, 8, 3), channels, (3, 3), padding=(1, 1, 1, 1), stride=(4, 4), activation="relu")
    b = net.conv(a, channels, activation="relu")
    return net.graph(net.op(Softmax(), net.dense(net.op(Reshape((1, 4 * channels)), b), 4)))


def joined(seed: int = 0) -> Graph:
    """Two branches that a concatenation puts side by side."""
    net = Net("float32", seed)
    x = net.input(1, 8, 8, 3)
    parts = [net.conv(x, n, stride=(4, 4), activation="relu") for n in (5, 6)]
    return net.graph(net.conv(net.op(Concatenation(3), *parts), 3, activation="none"))


def pruner(graph: Graph) -> Pruner:
    data = data_for(graph, CASES)
    return Pruner(graph, data.part(range(0, CASES, 2)), data.part(range(1, CASES, 2)))


def with_twin(graph: Graph, first: int, second: int) -> Graph:
    """The graph with the second channel of its first convolution a multiple of the first."""
    w, b = graph.ins(graph.nodes[0])[1:]
    made = list[Tensor]()
    for t in (w, b):
        assert t.data is not None
        data = t.data.copy()
        data[second] = data[first] * np.float32(0.5)
        made.append(replace(t, data=data))
    return replace(graph, tensors={**graph.tensors, **{t.name: t for t in made}})


def test_a_channel_that_others_can_stand_in_for_goes_first_and_costs_nothing():
    graph = with_twin(chain(), 2, 5)
    made = pruner(graph)
    label = made.found.label[graph.nodes[0].outputs[0]]
    counts = [0] * len(made.orders)
    first = next(k for k, order in enumerate(made.orders) if label[2] in order.groups)
    counts[first] = 1
    assert made.orders[first].groups[0] in (label[2], label[5])
    assert made.cut(counts).harm < 1e-6


def least_error(a: Floats, y: Floats) -> float:
    """Of a linear map with a bias from a to y, per row."""
    ones = np.concatenate([a, np.ones((len(a), 1))], axis=1)
    w = np.linalg.lstsq(ones, y, rcond=None)[0]
    return float(((ones @ w - y) ** 2).sum() / len(a))


def test_the_first_to_go_is_the_one_that_least_squares_can_do_without_best():
    graph = chain(6, seed=3)
    inputs = data_for(graph, 80).inputs
    found = groups(graph)
    hidden, reader = graph.nodes[0].outputs[0], graph.nodes[1]
    w, b = (np.asarray(t.data, np.float64) for t in graph.ins(reader)[1:])
    part = replace(graph, outputs=(hidden,), nodes=graph.nodes[:1])
    a = answers(part, inputs)[hidden].reshape(-1, 6).astype(np.float64)
    y = a @ w.reshape(6, 6).T + b
    harm = [least_error(np.delete(a, k, axis=1), y) for k in range(6)]
    order = next(o for o in orders(graph, found, inputs) if hidden in o.cluster.names)
    assert order.groups[0] == found.label[hidden][int(np.argmin(harm))]


@pytest.mark.parametrize("graph", [chain(), residual(channels=6), joined()], ids=["chain", "residual", "joined"])
def test_every_cut_along_the_path_is_a_sound_graph_of_fewer_weights(graph: Graph):
    made = pruner(graph)
    cuts = list(made.path(lambda g: float(size(g).weights)))
    assert len(cuts) > 4
    for before, after in pairwise(cuts):
        ops.check(after.graph)
        assert size(after.graph).weights < size(before.graph).weights
        assert [a >= b for a, b in zip(after.counts, before.counts, strict=True)].count(False) == 0
    assert cuts[0].graph is graph
    assert cuts[0].harm == 0.0
    assert list(cuts[-1].counts) == [len(o.groups) for o in made.orders]


def test_inputs_and_outputs_keep_their_channels():
    graph = joined()
    last = list(pruner(graph).path(lambda g: float(size(g).weights)))[-1].graph
    for name in (*graph.inputs, *graph.outputs):
        assert last.tensors[name].shape == graph.tensors[name].shape


def test_tied_channels_of_a_residual_go_together():
    graph = residual(channels=6)
    for cut in islice(pruner(graph).path(lambda g: float(size(g).weights)), 12):
        add = next(n for n in cut.graph.nodes if n.op == "add")
        assert len({t.shape for t in (*cut.graph.ins(add), cut.graph.out(add))}) == 1


@pytest.mark.parametrize("make", [joined, residual])
def test_repair_undoes_much_of_what_the_cut_has_done(make: Callable[[], Graph]):
    graph = make()
    made = pruner(graph)
    counts = [len(order.groups) // 3 for order in made.orders]
    cut = made.cut(counts)
    live = np.ones(len(made.found.pinned), np.bool_)
    for order, count in zip(made.orders, counts, strict=True):
        live[order.groups[:count]] = False
    assert cut.harm < made.harm(keep_only(graph, made.found.keep(live))) * 0.8


def test_a_repair_that_moves_its_aim_below_relu_comes_nearer():
    net = Net("float32")
    a = net.conv(net.input(1, 8, 8, 3), 12, (3, 3), stride=(2, 2), activation="relu")
    graph = net.graph(net.conv(a, 12, activation="relu"))
    data = data_for(graph, 120)
    found = groups(graph)
    live = np.ones(len(found.pinned), np.bool_)
    for order in orders(graph, found, data.inputs):
        live[order.groups[:6]] = False
    keep, teacher = found.keep(live), Teacher.of(graph, data.inputs)
    thin, wanted = keep_only(graph, keep), answers(graph, data.inputs)
    plain, moved = (
        distance(graph, wanted, answers(repair(thin, teacher, keep, Effort(passes=n)), data.inputs)) for n in (0, 3)
    )
    assert moved < plain


def test_the_repair_of_a_whole_graph_leaves_it_as_it_was():
    graph = residual()
    data = data_for(graph, 30)
    made = repair(graph, Teacher.of(graph, data.inputs), {}, Effort())
    assert distance(graph, answers(graph, data.inputs), answers(made, data.inputs)) < 1e-7


def test_the_distance_of_probabilities_is_a_divergence_and_of_others_a_relative_error():
    soft, plain = chain(), residual(softmax=False)
    p = {soft.outputs[0]: np.array([[0.5, 0.5, 0, 0]], np.float32)}
    q = {soft.outputs[0]: np.array([[0.25, 0.75, 0, 0]], np.float32)}
    assert distance(soft, p, p) == 0.0
    assert distance(soft, p, q) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    a = {plain.outputs[0]: np.array([[1.0], [3.0]], np.float32)}
    b = {plain.outputs[0]: np.array([[1.0], [2.0]], np.float32)}
    assert distance(plain, a, b) == pytest.approx(0.5)
