"""The short forms of requantization give the reference's bits for every accumulator within their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp import qmath
from tinycomp.ops import requant_dsp
from tinycomp.ops.requant import Multipliers


def near_thresholds(mantissa: qmath.Int64, right: qmath.Int64, bounds: qmath.Int64, seed: int) -> qmath.Int64:
    """Accumulators [n, channels]: small, extreme, random, and next to where results change."""
    rng, channels = np.random.default_rng(seed), len(mantissa)
    steps = np.arange(-160, 161)[:, None]
    changes = (
        ((2 * steps + 1) * 2.0 ** (right + 30.0) / np.maximum(mantissa, 1)).clip(-(2.0**40), 2.0**40).astype(np.int64)
    )
    parts = [np.broadcast_to(np.arange(-200, 201)[:, None], (401, channels)), -bounds[None], bounds[None],
             rng.integers(-bounds, bounds + 1, (500, channels)), *(changes + d for d in (-2, -1, 0, 1, 2))]  # fmt: skip
    return np.concatenate(parts).clip(-bounds, bounds)


def one_floor(form: requant_dsp.OneFloor, acc: qmath.Int64) -> qmath.Int64:
    """What SMMLA and SSAT make of accumulators, checked to stay in their registers."""
    shifted = acc << form.left
    t = (shifted * form.mantissa >> 32) + form.offset
    assert max(np.abs(shifted).max(), np.abs(t).max()) < 2**31
    return np.clip(t >> form.right, -128, 127)


def two_roundings(form: requant_dsp.TwoRoundings, acc: qmath.Int64) -> qmath.Int64:
    """What SMMULR, ADD, ADD, ASR and SSAT make of accumulators."""
    h = ((acc << 1) * form.mantissa + 2**31) >> 32
    return np.clip((h + (h >> 31) + form.offset) >> form.right, -128, 127)


mantissas = st.integers(2**30, 2**31 - 1) | st.sampled_from([2**30, 2**31 - 1, 3 * 2**29])


@settings(max_examples=60, deadline=None)
@given(
    channels=st.lists(st.tuples(mantissas, st.integers(-3, 14), st.integers(0, 2**22)), min_size=1, max_size=6),
    zero=st.integers(-128, 127), clamped=st.booleans(), once=st.booleans(), most=st.integers(2, 31),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_one_floor_is_exact_wherever_it_is_offered(
    channels: list[tuple[int, int, int]], zero: int, clamped: bool, once: bool, most: int, seed: int
):
    mantissa, right, bounds = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    low = zero if clamped else -128
    form = requant_dsp.one_floor(Multipliers(mantissa, -right), bounds, zero, low, once=once, most_left=most)
    if form is None:
        return
    assert (form.left <= most).all()
    acc = near_thresholds(mantissa, right, bounds, seed)
    rescale = qmath.requantize_once if once else qmath.requantize
    wanted = np.clip(rescale(acc, mantissa, -right) + zero, low, 127)
    np.testing.assert_array_equal(np.clip(one_floor(form, acc), low, 127), wanted)


@settings(max_examples=60, deadline=None)
@given(
    channels=st.lists(st.tuples(mantissas, st.integers(-2, 20), st.integers(0, 2**28)), min_size=1, max_size=6),
    zero=st.integers(-128, 127), seed=st.integers(0, 99),
)  # fmt: skip
def test_two_roundings_are_exact_wherever_they_are_offered(channels: list[tuple[int, int, int]], zero: int, seed: int):
    mantissa, right, bounds = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    form = requant_dsp.two_roundings(Multipliers(mantissa, -right), bounds, zero)
    if form is None:
        return
    acc = near_thresholds(mantissa, right, bounds, seed)
    wanted = np.clip(qmath.requantize(acc, mantissa, -right) + zero, -128, 127)
    np.testing.assert_array_equal(two_roundings(form, acc), wanted)


def offered(right: list[int], bound: int, low: int, zero: int = -128, most: int = 31) -> requant_dsp.OneFloor | None:
    multipliers = Multipliers(np.full(len(right), 2**30 + 12345, np.int64), -np.array(right, np.int64))
    return requant_dsp.one_floor(multipliers, np.full(len(right), bound, np.int64), zero, low, most_left=most)


def test_a_relu_gets_the_shift_that_layers_share():
    form = offered([5, 6, 8], 1 << 17, -128)
    assert form is not None
    assert form.common == requant_dsp.PREFERRED


def test_channels_far_apart_keep_a_shift_each():
    form = offered([5, 16], 1 << 17, -128, most=8)
    assert form is not None
    assert form.common is None
    assert list(form.right) == [6, 17]


@pytest.mark.parametrize(("bound", "low"), [(1 << 17, -129), (1 << 30, -128)])
def test_negative_results_and_wide_accumulators_are_declined(bound: int, low: int):
    assert offered([5, 6], bound, low) is None
