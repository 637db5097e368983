"""Distillation on small networks: what is learnt, what stays rounded, what repeats, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.quantize.nets import data_for, residual
from tests.rules.nets import Net
from tests.train.test_tape import without_derivative
from tinycomp import interpret, ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.reshape import Reshape
from tinycomp.train.distil import Settings, head, parameters_of, train, weight_axes, with_constants
from tinycomp.train.fake import grid_of

SHORT = Settings(epochs=4, rate=0.01)


def disturbed(graph: Graph, share: float = 0.3, seed: int = 9) -> Graph:
    """The graph with noise on its weights: a student that has something to learn."""
    rng = np.random.default_rng(seed)
    values = parameters_of(graph)
    noisy = {name: v + (share * v.std() * rng.standard_normal(v.shape)).astype(v.dtype) for name, v in values.items()}
    return with_constants(graph, noisy)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_disturbed_student_comes_nearer_to_its_teacher(bits: int):
    teacher = residual()
    made = train(disturbed(teacher), teacher, data_for(teacher, 80), bits, replace(SHORT, epochs=12))
    ops.check(made.graph)
    assert made.epoch > 0
    assert made.after.loss < 0.6 * made.before.loss
    assert made.after.agreement is not None
    assert made.before.agreement is not None
    assert made.after.agreement >= made.before.agreement


def test_what_was_learnt_is_in_the_graph():
    teacher = residual()
    data = data_for(teacher, 80)
    student = disturbed(teacher)
    made = train(student, teacher, data, 8, replace(SHORT, epochs=12))
    unseen = data_for(teacher, 50, seed=77).inputs[0][:, 0]
    wanted, before, after = (interpret.run(g, [unseen])[g.outputs[0]] for g in (teacher, student, made.graph))
    off = [float(np.abs(np.asarray(v, np.float32) - np.asarray(wanted, np.float32)).mean()) for v in (before, after)]
    assert off[1] < 0.8 * off[0]


@pytest.mark.parametrize("bits", [4, {"conv2d_0": 4, "fully_connected_7": 3}])
def test_weights_lie_on_the_grid_that_they_imply(bits: int | dict[str, int]):
    teacher = residual()
    made = train(disturbed(teacher), teacher, data_for(teacher, 40), bits, SHORT).graph
    assert {"conv2d_0", "fully_connected_7"} <= {node.name for node in made.nodes}
    readers = {node.inputs[1]: node.name for node in made.nodes if len(node.inputs) > 1}
    for name, axis in weight_axes(made).items():
        width = bits if isinstance(bits, int) else bits.get(readers[name], 8)
        weights = parameters_of(made)[name]
        rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
        q = rows / (np.abs(rows).max(axis=1, keepdims=True) / (2 ** (width - 1) - 1))
        np.testing.assert_allclose(q, np.rint(q), atol=1e-3)
        np.testing.assert_allclose(grid_of(weights, axis, width).rounded(weights), weights, rtol=1e-5)


def test_the_same_arguments_give_the_same_constants_and_another_seed_gives_others():
    teacher = residual()
    data, student = data_for(teacher, 40), disturbed(teacher)
    trained = (train(student, teacher, data, 8, replace(SHORT, seed=seed)) for seed in (0, 0, 1))
    once, again, other = (parameters_of(made.graph) for made in trained)
    assert all((once[name] == again[name]).all() for name in once)
    assert any((once[name] != other[name]).any() for name in once)


def test_the_teacher_as_its_own_student_is_never_made_worse():
    teacher = residual()
    made = train(teacher, teacher, data_for(teacher, 40), 8, replace(SHORT, rate=0.5))
    assert made.after.loss <= made.before.loss


def binary() -> Graph:
    """One probability, from a dense layer."""
    net = Net("float32")
    x = net.input(1, 8, 8, 3)
    hidden = net.conv(x, 4, (3, 3), stride=(2, 2), activation="relu")
    return net.graph(net.op(Logistic(), net.dense(net.op(Reshape((1, 36)), hidden), 1)))


def values() -> Graph:
    """Three real values."""
    net = Net("float32")
    x = net.input(1, 8, 8, 3)
    hidden = net.conv(x, 4, (3, 3), stride=(2, 2), activation="relu6")
    return net.graph(net.dense(net.op(Reshape((1, 36)), hidden), 3))


@pytest.mark.parametrize(("teacher", "decides"), [(binary(), True), (values(), False)])
def test_probabilities_and_values_are_distilled_as_well(teacher: Graph, decides: bool):
    made = train(disturbed(teacher), teacher, data_for(teacher, 60), 8, replace(SHORT, epochs=25, rate=0.02))
    assert made.after.loss < 0.7 * made.before.loss
    assert (made.after.agreement is not None) == decides


def test_progress_goes_from_none_to_all_and_tells_the_time_left():
    teacher, seen = residual(), list[tuple[str, float]]()
    train(teacher, teacher, data_for(teacher, 40), 8, SHORT, lambda what, share: seen.append((what, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1], len(seen)) == (0.0, 1.0, SHORT.epochs + 1)
    assert all("left" in what for what, _ in seen[1:-1])


def test_the_head_ends_in_the_logits():
    graph = residual()
    assert graph.nodes[-1].op == "softmax"
    ended = head(graph)
    ops.check(ended)
    assert ended.outputs == graph.nodes[-1].inputs
    assert head(ended).nodes == ended.nodes


def test_too_few_cases_are_refused_with_how_many_are_needed():
    teacher = residual()
    with pytest.raises(BadInput, match="19 cases; training needs 20"):
        train(teacher, teacher, data_for(teacher, 19), 8, SHORT)


def test_a_layer_that_cannot_be_trained_is_refused_by_name():
    graph = without_derivative(Net("float32"))
    data = data_for(residual(), 30)
    images = replace(data, inputs=(data.inputs[0][:, :, :4, :4, :2],))
    with pytest.raises(Unsupported, match="elementwise_1"):
        train(graph, graph, images, 8, SHORT)
