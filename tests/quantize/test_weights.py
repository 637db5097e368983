"""Weights and biases as integers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rules.nets import Net
from tinycomp.ir import Graph, Node, Quant, Tensor
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.quantize import weights
from tinycomp.quantize.weights import Layer


def layer(seed: int = 0, scale: float = 1.0) -> tuple[Layer, Graph]:
    """A depthwise layer of 12 channels."""
    net = Net("float32", seed)
    graph = net.graph(net.depthwise(net.input(1, 6, 6, 6), (3, 3), 2))
    found = weights.layer_of(graph.nodes[0], graph)
    return Layer(found.node, found.axis, found.weights * scale, found.bias), graph


def test_rows_of_the_matrix_are_output_channels():
    found, graph = layer()
    w = graph.constant(graph.nodes[0].inputs[1])
    assert w is not None
    np.testing.assert_array_equal(found.weights[5], np.asarray(w, np.float64)[0, :, :, 5].reshape(-1))


def test_every_weight_is_within_half_a_step_and_none_is_minus_128():
    found, graph = layer()
    scale = weights.scales(found, 0.05, 0.1)
    made = weights.rounded(found, scale, 0.05)
    assert np.abs(made.q).max() == 127
    assert np.abs(found.weights - scale[:, None] * made.q).max() <= scale.max() / 2 * 1.0001
    w, b = weights.tensors(found, made, graph, 0.05)
    assert (w.dtype, b.dtype) == ("int8", "int32")
    assert w.quant is not None
    assert b.quant is not None
    assert (w.quant.axis, len(w.quant.scale), set(w.quant.zero_point)) == (3, 12, {0})
    np.testing.assert_allclose(b.quant.scale, np.array(w.quant.scale) * 0.05, rtol=1e-6)
    assert w.data is not None
    np.testing.assert_array_equal(w.data[0, :, :, 5].reshape(-1), made.q[5])


def test_one_scale_for_all_is_the_largest():
    found, graph = layer()
    scale = weights.scales(found, 0.05, 0.1, per_channel=False)
    assert (scale == np.float32(np.abs(found.weights).max() / 127)).all()
    w, _ = weights.tensors(found, weights.rounded(found, scale, 0.05), graph, 0.05)
    assert w.quant is not None
    assert not w.quant.per_channel


@pytest.mark.parametrize("tiny", [0.0, 1e-12])
def test_a_bias_beside_weights_of_nothing_fits_its_integers(tiny):
    found, _ = layer(scale=tiny)
    scale = weights.scales(found, 0.05, 0.1)
    assert (scale > 0).all()
    made = weights.rounded(found, scale, 0.05)
    assert np.abs(made.bias).max() <= 1.0001 * 2**30
    np.testing.assert_allclose(made.bias * scale * 0.05, found.bias, atol=0.1 / 256)


def test_clipping_lowers_the_error_where_one_weight_sticks_out():
    found, _ = layer()
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 0.05, (12, 400))
    rows[:, 0] = 0.6
    long = Layer(found.node, 0, rows, found.bias)
    scale = weights.scales(long, 0.05, 0.1)
    importance = np.ones(400)
    importance[0] = 1e-3
    cut = weights.clipped_scales(long, scale, importance)
    assert (cut <= scale).all()

    def error(s: np.ndarray) -> float:
        return float((importance * (rows - s[:, None] * weights.nearest(long, s)) ** 2).sum())

    assert error(cut) < 0.8 * error(scale)
    one = weights.clipped_scales(long, np.full(12, scale.max()), importance, per_channel=False)
    assert (one == one[0]).all()


def on_grid(scale: float, integers: list[int], quant: Quant) -> weights.Layer:
    """One dense channel whose weights are multiples of `scale`, and which says that it lies on the steps of `quant`."""
    w = Tensor("w", (1, len(integers)), "float32", quant, np.float32([integers]) * np.float32(scale))
    b = Tensor("b", (1,), "float32", None, np.float32([0.5]))
    node = Node("dense", FullyConnected(), ("x", "w", "b"), ("y",))
    ends = (Tensor(name, (1, n), "float32") for name, n in (("x", len(integers)), ("y", 1)))
    return weights.layer_of(node, Graph("g", {t.name: t for t in (*ends, w, b)}, (node,), ("x",), ("y",)))


@pytest.mark.parametrize("integers", [[3, -5, 50], [-128, 127, 0]])
def test_weights_on_a_grid_keep_their_integers(integers):
    found = on_grid(0.013, integers, Quant((0.013,), (0,)))
    scale = weights.scales(found, 0.05, 0.1)
    np.testing.assert_array_equal(scale, [0.013])
    np.testing.assert_array_equal(weights.rounded(found, scale, 0.05).q, [integers])


@pytest.mark.parametrize("quant", [Quant((0.0131,), (0,)), Quant((0.013,), (1,)), Quant((0.0065,), (0,))])
def test_weights_that_are_not_on_the_grid_they_name_get_a_scale_of_their_own(quant):
    found = on_grid(0.013, [3, -5, 100], quant)
    assert weights.scales(found, 0.05, 0.1) == pytest.approx([1.3 / 127])
