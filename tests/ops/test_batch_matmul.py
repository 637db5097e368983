"""BATCH_MATMUL: the reference against TensorFlow Lite Micro, the kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, constant, quant, random_inputs, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph, Tensor
from tinycomp.ops.batch_matmul import BatchMatMul

# shapes of both operands before they are transposed, which of them are held transposed, and which is a constant
GRID: list[tuple[tuple[int, ...], tuple[int, ...], bool, bool, str]] = [
    ((3, 4), (4, 5), False, False, ""), ((1, 3, 4), (1, 4, 5), False, True, ""),
    ((2, 3, 4), (2, 4, 5), True, False, ""), ((2, 3, 4), (2, 4, 5), True, True, ""),
    ((2, 2, 3, 4), (1, 2, 4, 5), False, False, ""), ((1, 3, 1, 4), (2, 1, 4, 5), False, True, ""),
    ((2, 3, 4), (4, 5), False, True, "y"), ((3, 4), (2, 4, 1), True, False, "x"), ((1, 1), (1, 1), False, False, ""),
]  # fmt: skip
SCALES = {"int8": ((0.05, -7), (0.011, 90), (0.08, 5)), "int16": ((0.0007, 0), (0.0011, 0), (0.003, 0))}


def product(x: tuple[int, ...], y: tuple[int, ...], adj_x: bool, adj_y: bool, fixed: str, dtype: DType,
            ends: tuple[tuple[float, int], ...] | None = None) -> Graph:  # fmt: skip
    """One node. ends: scales and zero points of both operands and the output."""
    ends = ends or SCALES.get(dtype)
    rng = np.random.default_rng(sum(x) + sum(y))

    def operand(name: str, shape: tuple[int, ...], adj: bool, end: tuple[float, int] | None) -> Tensor:
        held = (*shape[:-2], shape[-1], shape[-2]) if adj else shape
        q = quant(*end) if end else None
        if name not in fixed:
            return activation(name, held, dtype, q)
        return constant(name, rng.integers(-100, 100, held).astype(dtype), q)

    a, b, out = ends or (None, None, None)
    operands = [operand("x", x, adj_x, a), operand("y", y, adj_y, b)]
    return single(BatchMatMul(adj_x, adj_y), operands, out_quant=quant(*out) if out else None)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
def test_matrices_are_multiplied_as_in_the_interpreter(dtype):
    graph = panel([product(*shapes, dtype) for shapes in GRID])
    check_operator(graph, random_inputs(graph, cases=3))


def test_int8_under_many_scales():
    zeros, scales = (-128, 0, 127), (0.0021, 0.9, 3.7)
    ends = [((0.05, zero), (0.031, other), (scale, -1 - zero)) for zero in zeros for other in zeros for scale in scales]
    check_operator(panel([product((6, 9), (9, 7), False, True, "", "int8", end) for end in ends]))


def test_matrices_that_do_not_meet_are_named():
    with pytest.raises(BadInput, match=r"matrices \[2, 3\] of 'x' and \[4, 5\] of 'y' do not multiply"):
        product((2, 3), (4, 5), False, False, "", "float32")
    with pytest.raises(BadInput, match="do not broadcast"):
        product((2, 3, 4), (3, 4, 5), False, False, "", "float32")


def test_what_the_reference_does_not_compute_is_refused():
    with pytest.raises(Unsupported, match="make a factor of"):
        product((2, 3), (3, 2), False, False, "", "int8", ((2.0, 0), (2.0, 0), (0.001, 0)))
    with pytest.raises(Unsupported, match="int16 is symmetric"):
        product((2, 3), (3, 2), False, False, "", "int16", ((0.1, 1), (0.1, 0), (0.1, 0)))
    with pytest.raises(Unsupported, match="has dtypes int32,int32→int32"):
        product((2, 3), (3, 2), False, False, "", "int32")
