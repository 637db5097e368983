"""Running the float graph on data."""

from __future__ import annotations

import numpy as np

from tests.quantize.nets import data_for, images, residual
from tests.rules.nets import Net
from tinycomp import interpret
from tinycomp.ops.mean import Mean
from tinycomp.quantize.calibrate import batch_size, batches, calibrate, stackable


def test_statistics_are_those_of_every_tensor_on_all_cases():
    graph = residual()
    x = images(70)
    steps: list[int] = []
    found = calibrate(graph, [x[:, None]], steps.append)
    values = interpret.run(graph, [x], keep=True)
    floats = {name for name, t in graph.tensors.items() if t.data is None}
    assert set(found) == floats
    for name in floats:
        np.testing.assert_allclose((found[name].low, found[name].high), (values[name].min(), values[name].max()), 1e-4)
        assert len(found[name].case_high) == 70
    assert steps[-1] == 70
    assert steps == sorted(steps)


def test_batches_cover_every_case_once_and_keep_to_the_size():
    graph = residual()
    x = data_for(graph, 150).inputs
    parts = list(batches(graph, x))
    assert sum(b.cases for b in parts) == 150
    assert max(b.cases for b in parts) == batch_size(graph)
    np.testing.assert_array_equal(np.concatenate([b.inputs[0] for b in parts]), x[0][:, 0])


def test_a_graph_that_mixes_its_leading_axis_runs_case_by_case():
    net = Net("float32")
    x = net.input(1, 6)
    graph = net.graph(net.op(Mean((0, 1)), x))
    values = np.random.default_rng(0).normal(0, 1, (5, 1, 6)).astype(np.float32)
    assert not stackable(graph, [values])
    found = calibrate(graph, [values])[graph.outputs[0]]
    np.testing.assert_allclose(found.case_high, values.mean(axis=(1, 2)), rtol=1e-5)


def test_a_leading_axis_that_is_not_one_is_never_stacked():
    net = Net("float32")
    x = net.input(4, 6)
    graph = net.graph(net.dense(x, 3))
    values = np.random.default_rng(0).normal(0, 1, (5, 4, 6)).astype(np.float32)
    assert [b.inputs[0].shape for b in batches(graph, [values])] == [(4, 6)] * 5
    assert stackable(residual(), [images(2)[:, None]])
