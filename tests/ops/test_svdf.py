"""SVDF: a memory that goes on, the reference against TensorFlow Lite Micro, C against both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, quant, random_inputs
from tinycomp import interpret, ops, tflite
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph, Node, State, Tensor
from tinycomp.ops.svdf import Svdf

SHORT = np.iinfo(np.int16)


def layer(
    inner: int = 7, units: int = 3, rank: int = 2, length: int = 4, memory: DType = "int16", *,
    zeros: tuple[int, int] = (-5, 9), scales: tuple[float, float, float] = (0.05, 0.002, 0.4), most: int = 3000,
) -> Graph:  # fmt: skip
    """An int8 layer. zeros: of input and output. scales: of input, memory, output. most: of biases and time weights."""
    rng, filters = np.random.default_rng(3), units * rank
    small = memory == "int8"
    time = rng.integers(-127 if small else -most, 128 if small else most, (filters, length)).astype(memory)
    step = scales[1] * (25 if small else 1)
    fixed = [
        constant("feature", rng.integers(-127, 128, (filters, inner)).astype(np.int8), quant(0.01)),
        constant("time", time, quant(0.02 if small else 0.0005)),
        constant("bias", rng.integers(-most, most, units).astype(np.int32), quant(step * (0.02 if small else 0.0005))),
    ]
    x, y = activation("x", (1, inner), "int8", quant(scales[0], zeros[0])), quant(scales[2], zeros[1])
    return graph_of(Svdf(rank, "relu"), [x, *fixed, activation("memory", (1, filters * length), memory, quant(step))],
                    activation("y", (1, units), "int8", y))  # fmt: skip


def floats(function: str) -> Graph:
    """A float32 layer."""
    rng = np.random.default_rng(4)
    shapes = {"feature": (6, 7), "time": (6, 4), "bias": (3,)}
    fixed = [constant(n, rng.normal(0, 0.6, s).astype(np.float32)) for n, s in shapes.items()]
    x, memory = activation("x", (1, 7), "float32"), activation("memory", (1, 24), "float32")
    return graph_of(Svdf(2, function), [x, *fixed, memory], activation("y", (1, 3), "float32"))


def graph_of(attrs: Svdf, inputs: list[Tensor], y: Tensor) -> Graph:
    """The node with an empty memory."""
    after = replace(inputs[-1], name="memory/next")
    node = Node("svdf_0", attrs, tuple(t.name for t in inputs), (y.name, after.name))
    state = State("memory", "memory", after.name, np.zeros(after.shape, after.dtype))
    graph = Graph("net", {t.name: t for t in (*inputs, y, after)}, (node,), ("x",), (y.name,), states=(state,))
    ops.check(graph)
    return graph


CASES = {
    "plain": {}, "memory of bytes": {"memory": "int8"},
    "one of everything": {"inner": 1, "units": 1, "rank": 1, "length": 1},
    "memory saturates": {"scales": (1.5, 0.0001, 3.0)}, "zero points at the ends": {"zeros": (-128, 127)},
    "the other ends": {"zeros": (127, -128)}, "large time weights": {"most": SHORT.max, "scales": (0.05, 0.01, 4.0)},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_int8_equals_the_interpreter_over_a_stream(case: str):
    graph = layer(**CASES[case])
    check_operator(graph, random_inputs(graph, seed=3, cases=9))


@pytest.mark.parametrize("function", ["none", "relu6"])
def test_float_equals_the_interpreter_over_a_stream(function: str):
    graph = floats(function)
    check_operator(graph, random_inputs(graph, seed=4, cases=7))


def test_a_value_is_remembered_for_as_long_as_the_memory_is():
    graph = layer(length=3, zeros=(0, 9))
    (x,), quiet = random_inputs(graph, cases=3)[2], [np.zeros((1, 7), np.int8)]
    seen = [v["y"] for v in interpret.sequence(graph, [[x], quiet, quiet, quiet])]
    rest = interpret.run(graph, quiet)["y"]
    assert [np.array_equal(y, rest) for y in seen] == [False, False, False, True]


def test_a_file_has_its_memory_as_a_variable():
    graph = layer()
    found = tflite.read(tflite.write(graph))
    assert found.nodes[0].attrs == Svdf(2, "relu")
    assert [(s.before, s.initial.dtype.name) for s in found.states] == [("memory", "int16")]
    cases = random_inputs(graph, cases=4)
    for a, b in zip(interpret.sequence(graph, cases), interpret.sequence(found, cases), strict=True):
        np.testing.assert_array_equal(a["y"], b["y"])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": activation("x", (2, 7), "int8", quant(0.05))}, Unsupported, "computes 2 sequences"),
        ({"bias": constant("bias", np.zeros(4, np.int32))}, BadInput, r"expected \[\[1, 7\]"),
        ({"time": constant("time", np.zeros((6, 4), np.int8), quant(0.1))}, Unsupported, "has dtypes"),
        ({"feature": activation("feature", (6, 7), "int8", quant(0.1))}, Unsupported, "computed at run time"),
        ({"feature": constant("feature", np.zeros((6, 7), np.int8), quant(0.1, 3))}, Unsupported, "a zero point of 0"),
        ({"memory": activation("memory", (1, 24), "int16", quant(0.1, 3))}, Unsupported, "with zero point 3"),
    ],
)
def test_what_the_interpreter_does_not_compute_is_refused(change, error, says: str):
    graph = layer()
    made = replace(graph, tensors={**graph.tensors, **change})
    with pytest.raises(error, match=says):
        ops.operator(made.nodes[0]).infer(made.nodes[0], made)
