"""SUB: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.broadcast import MEETINGS, SCALES, meeting, scaled
from tests.ops.elementwise import EVERY_PAIR, panel
from tests.support import activation, check_operator, constant, quant, reference, single
from tinycomp.errors import Unsupported
from tinycomp.ops.sub import Sub


@pytest.mark.parametrize("dtype", ["int8", "float32", "int32"])
def test_operands_of_every_shape_meet_as_in_tflite_micro(dtype):
    check_operator(panel([meeting(Sub(), a, b, fixed, dtype) for a, b, fixed, _ in MEETINGS]))


def test_every_pair_of_bytes_under_many_scales():
    graphs = [scaled(Sub(), a, b, out, EVERY_PAIR[0].shape) for a, b, out in SCALES]
    check_operator(panel(graphs), [list(EVERY_PAIR) * len(SCALES)])


@pytest.mark.parametrize("act", ["relu", "relu6", "relu_n1_to_1"])
def test_fused_activations_clamp_the_difference(act):
    x = [activation("a", (1, 2, 3, 4), "float32"), activation("b", (4,), "float32")]
    graphs = [scaled(Sub(act), a, b, out, (1, 2, 3, 4)) for a, b, out in SCALES]
    check_operator(panel([*graphs, single(Sub(act), x)]))


def test_the_second_operand_gives_its_storage_when_the_first_lives_on():
    x = constant("a", np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3))
    check_operator(single(Sub(), [x, activation("b", (1, 2, 2, 3), "float32")]))


def test_int32_wraps():
    graph = single(Sub(), [activation("a", (2,), "int32"), constant("b", np.array(1, np.int32))])
    found = reference(graph, [np.array([-(2**31), 0], np.int32)])[0]
    np.testing.assert_array_equal(found, np.array([2**31 - 1, -1], np.int32))


def test_scales_too_far_apart_are_refused():
    with pytest.raises(Unsupported, match="takes less than 1"):
        single(Sub(), [activation("a", (2,), q=quant(1)), activation("b", (2,), q=quant(1))], out_quant=quant(1e-6))
