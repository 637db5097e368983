"""UNIDIRECTIONAL_SEQUENCE_LSTM: states that go on, the reference against TensorFlow Lite Micro, C against both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, quant, random_inputs
from tinycomp import interpret, ops, tflite
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, State, Tensor
from tinycomp.ops.lstm import Lstm


def layer(
    steps: int = 5, inner: int = 6, units: int = 4, clip: float = 0.0, *, time_major: bool = False, power: int = -12,
    zeros: tuple[int, int] = (-5, 3), scales: tuple[float, float] = (0.05, 0.008), seed: int = 1,
) -> Graph:  # fmt: skip
    """An int8 layer with an int16 cell in 2^power. zeros, scales: of the input and of the hidden state."""
    rng = np.random.default_rng(seed)

    def weights(name: str, shape: tuple[int, ...]) -> Tensor:
        return constant(name, rng.integers(-127, 128, shape).astype(np.int8), quant(float(rng.uniform(0.002, 0.02))))

    shape = (steps, 1, inner) if time_major else (1, steps, inner)
    x, h = (
        activation("x", shape, "int8", quant(scales[0], zeros[0])),
        activation("h", (1, units), "int8", quant(scales[1], zeros[1])),
    )
    c = activation("c", (1, units), "int16", quant(2.0**power))
    fixed = [weights(f"w{k}", (units, inner)) for k in range(4)] + [weights(f"r{k}", (units, units)) for k in range(4)]
    fixed += [constant(f"b{k}", rng.integers(-3000, 3000, units).astype(np.int32), quant(0.001)) for k in range(4)]
    y = activation("y", (*shape[:2], units), "int8", h.quant)
    return graph_of(Lstm(clip, time_major), [x, *fixed, h, c], y)


def floats(clip: float = 0.0) -> Graph:
    """A float32 layer."""
    rng = np.random.default_rng(2)
    shapes = [(4, 6)] * 4 + [(4, 4)] * 4 + [(4,)] * 4
    fixed = [constant(f"k{i}", rng.normal(0, 0.6, s).astype(np.float32)) for i, s in enumerate(shapes)]
    x, h, c = (activation(n, s, "float32") for n, s in (("x", (1, 5, 6)), ("h", (1, 4)), ("c", (1, 4))))
    return graph_of(Lstm(clip), [x, *fixed, h, c], activation("y", (1, 5, 4), "float32"))


def graph_of(attrs: Lstm, inputs: list[Tensor], y: Tensor) -> Graph:
    """The node with its states at rest."""
    h, c = inputs[-2:]
    after = [replace(t, name=f"{t.name}/next") for t in (h, c)]
    node = Node("lstm_0", attrs, tuple(t.name for t in inputs), (y.name, *(t.name for t in after)))
    rest = [np.full(t.shape, t.quant.zero_point[0] if t.dtype == "int8" and t.quant else 0, t.dtype) for t in (h, c)]
    states = tuple(State(t.name, t.name, f"{t.name}/next", r) for t, r in zip((h, c), rest, strict=True))
    graph = Graph("net", {t.name: t for t in (*inputs, y, *after)}, (node,), ("x",), (y.name,), states=states)
    ops.check(graph)
    return graph


CASES = {
    "plain": {}, "clipped": {"clip": 0.4}, "time major": {"time_major": True}, "fine cell": {"power": -15},
    "coarse cell": {"power": -9}, "one step, one unit": {"steps": 1, "units": 1, "inner": 1},
    "zero points at the ends": {"zeros": (-128, 127)}, "large input": {"scales": (1.5, 0.02), "zeros": (127, -128)},
    "small input": {"scales": (1e-4, 0.0079)},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_int8_equals_the_interpreter_over_a_stream(case: str):
    graph = layer(**CASES[case])
    check_operator(graph, random_inputs(graph, seed=3, cases=6))


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_float_equals_the_interpreter_over_a_stream(clip: float):
    graph = floats(clip)
    check_operator(graph, random_inputs(graph, seed=4, cases=5))


def test_states_go_on_from_one_inference_to_the_next():
    graph = layer(steps=4)
    whole = layer(steps=8)
    (x,) = random_inputs(whole, cases=3)[2]
    halves = [v["y"] for v in interpret.sequence(graph, [[x[:, :4]], [x[:, 4:]]])]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), interpret.run(whole, [x])["y"])
    assert not np.array_equal(halves[1], interpret.run(graph, [x[:, 4:]])["y"])


def test_a_file_has_its_states_as_variables():
    graph = layer(clip=0.4)
    found = tflite.read(tflite.write(graph))
    assert [s.before for s in found.states] == ["h", "c"]
    assert [s.initial.tolist() for s in found.states] == [s.initial.tolist() for s in graph.states]
    assert found.nodes[0].attrs == Lstm(np.float32(0.4).item())
    cases = random_inputs(graph, cases=4)
    for a, b in zip(interpret.sequence(graph, cases), interpret.sequence(found, cases), strict=True):
        np.testing.assert_array_equal(a["y"], b["y"])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": activation("x", (2, 5, 6), "int8", quant(0.05))}, BadInput, "do not fit together"),
        ({"c": activation("c", (1, 4), "int16", quant(0.0003))}, BadInput, "no power of two"),
        ({"w0": constant("w0", np.zeros((4, 6), np.int16), quant(0.1))}, Unsupported, "has dtypes"),
        ({"w0": activation("w0", (4, 6), "int8", quant(0.1))}, Unsupported, "computed at run time"),
        ({"h": activation("h", (1, 4), "int8")}, Unsupported, "needs one scale for 'h'"),
    ],
)
def test_what_the_interpreter_does_not_compute_is_refused(change, error, says: str):
    graph = layer()
    made = replace(graph, tensors={**graph.tensors, **change})
    with pytest.raises(error, match=says):
        ops.operator(made.nodes[0]).infer(made.nodes[0], made)
