"""CAST: the reference against TensorFlow Lite Micro where C++ defines the answer, the ends of the ranges elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, check_operator, constant, random_inputs, reference, single
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.cast import OPERATOR, Cast

PAIRS = [("int8", "float32"), ("int8", "int16"), ("int8", "int32"), ("int16", "int8"), ("int16", "float32"),
         ("int16", "int32"), ("int32", "int8"), ("int32", "int16"), ("int32", "float32"), ("float32", "int8"),
         ("float32", "int16"), ("float32", "int32")]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_reference_computes_what_tflite_micro_computes(source, target):
    graph = graph_of(Cast(target), [activation("x", (2, 5), source)])
    cases = random_inputs(graph)
    if source == "float32":
        cases.append([np.array([-0.9, -0.5, 0.0, 0.5, 0.99, 1.0, -1.0, 1.5, 100.7, -100.7], np.float32).reshape(2, 5)])
    check_against_tflm(graph, cases)
    check_folding(graph, cases[-1])


@pytest.mark.parametrize(
    ("source", "target"),
    [("int32", "int64"), ("int64", "int32"), ("int64", "float32"), ("float32", "int64"), ("int32", "bool"),
     ("int32", "uint8"), ("float32", "bool")],
)  # fmt: skip
def test_dtypes_of_shape_arithmetic_are_folded(source, target):
    graph = graph_of(Cast(target), [constant("x", np.array([[0, 1, 2], [300, -5, 7]], source))])
    check_folding(graph)
    assert reference(graph, [])[0].dtype == np.dtype(target)


@pytest.mark.parametrize(
    ("target", "low", "high"),
    [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767), ("int32", -(2**31), 2**31 - 1),
     ("int64", -(2**63), 2**63 - 1)],
)  # fmt: skip
def test_floats_outside_the_range_go_to_its_ends(target, low, high):
    x = np.array([-np.inf, -3e38, 3e38, np.inf, np.nan, float(low), float(high)], np.float32)
    (found,) = reference(graph_of(Cast(target), [constant("x", x)]), [])
    assert found.tolist()[:6] == [low, low, high, high, 0, low]
    assert found.tolist()[6] == min(int(np.float64(np.float32(high))), high)


def test_the_output_tensor_says_the_dtype_when_options_are_left_out():
    (codec,) = OPERATOR.codecs
    x, out = activation("x", (2,), "int32"), activation("y", (2,), "int64")
    assert codec.read(Source("c", "CAST", {}, (x,), (out,))) == Parsed(Cast("int64"), (x,))


@pytest.mark.parametrize(("source", "target"), [
    ("int8", "float32"), ("float32", "int8"), ("float32", "int32"), ("int32", "int8"), ("bool", "float32"),
    ("float32", "bool"), ("int32", "bool"), ("int8", "int32"), ("float32", "uint8"), ("int32", "float32"),
])  # fmt: skip
def test_the_kernel_casts_as_the_reference_does(source, target):
    values = [0.0, 1.5, -1.5, 127.9, 128.0, -128.9, -129.0, 255.0, 300.0, -3e9, 3e9]
    x = np.array(values if source == "float32" else np.clip(values, -128, 127) if source == "int8" else
                 np.clip(values, -(2**31), 2**31 - 1)).astype(source).reshape(1, -1)  # fmt: skip
    graph = single(Cast(target), [activation("x", x.shape, source)], activation("out", x.shape, target))
    check_operator(graph, [[x]], oracle=False)
