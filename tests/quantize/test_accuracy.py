"""Comparing an int8 graph with its float graph."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quantize.nets import images, residual
from tests.rules.nets import Net
from tinycomp.ir import Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.accuracy import BEST_DB, area_under_curve, decibels, logits_of, measure
from tinycomp.quantize.calibrate import calibrate
from tinycomp.quantize.labels import Kind, Labels
from tinycomp.quantize.observe import ranges
from tinycomp.quantize.scheme import scheme
from tinycomp.quantize.to_int8 import to_int8


def pair(graph: Graph, x: np.ndarray) -> Graph:
    """The graph as int8."""
    return to_int8(graph, scheme(graph, ranges(calibrate(graph, [x]), "minmax")), {})


def test_decibels_of_a_tenth_and_of_no_noise():
    assert decibels(100, 1) == pytest.approx(20)
    assert decibels(1, 0) == BEST_DB
    assert decibels(0, 0) == BEST_DB
    assert decibels(0, 1) < 0


def test_a_graph_agrees_with_itself():
    graph, x = residual(), images(30)[:, None]
    found = measure(graph, graph, [x])
    assert (found.cases, found.sqnr_db, found.case_db, found.agreement) == (30, BEST_DB, BEST_DB, 1.0)
    assert found.score is None


def test_every_layer_has_its_ratio_and_the_worst_is_named():
    graph, x = residual(), images(40)[:, None]
    found = measure(graph, pair(graph, x), [x])
    assert list(found.layers) == [n.name for n in graph.nodes]
    assert found.worst_layer is not None
    assert found.worst_layer[1] == min(found.layers.values())
    assert found.facts()["worst_layer"]["name"] == found.worst_layer[0]
    assert 10 < found.sqnr_db < 60
    assert found.agreement is not None
    assert found.agreement > 0.8


def test_logits_are_what_softmax_or_logistic_reads():
    net = Net("float32")
    x = net.input(1, 6)
    a = net.dense(x, 4)
    graph = net.graph(net.op(Reshape((2, 2)), net.op(Softmax(), a)), net.op(Logistic(), a), net.dense(x, 2))
    assert [logits_of(graph, name) for name in graph.outputs] == [a, a, graph.outputs[2]]


def test_scaled_channels_are_compared_as_they_were():
    graph, x = residual(softmax=False), images(30)[:, None]
    made = pair(graph, x)
    name = graph.nodes[0].outputs[0]
    channels = graph.tensors[name].shape[-1]
    factor = np.geomspace(1e-3, 1, channels)
    plain, scaled = measure(graph, made, [x]), measure(graph, made, [x], scale={name: factor})
    assert plain.layers["conv2d_0"] != scaled.layers["conv2d_0"]
    assert plain.layers["depthwise_conv2d_1"] == scaled.layers["depthwise_conv2d_1"]


@pytest.mark.parametrize(("kind", "name"), [("class", "top1"), ("values", "mse")])
def test_labels_give_a_score_of_both_models(kind: Kind, name: str):
    graph, x = residual(), images(50)[:, None]
    made = pair(graph, x)
    y = np.arange(50) % 5 if kind == "class" else np.eye(5)[np.arange(50) % 5]
    found = measure(graph, made, [x], Labels(kind, y)).score
    assert found is not None
    assert found.name == name
    assert 0 <= found.float32 <= 1
    assert abs(found.float32 - found.quantized) < 0.15


def test_labels_that_are_classes_are_counted_by_what_they_were_taken_for():
    graph, x = residual(), images(50)[:, None]
    y = np.arange(50) % 5
    found = measure(graph, pair(graph, x), [x], Labels("class", y))
    assert found.score is not None
    assert found.confusion is not None
    counts = np.array(found.confusion)
    assert counts.sum(axis=1).tolist() == [10] * 5
    assert counts.trace() / 50 == found.score.quantized
    assert found.facts()["confusion"] == found.confusion


def test_an_autoencoder_is_scored_by_the_area_under_its_curve():
    net = Net("float32", 1)
    x = net.input(1, 12)
    graph = net.graph(net.dense(net.dense(x, 4), 12))
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (60, 1, 12)).astype(np.float32)
    values[::3] *= 4
    labels = Labels("anomaly", (np.arange(60) % 3 == 0).astype(np.int64))
    found = measure(graph, pair(graph, values), [values], labels)
    assert found.agreement is None
    assert found.score is not None
    assert found.score.name == "auc"
    assert found.score.float32 > 0.95
    assert found.score.quantized > 0.95


def test_a_single_probability_decides_at_one_half():
    net = Net("float32", 1)
    graph = net.graph(net.op(Logistic(), net.dense(net.input(1, 12), 1)))
    x = np.random.default_rng(0).normal(0, 1, (60, 1, 12)).astype(np.float32)
    found = measure(graph, pair(graph, x), [x], Labels("binary", np.arange(60) % 2))
    assert found.agreement is not None
    assert found.agreement > 0.9
    assert found.answers == 2
    assert found.score is not None
    assert found.score.name == "accuracy"


@pytest.mark.parametrize(("score", "label", "area"), [
    ([1, 2, 3, 4], [0, 0, 1, 1], 1.0), ([4, 3, 2, 1], [0, 0, 1, 1], 0.0), ([1, 1, 1, 1], [0, 1, 0, 1], 0.5),
    ([1, 2, 3, 4], [0, 1, 0, 1], 0.75), ([1, 2], [1, 1], 0.5),
])  # fmt: skip
def test_the_area_under_the_curve(score, label, area):
    assert area_under_curve(np.array(score, np.float64), np.array(label)) == area
