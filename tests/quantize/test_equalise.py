"""Equalisation: the same function, its channels of one width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.quantize.nets import data_for, residual, uneven
from tests.rules.nets import Net, assert_equal
from tinycomp.ir import Graph
from tinycomp.ops.add import Add
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.reshape import Reshape
from tinycomp.quantize.calibrate import calibrate
from tinycomp.quantize.equalise import equalise
from tinycomp.quantize.homogeneous import channel_groups
from tinycomp.quantize.observe import Statistics
from tinycomp.quantize.pools import pools_to_means


def seen(graph: Graph) -> dict[str, Statistics]:
    """Statistics on smooth images."""
    return calibrate(graph, data_for(graph).inputs)


def chain(*middle: str) -> Graph:
    """conv – middle – conv, with channels of unlike widths."""
    net = Net("float32", 2)
    x = net.conv(net.input(1, 8, 8, 3), 8, (3, 3), padding=(1, 1, 1, 1), activation="relu")
    for name in middle:
        if name == "depthwise":
            x = net.depthwise(x, (3, 3), 2, padding=(1, 1, 1, 1), activation="relu")
        elif name == "pool":
            x = net.op(MaxPool2D((2, 2), (2, 2)), x)
        elif name == "pad":
            x = net.op(Pad(((0, 0), (1, 1), (1, 1), (0, 0))), x)
        elif name == "residual":
            x = net.op(Add("relu"), x, net.conv(x, 8))
        elif name == "concatenation":
            x = net.op(Concatenation(3), x, net.conv(x, 4, activation="relu"))
        elif name == "relu6":
            x = net.conv(x, 8, activation="relu6")
        elif name == "gate":
            x = net.op(Mul(), x, net.op(Logistic(), x))
        elif name == "flatten":
            x = net.op(Reshape((1, 512)), x)
            return uneven(net.graph(net.dense(net.dense(x, 6, activation="relu"), 4)))
    return uneven(net.graph(net.conv(x, 5)))


def spread(graph: Graph, name: str) -> float:
    """Widest over narrowest channel."""
    s = seen(graph)[name]
    widths = np.maximum(s.channel_high, -s.channel_low)
    return float(widths.max() / max(widths.min(), 1e-9))


@pytest.mark.parametrize("middle", [
    (), ("depthwise",), ("pool",), ("pad",), ("residual",), ("concatenation",), ("relu6",), ("gate",), ("flatten",),
    ("depthwise", "residual", "pool") if False else ("residual", "depthwise"),
], ids=lambda m: "-".join(m) or "plain")  # fmt: skip
def test_the_function_stays_and_channels_become_more_alike(middle):
    graph = chain(*middle)
    made, scale = equalise(graph, seen(graph))
    assert_equal(graph, made, exact=False)
    if middle != ("gate",):
        assert scale
        assert any(spread(made, name) < 0.7 * spread(graph, name) for name in scale)


def test_scales_say_what_channels_were_divided_by():
    graph = chain("residual")
    made, scale = equalise(graph, seen(graph))
    before, after = seen(graph), seen(made)
    for name, s in scale.items():
        np.testing.assert_allclose(after[name].channel_high * s, before[name].channel_high, rtol=1e-3, atol=1e-5)


def test_depthwise_inputs_become_alike_altogether_since_it_costs_nothing():
    graph = chain("depthwise")
    made, _ = equalise(graph, seen(graph))
    first = graph.nodes[0].outputs[0]
    assert spread(graph, first) > 3
    assert spread(made, first) < 1.1


@pytest.mark.parametrize("held", ["relu6", "gate"])
def test_what_is_not_homogeneous_is_held(held):
    graph = chain(held)
    found = channel_groups(graph)
    name = next(n.outputs[0] for n in graph.nodes if getattr(n.attrs, "activation", "") == held or n.op == "mul")
    assert found.pinned[found.label[name]].all()


def test_inputs_outputs_and_shared_weights_are_held():
    graph = chain()
    found = channel_groups(graph)
    for name in (*graph.inputs, *graph.outputs):
        assert found.pinned[found.label[name]].all()
    net = Net("float32")
    a = net.conv(net.input(1, 4, 4, 3), 3)
    first = net.nodes[-1]
    b = net.op(first.attrs, a, *first.inputs[1:])
    graph = net.graph(net.conv(b, 2))
    found = channel_groups(graph)
    assert found.pinned[found.label[a]].all()
    assert found.pinned[found.label[b]].all()


def test_a_graph_with_nothing_to_scale_stays():
    net = Net("float32")
    graph = net.graph(net.conv(net.input(1, 8, 8, 3), 4))
    made, scale = equalise(graph, seen(graph))
    assert scale == {}
    assert made.nodes == graph.nodes


def test_dead_channels_do_not_blow_up():
    graph = chain()
    node = graph.nodes[0]
    w, b = graph.ins(node)[1:]
    assert w.data is not None
    assert b.data is not None
    dead_w, dead_b = w.data.copy(), b.data.copy()
    dead_w[2], dead_b[2] = 0, 0
    tensors = {**graph.tensors, w.name: replace(w, data=dead_w), b.name: replace(b, data=dead_b)}
    graph = replace(graph, tensors=tensors)
    made, _ = equalise(graph, seen(graph))
    assert_equal(graph, made, exact=False)


def test_global_pools_become_means_and_others_stay():
    graph = residual()
    made = pools_to_means(graph)
    assert_equal(graph, made, exact=False)
    assert [n.op for n in made.nodes].count("mean") == 1
    assert [n.op for n in made.nodes].count("average_pool2d") == 0
    plain = chain("pool")
    assert pools_to_means(plain) is plain
