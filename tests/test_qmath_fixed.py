"""gemmlowp's functions against the real ones; their bits are anchored by the operators that use them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycomp import qmath_fixed
from tinycomp.qmath import rounding_doubling_high_mul

Q31 = 2.0**31
INT32 = st.integers(-(2**31), 2**31 - 1)
FRACTION = st.integers(0, 2**31 - 1)


@given(INT32, st.integers(1, 30))
def test_a_saturating_shift_keeps_what_fits_and_ends_at_the_ends(x, exponent):
    found = int(qmath_fixed.saturating_shift_left(x, exponent))
    assert found == min(max(x << exponent, -(2**31)), 2**31 - 1)


@given(INT32, INT32)
def test_half_sums_round_away_from_zero(a, b):
    found, total = int(qmath_fixed.rounding_half_sum(a, b)), a + b
    assert abs(found) == (abs(total) + 1) // 2
    assert found * total >= 0


@given(st.integers(-(2**31), 0), st.sampled_from([0, 1, 4, 5]))
def test_exp_of_what_is_not_positive(a, bits):
    real = np.exp(a / 2.0 ** (31 - bits))
    assert abs(int(qmath_fixed.exp_on_negative_values(a, bits)) / Q31 - real) < 2e-6


@given(FRACTION)
def test_one_over_one_plus_x(a):
    assert abs(int(qmath_fixed.one_over_one_plus_x(a)) / Q31 - 1 / (1 + a / Q31)) < 1e-8


@given(st.integers(-(2**31) + 1, 2**31 - 1))
def test_logistic_and_tanh(a):
    x = a / 2.0**27
    assert abs(int(qmath_fixed.logistic(a, 4)) / Q31 - 1 / (1 + np.exp(-x))) < 2e-6
    assert abs(int(qmath_fixed.tanh(a, 4)) / Q31 - np.tanh(x)) < 4e-6


@given(st.integers(1, 2**31 - 1))
def test_a_reciprocal_is_a_mantissa_and_an_exponent(x):
    found = qmath_fixed.reciprocal(x, 12)
    real = 2.0**19 / x
    assert abs(int(found.mantissa) / Q31 / 2.0 ** int(found.bits) / real - 1) < 1e-7


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50), st.floats(1e-3, 4))
def test_softmax_comes_within_one_step_of_the_real_one(diffs, scale):
    lowest = np.array(diffs) - min(diffs)
    found = qmath_fixed.softmax(lowest, qmath_fixed.softmax_exps(scale, 1.0), 8)
    weights = np.exp(-lowest * scale)
    assert np.abs(found - 256 * weights / weights.sum()).max() <= 0.5 + 1e-3 + 256 * np.exp(-15.5)


@pytest.mark.parametrize("a", [0, 1, 2**29, 2**30, 3 * 2**29, 2**31 - 2, 2**31 - 1])
def test_newton_steps_never_overflow_int32(a):
    """The C helper multiplies by 4 without saturating: the start is within 1/17, and later steps correct less."""
    half = qmath_fixed.rounding_half_sum(a, 2**31 - 1)
    x = 1515870810 + rounding_doubling_high_mul(half, -1010580540)
    correction = rounding_doubling_high_mul(x, (1 << 29) - rounding_doubling_high_mul(half, x))
    assert abs(int(correction)) * 4 <= int(x) / 16
    assert int(x) * 17 / 16 < 2**31
