"""Least squares and rounding for a layer's output."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp.quantize import reconstruct
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.reconstruct import Moments, moments


def problem(
    seed: int, groups: int = 1, rows: int = 200, taps: int = 6, outputs: int = 3
) -> tuple[Floats, Floats, Floats]:
    """Correlated inputs with a column of ones, real weights, and what they make."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(0, 1, (groups, taps, taps))
    a = rng.normal(0.5, 1, (groups, rows, taps)) @ mix
    w = rng.normal(0, 1, (groups, taps, outputs))
    y = a @ w + rng.normal(0, 1, (groups, 1, outputs))
    return np.concatenate([a, np.ones((groups, rows, 1))], axis=2), w, y


def parts(a: Floats, y: Floats, count: int = 4) -> list[Moments]:
    """Moments of interleaved parts of the rows."""
    return [moments(a[:, k::count], y[:, k::count]) for k in range(count)]


@pytest.mark.parametrize("groups", [1, 5])
def test_the_error_of_moments_is_the_error_of_the_rows(groups):
    a, w, y = problem(0, groups)
    full = np.concatenate([w + 0.1, np.zeros((groups, 1, 3))], axis=1)
    direct = ((a @ full - y) ** 2).mean(axis=1)
    np.testing.assert_allclose(reconstruct.error(full, moments(a, y)), direct, rtol=1e-9)
    np.testing.assert_allclose(reconstruct.error(full, reconstruct.average(parts(a, y))), direct, rtol=1e-9)


def test_averages_weigh_parts_by_their_rows():
    a, _, y = problem(1)
    cut = [moments(a[:, :50], y[:, :50]), moments(a[:, 50:], y[:, 50:])]
    np.testing.assert_allclose(reconstruct.average(cut, [50, 150]).gram, moments(a, y).gram)


def test_the_best_bias_leaves_no_mean_error():
    a, w, y = problem(2)
    full = reconstruct.with_best_bias(np.round(w), moments(a, y))
    np.testing.assert_allclose((a @ full - y).mean(axis=1), 0, atol=1e-9)


def test_least_squares_makes_up_for_inputs_that_are_off():
    a, w, y = problem(3, rows=4000)
    off = a.copy()
    off[:, :, :-1] *= np.array([0.8, 1.1, 1, 0.9, 1.2, 1])  # what the layers before have lost
    found, ridge = reconstruct.least_squares(w, parts(off, y))
    assert ridge is not None
    m = moments(off, y)
    before, after = (reconstruct.error(reconstruct.with_best_bias(v, m), m).sum() for v in (w, found))
    assert after < 0.01 * before


def test_least_squares_moves_nothing_where_the_data_says_nothing():
    rng = np.random.default_rng(4)
    a, w, _ = problem(4, rows=8, taps=6)
    noise = a[:, :, :-1] @ w + rng.normal(0, 5, (1, 8, 3))
    found, ridge = reconstruct.least_squares(w, parts(a, noise))
    assert ridge is None or ridge >= 0.1
    assert np.abs(found - w).max() < 3
    same, none = reconstruct.least_squares(w, parts(a, noise, 1))
    assert none is None
    np.testing.assert_array_equal(same, w)


def quadratic(q: Floats, target: Floats, gram: Floats) -> float:
    """Error of the rounded weights in the output."""
    d = q - target
    return float((d * (gram @ d)).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 4]))
def test_rounding_for_the_output_is_no_worse_than_to_the_nearest(seed, groups):
    a, w, y = problem(seed, groups)
    m = moments(a, y)
    scale = np.abs(w).max(axis=1) / 5  # few steps, so that rounding matters
    q, _ = reconstruct.round_for_output(w, [scale], m, None)
    assert (q == np.rint(q)).all()
    assert np.abs(q).max() <= 127
    gram = reconstruct.centred(m).gram
    gram = gram + reconstruct.DAMPING * np.trace(gram, axis1=1, axis2=2)[:, None, None] / 6 * np.eye(6)
    target = w / scale[:, None]
    assert quadratic(q, target, gram) <= quadratic(np.rint(target), target, gram) * (1 + 1e-9)


def test_rounding_finds_nearly_the_best_of_all_neighbours():
    better = 0
    for seed in range(10):
        a, w, y = problem(seed, taps=4, outputs=1)
        m = moments(a, y)
        scale = np.abs(w).max(axis=1) / 4
        gram, target = reconstruct.centred(m).gram, w / scale[:, None]
        q, _ = reconstruct.round_for_output(w, [scale], m, 1e-9)
        base = np.floor(target)
        choices = (base + np.array(c, np.float64).reshape(1, -1, 1) for c in itertools.product((-1, 0, 1, 2), repeat=4))
        best = min(quadratic(c, target, gram) for c in choices)
        better += quadratic(q, target, gram) <= best * 1.5 + 1e-12
    assert better >= 8


@pytest.mark.parametrize("dead", [(), (0,), (0, 1, 2, 3, 4, 5)])
def test_inputs_that_are_always_zero_do_no_harm(dead):
    a, w, y = problem(7)
    a[:, :, list(dead)] = 0
    m = moments(a, y)
    found, _ = reconstruct.least_squares(w, parts(a, y))
    q, _ = reconstruct.round_for_output(found, [np.full((1, 3), 0.1)], m, None)
    assert np.isfinite(q).all()
    np.testing.assert_array_equal(q[:, list(dead)], np.clip(np.rint(found / 0.1), -127, 127)[:, list(dead)])
