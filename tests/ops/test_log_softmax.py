"""LOG_SOFTMAX: the reference against TensorFlow Lite Micro, the kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, panel
from tests.support import activation, check_operator, quant, random_inputs, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops.log_softmax import LogSoftmax

SCALES = [0.003, 0.01, 0.07, 0.21, 0.9, 8.0]
SHAPES = [(5,), (3, 7), (1, 2, 3, 4), (2, 1), (1, 300)]


def layer(shape: tuple[int, ...], scale: float, out_scale: float = 1 / 16) -> Graph:
    """One int8 node."""
    return single(LogSoftmax(), [activation("x", shape, "int8", quant(scale, 3))], out_quant=quant(out_scale, 127))


def test_int8_under_many_scales():
    graph = panel([layer((8, 32), scale) for scale in SCALES] + [layer(shape, 0.1) for shape in SHAPES])
    rng = np.random.default_rng(1)
    every = [rng.permutation(BYTES.ravel()).reshape(8, 32) for _ in SCALES]
    rest = random_inputs(graph)
    check_operator(graph, [*rest[:3], [*every, *rest[3][len(SCALES) :]]])


def test_float32():
    check_operator(panel([single(LogSoftmax(), [activation("x", shape, "float32")]) for shape in SHAPES]))


def test_what_the_reference_does_not_compute_is_refused():
    with pytest.raises(BadInput, match=r"takes scale 0\.0625 and zero point 127 alone"):
        layer((4,), 0.1, 0.1)
    with pytest.raises(Unsupported, match="accumulator holds 4095"):
        layer((4096,), 0.1)
    with pytest.raises(BadInput, match="is a scalar"):
        single(LogSoftmax(), [activation("x", (), "float32")])
    ops.check(layer((4095,), 0.1))
