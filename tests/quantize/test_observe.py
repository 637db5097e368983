"""Observers and the statistics that they read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp.errors import BadInput
from tinycomp.ir import Array
from tinycomp.quantize import observe
from tinycomp.quantize.observe import BINS, OBSERVERS, Range, Recorder, Statistics


def seen(*batches: Array) -> Statistics:
    """Statistics of batches [cases, values]."""
    recorder = Recorder("t")
    for batch in batches:
        recorder.add(np.asarray(batch, np.float32), len(batch))
    return recorder.statistics()


def squared_error(values: Array, span: Range) -> float:
    """Mean squared error of rounding to 256 steps and clipping."""
    low, high = min(span.low, 0), max(span.high, 0)
    step = (high - low) / 255
    return float(((np.clip(np.round(values / step) * step, low, high) - values) ** 2).mean())


def test_statistics_do_not_depend_on_how_values_are_batched():
    x = np.random.default_rng(0).normal(0, 1, (64, 50)).astype(np.float32) * np.geomspace(1e-3, 50, 64)[:, None]
    one, many = seen(x), seen(*np.split(x, 16))
    assert (one.low, one.high, one.limit) == (many.low, many.high, many.limit)
    np.testing.assert_array_equal(one.case_high, many.case_high)
    np.testing.assert_array_equal(one.channel_low, many.channel_low)
    assert one.counts.sum() == many.counts.sum() == x.size
    centres = one.centres
    assert abs((one.counts * centres).sum() - (many.counts * centres).sum()) / x.size < one.limit / BINS * 64
    np.testing.assert_allclose((one.counts * centres).sum() / x.size, x.mean(), atol=2 * one.limit / BINS)


def test_channels_and_cases_keep_their_extremes():
    x = np.array([[[1, -5], [2, 0]], [[-3, 4], [0, 9]]], np.float32)
    recorder = Recorder("t")
    recorder.add(x, 2)
    found = recorder.statistics()
    assert found.channel_low.tolist() == [-3, -5]
    assert found.channel_high.tolist() == [2, 9]
    assert found.case_low.tolist() == [-5, -3]
    assert found.case_high.tolist() == [2, 9]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_name_tensor_and_case(bad):
    recorder = Recorder("some/tensor")
    recorder.add(np.ones((3, 4), np.float32), 3)
    with pytest.raises(BadInput, match=r"some/tensor.*calibration case 4"):
        recorder.add(np.array([[1, 2], [3, bad]], np.float32), 2)


def test_minmax_is_everything_and_percentile_leaves_the_tails_out():
    x = np.random.default_rng(0).normal(0, 1, (100, 5000)).astype(np.float32)
    x[3, 7], x[50, 9] = 100, -80
    found = seen(x)
    assert observe.minmax(found) == Range(-80, 100)
    cut = observe.percentile(found)
    assert -5 < cut.low < -3 < 3 < cut.high < 5


def test_mse_has_less_error_on_new_cases_than_minmax_where_outliers_set_the_range():
    rng = np.random.default_rng(0)
    x, fresh = (rng.laplace(0, 1, (100, 5000)).astype(np.float32) for _ in range(2))
    found = seen(x)
    assert squared_error(fresh, observe.mse(found)) < 0.9 * squared_error(fresh, observe.minmax(found))


def test_mse_reaches_past_what_was_seen_where_few_values_have_a_long_tail():
    rng = np.random.default_rng(1)
    x = rng.exponential(1, (100, 3)).astype(np.float32)
    fresh = rng.exponential(1, (20000, 3)).astype(np.float32)
    found = seen(x)
    best = observe.mse(found)
    assert best.high > found.high
    assert best.low >= 0  # quant_of makes 0 lie inside, nothing below it
    assert squared_error(fresh, best) < squared_error(fresh, observe.minmax(found))


def test_mse_stays_within_bounds_that_the_values_keep():
    x = np.random.default_rng(0).uniform(0, 1, (200, 3)).astype(np.float32)
    x[:, 0] = 1.0  # every case reaches the bound
    assert observe.mse(seen(x)).high == pytest.approx(1.0, rel=0.01)


def test_entropy_cuts_a_long_thin_tail():
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(0, 1, (100, 2000))).astype(np.float32)
    x[::10, 0] = 40
    found = observe.entropy(seen(x))
    assert 2 < found.high < 30
    assert found.low >= 0


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize("x", [np.zeros((4, 3)), np.full((1, 1), 2.0), np.full((6, 2), -1e-20), -np.ones((30, 4))])
def test_every_observer_answers_for_degenerate_tensors(observer, x):
    span = OBSERVERS[observer](seen(x))
    assert span.low <= span.high
    assert np.isfinite(span).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.floats(1e-6, 1e6), st.sampled_from(sorted(OBSERVERS)))
def test_ranges_stay_near_what_was_seen(seed, cases, scale, observer):
    x = (np.random.default_rng(seed).standard_t(2, (cases, 9)) * scale).astype(np.float32)
    found = seen(x)
    span = OBSERVERS[observer](found)
    assert min(2 * found.low, found.low / 2) - 1e-6 * scale <= span.low
    assert span.high <= max(2 * found.high, found.high / 2) + 1e-6 * scale
    assert span.low <= span.high
