"""LEAKY_RELU: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, check_reference, panel
from tests.support import activation, check_operator, quant, single
from tinycomp.errors import BadInput
from tinycomp.ir import Graph, Tensor
from tinycomp.ops import leaky_relu
from tinycomp.ops.base import Source
from tinycomp.ops.leaky_relu import LeakyRelu

SLOPES = [0.0, 0.01, 0.1, 0.5, 1.0, 1.7, -0.25, -0.3]
ENDS = [((0.05, 3), (0.05, 3)), ((0.05, -128), (0.04, 127)), ((0.011, 127), (0.02, -128)), ((0.25, 0), (0.125, 9))]


def layer(alpha: float, x: tuple[float, int], out: tuple[float, int]) -> Graph:
    """One int8 layer over every byte."""
    attrs = LeakyRelu(float(np.float32(alpha)))
    return single(attrs, [activation("x", BYTES.shape, "int8", quant(*x))], out_quant=quant(*out))


def test_every_byte_under_many_slopes_and_scales():
    graphs = [layer(alpha, x, out) for alpha in SLOPES for x, out in ENDS]
    check_reference(panel(graphs), [[BYTES] * len(graphs)])


def test_the_table_in_c():
    graphs = [layer(alpha, *ENDS[1]) for alpha in (0.1, -0.25)]
    check_operator(panel(graphs), [[BYTES] * len(graphs)])


def test_float_layers():
    x = activation("x", (1, 3, 4, 5), "float32")
    check_operator(panel([single(LeakyRelu(float(np.float32(alpha))), [x]) for alpha in SLOPES]))


def test_a_slope_that_is_no_number_is_refused():
    source = Source("leaky_relu_0", "LEAKY_RELU", {"alpha": float("nan")}, (Tensor("x", (1,), "float32"),), ())
    with pytest.raises(BadInput, match="alpha is nan"):
        leaky_relu.OPERATOR.codecs[0].read(source)
