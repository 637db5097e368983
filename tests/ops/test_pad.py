"""PAD and PADV2: the reference against TensorFlow Lite Micro, the kernel against the reference, row by row or whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import activation, check_operator, constant, quant, random_inputs, reference, single, tflm
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Tensor
from tinycomp.ops import pad
from tinycomp.ops.base import Source
from tinycomp.ops.pad import Pad
from tinycomp.ops.reshape import Reshape
from tinycomp.tflite import writer

# shape, paddings, how the operand is read
GRID = [
    pytest.param((1, 4, 5, 3), ((0, 0), (1, 2), (2, 1), (0, 0)), "window", id="height and width"),
    pytest.param((1, 4, 5, 3), ((0, 0), (1, 0), (0, 0), (0, 0)), "window", id="above"),
    pytest.param((1, 4, 5, 3), ((0, 0), (0, 3), (0, 0), (0, 0)), "window", id="below"),
    pytest.param((1, 4, 5, 3), ((0, 0), (0, 0), (0, 2), (0, 0)), "window", id="right"),
    pytest.param((1, 2, 5, 3), ((0, 0), (0, 0), (0, 0), (1, 4)), "window", id="channels"),
    pytest.param((1, 2, 3, 4), ((0, 0), (2, 1), (1, 3), (2, 5)), "window", id="three axes"),
    pytest.param((2, 3, 4, 2), ((0, 0), (0, 0), (1, 2), (0, 1)), "window", id="two images, within rows"),
    pytest.param((2, 3, 4, 2), ((0, 0), (1, 1), (1, 0), (0, 0)), "whole", id="two images, height"),
    pytest.param((1, 3, 4, 2), ((1, 2), (0, 1), (0, 0), (3, 0)), "whole", id="images"),
    pytest.param((3,), ((2, 1),), "window", id="one axis"),
    pytest.param((3, 4), ((1, 2), (3, 0)), "window", id="two axes"),
    pytest.param((1, 3, 4), ((0, 0), (2, 1), (1, 0)), "window", id="a time axis"),
    pytest.param((4, 3, 2), ((1, 0), (0, 0), (0, 0)), "whole", id="the first of three axes"),
    pytest.param((2, 1, 3, 2, 2), ((0, 0), (0, 0), (1, 0), (0, 2), (1, 1)), "window", id="five axes, within rows"),
    pytest.param((1, 2, 3, 2, 2), ((1, 1), (0, 2), (1, 0), (0, 2), (1, 1)), "whole", id="five axes, all of them"),
    pytest.param((1, 1, 1, 1), ((0, 0), (1, 1), (1, 1), (0, 0)), "window", id="one element"),
]
DTYPES = {"int8": quant(0.1, -7), "int16": quant(0.01), "int32": None, "float32": None}


@pytest.mark.parametrize(("shape", "paddings", "kind"), GRID)
def test_the_kernel_computes_what_tflite_micro_computes(shape, paddings, kind):
    graph = single(Pad(paddings), [activation("x", shape, "int8", quant(0.1, -7))], out_quant=quant(0.1, -7))
    assert pad.OPERATOR.access is not None
    assert pad.OPERATOR.access(graph.nodes[0], graph).kind == kind
    check_operator(graph)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (1, 3, 4, 2)])
def test_elements_of_any_size_are_moved_whole(dtype, shape):
    paddings = ((0, 0), (2, 1), (1, 3), (2, 5))
    graph = single(Pad(paddings), [activation("x", shape, dtype, DTYPES[dtype])], out_quant=DTYPES[dtype])
    check_operator(graph, random_inputs(graph, cases=3))


@pytest.mark.parametrize("zero", [-128, -1, 0, 127])
def test_int8_is_filled_with_the_zero_point_of_the_output(zero):
    paddings = ((0, 0), (1, 1), (1, 1), (0, 0))
    graph = single(Pad(paddings), [activation("x", (1, 2, 2, 3), "int8", quant(0.1, 5))], out_quant=quant(0.1, zero))
    assert reference(graph, random_inputs(graph)[0])[0][0, 0, 0, 0] == zero
    check_operator(graph)


BORDER = ((0, 0), (1, 0), (2, 1), (0, 0))


def with_fill(dtype: str, value: float, paddings: tuple[tuple[int, int], ...] = BORDER) -> Graph:
    """A PADV2 of [1, 2, 3, 2]."""
    q = DTYPES[dtype]
    fill = constant("v", np.array(value, dtype), q)
    return single(Pad(paddings), [activation("x", (1, 2, 3, 2), dtype, q), fill], out_quant=q)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int8", -128), ("int8", 127), ("int8", 0), ("int16", 258), ("int16", 257), ("int16", -32768),
     ("int32", -2147483648), ("int32", -1), ("float32", -1.5), ("float32", -0.0), ("float32", 3.4028235e38)],
)  # fmt: skip
def test_padv2_fills_with_its_constant(dtype, value):
    check_operator(with_fill(dtype, value))
    check_operator(with_fill(dtype, value, ((1, 0), (0, 1), (0, 2), (1, 0))))


def test_minus_infinity_before_a_maximum_pool_is_a_fill_like_any_other():
    check_operator(with_fill("float32", -np.inf))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=5))
def test_the_reference_agrees_with_tflite_micro_on_any_box(axes):
    paddings = tuple((before, after) for before, _, after in axes)
    x = activation("x", [n for _, n, _ in axes], "int8", quant(0.5, 3))
    graph = single(Pad(paddings), [x], out_quant=x.quant)
    cases = random_inputs(graph, cases=3)[2:]
    (answer,) = tflm(writer.write(graph), cases)
    np.testing.assert_array_equal(answer[0], reference(graph, cases[0])[0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=5),
       st.sampled_from([1, 2, 4]))  # fmt: skip
def test_the_runs_that_the_kernel_makes_add_up_to_the_tensor(axes, item):
    copied = filled = 0
    repeat = 1
    nest = pad.runs(axes, item)
    for depth, (before, count, after) in enumerate(nest):
        filled += repeat * (before + after)
        repeat *= count if depth + 1 < len(nest) else 1
        copied = repeat * count
    elements = np.prod([n for _, n, _ in axes])
    assert copied == elements * item
    assert copied + filled == np.prod([sum(axis) for axis in axes]) * item


def source(builtin: str, paddings: object, value: Tensor | None = None, out_quant=DTYPES["int8"]) -> Source:
    """A file's PAD of an int8 [1, 2, 3, 2]."""
    x, table = activation("x", (1, 2, 3, 2), "int8", quant(0.1, -7)), constant("p", np.array(paddings))
    inputs = (x, table) if value is None else (x, table, value)
    return Source("pad_0", builtin, {}, inputs, (activation("y", (1, 2, 3, 2), "int8", out_quant),))


