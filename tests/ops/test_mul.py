"""MUL: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.broadcast import MEETINGS, SCALES, meeting, scaled
from tests.ops.elementwise import EVERY_PAIR, panel
from tests.support import activation, check_operator, constant, emitted, quant, random_inputs, reference, same, single
from tinycomp.errors import Unsupported
from tinycomp.lower import lower
from tinycomp.ops.mul import Mul
from tinycomp.program import Recipe

WIDE = ((0.9, 127), (0.7, -128), (0.001, -128))  # the product is scaled up


@pytest.mark.parametrize("dtype", ["int8", "float32", "int32"])
def test_operands_of_every_shape_meet_as_in_tflite_micro(dtype):
    graph = panel([meeting(Mul(), a, b, fixed, dtype) for a, b, fixed, _ in MEETINGS])
    cases = random_inputs(graph)
    check_operator(graph, [[x % 40000 for x in case] for case in cases] if dtype == "int32" else cases)


def test_every_pair_of_bytes_under_many_scales():
    graphs = [scaled(Mul(), a, b, out, EVERY_PAIR[0].shape) for a, b, out in (*SCALES, WIDE)]
    check_operator(panel(graphs), [list(EVERY_PAIR) * len(graphs)])


def test_one_function_serves_scales_that_differ_when_size_matters():
    graph = panel([scaled(Mul(), a, b, out, (1, 2, 3, 4)) for a, b, out in SCALES])
    assert any(f.arguments for f in lower(graph, Recipe(opt="size")).functions)
    cases = random_inputs(graph)
    for case, answer in zip(cases, emitted(graph, cases, Recipe(opt="size")), strict=True):
        same(answer, reference(graph, case), "shared functions")


@pytest.mark.parametrize("act", ["relu", "relu6", "relu_n1_to_1"])
def test_fused_activations_clamp_the_product(act):
    x = [activation("a", (1, 2, 3, 4), "float32"), activation("b", (4,), "float32")]
    graphs = [scaled(Mul(act), a, b, out, (1, 2, 3, 4)) for a, b, out in SCALES]
    check_operator(panel([*graphs, single(Mul(act), x)]))


def test_int32_wraps():
    graph = single(Mul(), [activation("a", (2,), "int32"), constant("b", np.array(3, np.int32))])
    found = reference(graph, [np.array([2**30, -5], np.int32)])[0]
    np.testing.assert_array_equal(found, np.array([-(2**30), -15], np.int32))


def test_scales_too_far_apart_are_refused():
    with pytest.raises(Unsupported, match="takes less than 16384"):
        single(Mul(), [activation("a", (2,), q=quant(1)), activation("b", (2,), q=quant(1))], out_quant=quant(1e-6))
