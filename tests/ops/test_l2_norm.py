"""L2_NORMALIZATION: the reference against TensorFlow Lite Micro, the kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, quant, random_inputs, single
from tinycomp import qmath_fixed
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops import CODECS
from tinycomp.ops.base import Source
from tinycomp.ops.l2_norm import L2Norm

SHAPES = [(5,), (3, 7), (1, 2, 3, 4), (2, 1), (1, 300), (1, 5000)]


def layer(shape: tuple[int, ...], zero: int = 3, out_scale: float = 1 / 128) -> Graph:
    """One int8 node."""
    return single(L2Norm(), [activation("x", shape, "int8", quant(0.1, zero))], out_quant=quant(out_scale))


def test_int8_vectors_of_any_length_and_zero_point():
    graph = panel([layer(shape, zero) for shape in SHAPES for zero in (-128, 3, 127)])
    small = [np.full(graph.tensors[name].shape, graph.tensors[name].zero_point, np.int8) for name in graph.inputs]
    for x, size in zip(small, np.resize([0, 1, -1, 2, 3], len(small)), strict=True):
        x.reshape(-1)[0] = np.clip(int(x.reshape(-1)[0]) + size, -128, 127)
    check_operator(graph, [*random_inputs(graph, cases=3), small])


def test_float32():
    graph = panel([single(L2Norm(), [activation("x", shape, "float32")]) for shape in SHAPES])
    zeros = [np.zeros(graph.tensors[name].shape, np.float32) for name in graph.inputs]
    check_operator(graph, [*random_inputs(graph), zeros])


def test_inverse_roots_are_near_the_real_ones():
    x = np.concatenate([np.arange(2, 4000), np.geomspace(4000, 2**31 - 1, 2000).astype(np.int64)])
    found = qmath_fixed.inverse_root(x)
    np.testing.assert_allclose(found.mantissa * 2.0 ** (found.shift - 31), x**-0.5, rtol=1e-4)


def test_what_the_reference_does_not_compute_is_refused():
    with pytest.raises(BadInput, match=r"takes scale 0\.0078125 and zero point 0 alone"):
        layer((4,), out_scale=0.1)
    with pytest.raises(Unsupported, match="sum of squares holds 33025"):
        layer((33026,))
    x = activation("x", (3,), "float32")
    with pytest.raises(Unsupported, match="the fused activation relu is not supported"):
        CODECS["L2_NORMALIZATION"].read(Source("n", "L2_NORMALIZATION", {"fused_activation_function": 1}, (x,), (x,)))
