"""RESIZE_BILINEAR: the reference against the interpreters, the kernel against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, quant, random_inputs, reference, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph
from tinycomp.ops.resize_bilinear import ResizeBilinear

# shape, size, align_corners, half_pixel_centers
GRID = [
    ((1, 3, 4, 2), (6, 8), False, False), ((1, 3, 4, 2), (6, 8), False, True), ((1, 3, 4, 2), (6, 8), True, False),
    ((2, 5, 4, 3), (3, 2), False, False), ((2, 5, 4, 3), (3, 2), False, True), ((2, 5, 4, 3), (3, 2), True, False),
    ((1, 7, 5, 1), (11, 13), False, True), ((1, 1, 1, 3), (4, 5), False, True), ((1, 4, 3, 2), (1, 1), True, False),
    ((1, 4, 3, 2), (1, 7), False, True), ((1, 2, 2, 1), (17, 19), False, False), ((1, 9, 8, 4), (9, 8), True, False),
]  # fmt: skip


def panel_of(dtype: DType) -> Graph:
    """The whole grid."""
    q = None if dtype == "float32" else quant(0.05, -7 if dtype == "int8" else 0)
    graphs = [
        single(ResizeBilinear(size, align, half), [activation("x", shape, dtype, q)], out_quant=q)
        for shape, size, align, half in GRID
    ]
    return panel(graphs)


@pytest.mark.parametrize(("dtype", "by"), [("int8", "tflm"), ("float32", "tflm"), ("int16", "litert")])
def test_every_pixel_is_what_the_interpreter_makes_of_its_neighbours(dtype, by):
    check_operator(panel_of(dtype), by=by)


def test_halves_are_rounded_away_from_zero():
    graph = single(ResizeBilinear((1, 3), True), [activation("x", (1, 1, 2, 1), "int8", quant(1))], out_quant=quant(1))
    cases = [[np.array(pair, np.int8).reshape(1, 1, 2, 1)] for pair in ((-3, 0), (0, 3), (-128, 127))]
    assert [reference(graph, case)[0].ravel()[1] for case in cases] == [-2, 2, -1]
    check_operator(graph, cases)


def test_pixels_beyond_the_image_are_the_last_one():
    """600 steps of 2/1024 from one pixel lead past its end, where the reference would read what lies behind it."""
    graph = single(ResizeBilinear((1, 600)), [activation("x", (1, 1, 1, 2), "int8", quant(1))], out_quant=quant(1))
    check_operator(graph, random_inputs(graph), oracle=False)
    (made,) = reference(graph, [np.array([-5, 9], np.int8).reshape(1, 1, 1, 2)])
    assert (made == [-5, 9]).all()


def test_what_has_no_kernel_is_refused():
    with pytest.raises(Unsupported, match="has dtypes int32→int32"):
        single(ResizeBilinear((2, 2)), [activation("x", (1, 1, 1, 1), "int32")])
    with pytest.raises(BadInput, match=r"resizes 'x' \[1, 2\] to \[2, 2\]"):
        single(ResizeBilinear((2, 2)), [activation("x", (1, 2), "float32")])
