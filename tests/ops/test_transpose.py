"""TRANSPOSE: the reference against TensorFlow Lite Micro, the kernel against the reference."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import activation, check_operator, constant, quant, reference, single
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ops.base import Source
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.transpose import OPERATOR, Transpose, loops, moves_nothing

(TRANSPOSE,) = OPERATOR.codecs

GRID = [
    pytest.param((3, 4), (1, 0), id="matrix"),
    pytest.param((1, 4, 5, 3), (0, 3, 1, 2), id="channels first"),
    pytest.param((1, 3, 4, 5), (0, 2, 3, 1), id="channels last"),
    pytest.param((2, 4, 5, 3), (0, 2, 1, 3), id="width and height"),
    pytest.param((2, 3, 4), (2, 1, 0), id="three reversed"),
    pytest.param((2, 3, 4, 2, 3), (4, 2, 1, 3, 0), id="five axes"),
    pytest.param((2, 1, 3, 1, 4), (4, 3, 2, 1, 0), id="five axes, some of one element"),
    pytest.param((2, 3, 2, 2), (2, 3, 0, 1), id="pairs change places"),
]


@pytest.mark.parametrize(("shape", "perm"), GRID)
@pytest.mark.parametrize(("dtype", "q"), [("int8", quant(0.1, -7)), ("int16", quant(0.01)), ("float32", None)])
def test_the_kernel_computes_what_tflite_micro_computes(shape, perm, dtype, q):
    check_operator(single(Transpose(perm), [activation("x", shape, dtype, q)], out_quant=q))


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_permutations_that_move_nothing_are_computed_all_the_same(dtype):
    check_operator(single(Transpose((1, 0, 2)), [activation("x", (3, 1, 2), dtype)]), oracle=dtype == "float32")
    check_operator(single(Transpose((1, 0)), [activation("x", (1, 1), dtype)]), oracle=dtype == "float32")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_the_loops_visit_the_elements_in_the_order_of_the_output(shape, data):
    perm = data.draw(st.permutations(range(len(shape))))
    x = np.arange(np.prod(shape)).reshape(shape)
    at = np.zeros(1, int)
    for count, stride in loops(shape, perm):
        at = (at[:, None] + np.arange(count) * stride).ravel()
    assert at.tolist() == x.transpose(perm).ravel().tolist()
    if moves_nothing(shape, perm):
        assert at.tolist() == list(range(x.size))


def test_neighbours_that_stay_neighbours_are_one_loop():
    assert loops((2, 4, 5, 3), (0, 1, 2, 3)) == ((120, 1),)
    assert loops((1, 4, 5, 3), (0, 3, 1, 2)) == ((3, 1), (20, 3))
    assert loops((1, 1), (1, 0)) == ((1, 1),)


def test_a_larger_batch_is_taken_along():
    graph = single(Transpose((0, 2, 1)), [activation("x", (1, 3, 4), "float32")])
    x = np.arange(60, dtype=np.float32).reshape(5, 3, 4)
    np.testing.assert_array_equal(reference(graph, [x])[0], x.transpose(0, 2, 1))


def read(shape: tuple[int, ...], perm: list[int]) -> object:
    """What a file's TRANSPOSE reads as."""
    x, p = activation("x", shape), constant("p", np.array(perm, np.int32))
    return TRANSPOSE.read(Source("transpose_0", "TRANSPOSE", {}, (x, p), (activation("y", (1,)),))).attrs


def test_only_what_moves_elements_reads_as_a_transposition():
    assert read((2, 3, 4), [0, 2, 1]) == Transpose((0, 2, 1))
    assert read((2, 3, 4), [-3, -1, 1]) == Transpose((0, 2, 1))
    assert read((1, 3, 1, 4), [1, 0, 3, 2]) == Reshape((3, 1, 4, 1))
    assert read((2, 3), [0, 1]) == Reshape((2, 3))
    for perm in permutations(range(3)):
        assert read((1, 1, 5), list(perm)) == Reshape(tuple((1, 1, 5)[p] for p in perm))


def test_faults_are_named():
    with pytest.raises(BadInput, match=r"transpose_0 \(TRANSPOSE\): \[0, 0\] is not a permutation of the 2 axes"):
        read((2, 3), [0, 0])
    with pytest.raises(BadInput, match="is not a permutation"):
        read((2, 3), [0, 1, -1])
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        read((2, 3), [0, 2])
    with pytest.raises(Unsupported, match="rank 6; up to 5"):
        single(Transpose((5, 4, 3, 2, 1, 0)), [activation("x", (1,) * 6)])
    with pytest.raises(Unsupported, match=r"the permutation .* is computed at run time"):
        TRANSPOSE.read(Source("t", "TRANSPOSE", {}, (activation("x", (2, 3)), activation("p", (2,), "int32")), ()))