def test_reading_turns_paddings_into_attributes():
    parsed = pad.OPERATOR.codecs[0].read(source("PAD", [[0, 0], [1, 2], [3, 4], [0, 0]]))
    assert parsed.attrs == Pad(((0, 0), (1, 2), (3, 4), (0, 0)))
    assert [t.name for t in parsed.inputs] == ["x"]


def test_padv2_with_the_usual_fill_reads_as_pad():
    usual, other = (constant("v", np.array([v], np.int8), DTYPES["int8"]) for v in (-7, -6))
    paddings = [[0, 0], [1, 2], [3, 4], [0, 0]]
    assert [t.name for t in pad.OPERATOR.codecs[1].read(source("PADV2", paddings, usual)).inputs] == ["x"]
    assert [t.name for t in pad.OPERATOR.codecs[1].read(source("PADV2", paddings, other)).inputs] == ["x", "v"]


def test_a_pad_that_adds_nothing_reads_as_a_view():
    assert pad.OPERATOR.codecs[0].read(source("PAD", np.zeros((4, 2), np.int64))).attrs == Reshape((1, 2, 3, 2))


def test_faults_are_named():
    with pytest.raises(BadInput, match=r"pad_0 \(PAD\): paddings of shape \[3, 2\] for an input of rank 4"):
        pad.OPERATOR.codecs[0].read(source("PAD", [[0, 0], [1, 2], [3, 4]]))
    with pytest.raises(BadInput, match="non-negative pair"):
        single(Pad(((0, 0), (-1, 2), (0, 0), (0, 0))), [activation("x", (1, 2, 3, 2), "float32")])
    with pytest.raises(Unsupported, match="rank 6; up to 5"):
        single(Pad(((0, 1),) * 6), [activation("x", (1,) * 6, "float32")])
    graph = with_fill("int8", 3)
    foreign = {**graph.tensors, "v": replace(graph.tensors["v"], quant=quant(0.2, -7))}
    with pytest.raises(BadInput, match="'v' and the output 'out' are quantized differently"):
        pad.OPERATOR.infer(graph.nodes[0], replace(graph, tensors=foreign))
    unknown = {**graph.tensors, "v": replace(graph.tensors["v"], data=None)}
    with pytest.raises(BadInput, match="the fill 'v' is int8"):
        pad.OPERATOR.infer(graph.nodes[0], replace(graph, tensors=unknown))


def test_a_run_time_fill_is_refused_when_read():
    with pytest.raises(Unsupported, match=r"the fill \(tensor 'v'\) is computed at run time"):
        pad.OPERATOR.codecs[1].read(source("PADV2", [[0, 0], [1, 2], [3, 4], [0, 0]], activation("v", (), "int8")))
