"""Fitting layers to the float model, and sampling what they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.quantize.nets import data_for, images, residual
from tests.rules.nets import Net
from tinycomp import ops
from tinycomp.ir import Graph, Quant
from tinycomp.quantize import fit, sample, weights
from tinycomp.quantize.accuracy import measure
from tinycomp.quantize.calibrate import calibrate
from tinycomp.quantize.fit import Settings
from tinycomp.quantize.observe import ranges
from tinycomp.quantize.reconstruct import average, error
from tinycomp.quantize.scheme import Scheme, scheme
from tinycomp.quantize.to_int8 import as_inputs, to_int8


def planned(graph: Graph) -> tuple[Scheme, np.ndarray]:
    """A scheme by extremes, and the data."""
    x = data_for(graph, 80).inputs
    return scheme(graph, ranges(calibrate(graph, x), "minmax")), x[0]


def layer(make: Callable[[Net, str], str]) -> Graph:
    """One weighted layer."""
    net = Net("float32", 1)
    return net.graph(make(net, net.input(1, 8, 8, 3)))


LAYERS = {
    "conv": layer(lambda n, x: n.conv(x, 4, (3, 3), padding=(1, 1, 1, 1))),
    "strided": layer(lambda n, x: n.conv(x, 4, (3, 2), stride=(2, 3), padding=(0, 1, 0, 1))),
    "dilated": layer(lambda n, x: n.conv(x, 4, (2, 2), dilation=(2, 3))),
    "depthwise": layer(lambda n, x: n.depthwise(x, (3, 3), padding=(1, 1, 1, 1), stride=(2, 1))),
    "multiplier": layer(lambda n, x: n.depthwise(x, (2, 3), 2)),
    "dense": layer(lambda n, x: n.dense(x, 5, inner=192)),
    "vectors": layer(lambda n, x: n.dense(x, 5, keep_dims=True)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_moments_are_those_of_what_the_layer_reads_and_writes(name):
    """With exact inputs the float weights have no error: every sampled row is matched with its own output."""
    graph = LAYERS[name]
    (node,) = graph.nodes
    x = np.round(images(20) * 20).astype(np.int8)
    t = replace(graph.ins(node)[0], dtype="int8", quant=Quant((0.25,), (3,)))
    real = ((x.astype(np.float32) - 3) * np.float32(0.25)).astype(np.float32)
    args = [real, *(graph.constant(n) for n in node.inputs[1:])]
    (y,) = ops.operator(node).reference(node, graph, [a for a in args if a is not None])
    parts = sample.layer_moments(node, graph, x, t, y, 20)
    assert len(parts) == sample.FOLDS
    found = weights.layer_of(node, graph)
    groups = sample.by_groups(found)
    bias = found.bias[:, None, None] if len(groups) > 1 else found.bias[None, None]
    w = np.concatenate([groups, bias], axis=1)
    m = average(parts)
    assert (error(w, m) < 1e-6 * m.power).all()
    np.testing.assert_array_equal(sample.by_channels(node, groups), found.weights)


def coarse(graph: Graph) -> Graph:
    """The graph with one large weight in each row, so that the others are left with few steps."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if node.op == "conv2d":
            w = graph.ins(node)[1]
            assert w.data is not None
            data = w.data.copy()
            data[:, 0, 0, 0] *= 40
            tensors[w.name] = replace(w, data=data)
    return replace(graph, tensors=tensors)


@pytest.mark.parametrize("settings", [Settings(bias=True), Settings(rounding=True), Settings(bias=True, clip=True)])
def test_fitted_layers_are_nearer_to_the_float_model(settings):
    graph = coarse(residual())
    plan, x = planned(graph)
    plain = to_int8(graph, plan, fit.nearest(graph, plan, Settings()))
    fresh = [images(60, 9)[:, None]]
    before = measure(graph, plain, fresh).figure
    steps: list[int] = []
    made = fit.fit(graph, plan, [x], settings, steps.append)
    assert measure(graph, to_int8(graph, plan, made), fresh).figure > before + 0.2
    assert steps == list(range(1, len(plain.nodes) + 1))
    assert set(made) == {n.name for n in graph.nodes if n.op in ("conv2d", "depthwise_conv2d", "fully_connected")}


def test_a_fitted_bias_leaves_no_mean_error_in_the_layer_itself():
    graph = LAYERS["conv"]
    plan, x = planned(graph)
    made = to_int8(graph, plan, fit.fit(graph, plan, [x], Settings(bias=True)))
    node, stored = made.nodes[0], as_inputs(made, [x[:, 0]])[0]
    (q,) = ops.operator(node).reference(node, made, [stored, *(made.constant(n) for n in node.inputs[1:])])
    real = graph.nodes[0]
    (y,) = ops.operator(real).reference(real, graph, [x[:, 0], *(graph.constant(n) for n in real.inputs[1:])])
    out = made.out(node)
    off = ((q.astype(np.float64) - out.zero_point) * out.scale - y).mean(axis=(0, 1, 2))
    assert np.abs(off).max() < 0.1 * out.scale


def test_dense_layers_take_one_scale_where_told():
    graph = residual()
    plan, x = planned(graph)
    for made in (fit.nearest(graph, plan, Settings(per_channel_dense=False)),
                 fit.fit(graph, plan, [x], Settings(rounding=True, per_channel_dense=False))):  # fmt: skip
        for node in graph.nodes:
            if node.name in made:
                assert (len(set(made[node.name].scale.tolist())) == 1) == (node.op == "fully_connected")


def test_a_grouped_convolution_is_rounded_to_nearest():
    net = Net("float32", 3)
    x = net.conv(net.input(1, 8, 8, 3), 6)
    w = net.constant(net.rng.normal(0, 1, (4, 1, 1, 3)).astype(np.float32))
    b = net.constant(np.zeros(4, np.float32))
    graph = net.graph(net.op(net.nodes[0].attrs, x, w, b))
    plan, data = planned(graph)
    grouped = graph.nodes[1].name
    fitted = fit.fit(graph, plan, [data], Settings(rounding=True))[grouped]
    np.testing.assert_array_equal(fitted.q, fit.nearest(graph, plan, Settings())[grouped].q)


def test_layers_of_too_many_taps_get_their_bias_alone(monkeypatch):
    monkeypatch.setattr(fit, "MOST_TAPS", 4)
    graph = LAYERS["conv"]
    plan, x = planned(graph)
    made = fit.fit(graph, plan, [x], Settings(rounding=True))["conv2d_0"]
    plain = fit.nearest(graph, plan, Settings())["conv2d_0"]
    np.testing.assert_array_equal(made.q, plain.q)
    assert (made.bias != plain.bias).any()
