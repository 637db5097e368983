"""RANGE: no oracle in TensorFlow Lite Micro; numpy says what the integers are, float32 sums what the floats are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.ops.folding import check_folding, graph_of
from tests.support import activation, constant, reference
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Tensor
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.range_ import OPERATOR, Range


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-7, 7))
def test_integers_are_what_numpy_says(start, limit, delta):
    assume(delta)
    attrs = Range(start, limit, delta)
    wanted = np.arange(start, limit, delta, np.int32)
    assert attrs.elements == wanted.size
    assume(wanted.size)
    np.testing.assert_array_equal(reference(graph_of(attrs, []), [])[0], wanted)


@pytest.mark.parametrize(
    "attrs", [Range(0, 5), Range(3, -4, -2), Range(0, 2**40 + 1, 2**39, "int64"), Range(0.5, 3.0, 0.75, "float32")]
)
def test_the_reader_folds(attrs):
    check_folding(graph_of(attrs, []))


def test_floats_are_summed_in_float32():
    (found,) = reference(graph_of(Range(0.0, 10.0, float(np.float32(0.1)), "float32"), []), [])
    total, wanted = np.float32(0), []
    for _ in range(found.size):
        wanted.append(total)
        total = np.float32(total + np.float32(0.1))
    assert found.dtype == np.float32
    assert found.size == 100
    np.testing.assert_array_equal(found, np.array(wanted))


def read(start: Tensor, limit: Tensor, delta: Tensor) -> Parsed:
    """What a file's RANGE reads as."""
    return OPERATOR.codecs[0].read(Source("range_0", "RANGE", {}, (start, limit, delta), ()))


def scalar(value: object, dtype: str = "int32") -> Tensor:
    """A constant scalar."""
    return constant("c", np.array(value, dtype))


def test_reading_makes_a_node_without_inputs():
    assert read(scalar(1), scalar(9), scalar(2)) == Parsed(Range(1, 9, 2), ())
    assert read(scalar(1, "int64"), scalar(9, "int64"), scalar(2, "int64")) == Parsed(Range(1, 9, 2, "int64"), ())


def test_faults_are_named():
    with pytest.raises(Unsupported, match=r"the limit .* is computed at run time"):
        read(scalar(1), activation("n", (), "int32"), scalar(1))
    with pytest.raises(BadInput, match="must be scalars of one dtype"):
        read(scalar(1), scalar([1, 2]), scalar(1))
    with pytest.raises(BadInput, match="must be scalars of one dtype"):
        read(scalar(1), scalar(5.0, "float32"), scalar(1))
    for attrs in (Range(0, 5, 0), Range(0.0, float("inf"), 1.0, "float32"), Range(0, 5, 1, "int8")):
        with pytest.raises(BadInput, match=r"range_0 \(range\).*expected finite"):
            graph_of(attrs, [])


def test_huge_ranges_have_a_size_and_no_array():
    assert Range(-(2**63), 2**63 - 1, 1, "int64").elements == 2**64 - 1
    assert Range(-3e38, 3e38, 1e-30, "float32").elements == 2**62
