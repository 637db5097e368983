"""What training is made of: grids, rounding of activations, augmentation, losses, the optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp.ir import Quant
from tinycomp.train.adam import Adam, cosine
from tinycomp.train.augment import Augment
from tinycomp.train.fake import Rounding, grid_of
from tinycomp.train.loss import Kind, Loss
from tinycomp.train.step import Reals

STEP = 1e-6


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(2, 8), axis=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_grid_is_found_again_from_the_weights_rounded_to_it(bits: int, axis: int, seed: int):
    weights = np.random.default_rng(seed).normal(0, 1, (3, 2, 4, 5)).astype(np.float32)
    grid = grid_of(weights, axis, bits)
    once = grid.rounded(weights)
    again = grid_of(once, axis, bits)
    np.testing.assert_allclose(again.scale, grid.scale, rtol=1e-5)
    np.testing.assert_allclose(again.rounded(once), once, rtol=1e-5)
    assert np.abs(np.rint(once / grid.scale)).max() == 2 ** (bits - 1) - 1


def test_a_grid_has_less_error_than_one_that_reaches_the_largest_weight():
    weights = np.random.default_rng(0).normal(0, 1, (4, 200)).astype(np.float32)
    widest = np.abs(weights).max(axis=1, keepdims=True) / 7
    plain = widest * np.clip(np.rint(weights / widest), -7, 7)
    ours = grid_of(weights, 0, 4).rounded(weights)
    assert (((weights - ours) ** 2).sum(axis=1) < ((weights - plain) ** 2).sum(axis=1)).all()


def test_a_channel_of_zeros_stays_one():
    weights = np.zeros((2, 3), np.float32)
    weights[1] = 1
    np.testing.assert_array_equal(grid_of(weights, 0, 4).rounded(weights), weights)


def test_activations_are_rounded_as_int8_and_gradients_stop_where_they_are_clipped():
    rounding = Rounding({"t": Quant((0.5,), (-100,))})
    value = np.array([-20.0, -14.0, -0.3, 0.0, 0.2, 1.3, 113.5, 114.0], np.float32)
    step = rounding("t", value)
    assert step is not None
    np.testing.assert_array_equal(step.value, [-14, -14, -0.5, 0, 0, 1.5, 113.5, 113.5])
    np.testing.assert_array_equal(step.pullback(np.ones_like(value))[0], [0, 1, 1, 1, 1, 1, 1, 0])
    assert rounding("another", value) is None


def test_images_are_shifted_along_long_axes_alone_and_edges_repeat():
    x = np.broadcast_to(np.arange(48, dtype=np.float32).reshape(1, 48, 1, 1), (64, 48, 10, 1)).copy()
    (moved,) = Augment(shift=1 / 16, noise=0, mix=0)([x], [x[:1]], np.random.default_rng(0))
    assert (moved == moved[:, :, :1]).all()
    by = moved[:, 24, 0, 0] - 24
    assert set(by.tolist()) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    np.testing.assert_array_equal(moved[:, :, 0, 0], np.clip(np.arange(48) + by[:, None], 0, 47))


def test_noise_follows_the_spread_of_each_element():
    x = np.zeros((4000, 2), np.float32)
    (noisy,) = Augment(noise=0.5, mix=0)([x], [np.array([[1.0, 0.0]], np.float32)], np.random.default_rng(0))
    assert noisy[:, 0].std() == pytest.approx(0.5 / 3**0.5, rel=0.1)
    assert (noisy[:, 1] == 0).all()


def test_mixtures_lie_between_two_cases_and_all_inputs_mix_alike():
    x = np.arange(8, dtype=np.float32).reshape(8, 1)
    index = np.arange(8).reshape(8, 1)
    a, b, c = Augment(noise=0, mix=1.0)([x, 10 * x, index], [x[:1], x[:1], index[:1]], np.random.default_rng(1))
    np.testing.assert_allclose(b, 10 * a, rtol=1e-6)
    assert ((a >= 0) & (a <= 7)).all()
    assert (a != x).any()
    np.testing.assert_array_equal(c, index)


def slopes(loss: Loss, found: Reals, wanted: Reals) -> tuple[Reals, Reals]:
    """The gradient, and its finite differences."""
    numeric = np.zeros_like(found)
    for index in np.ndindex(*found.shape):
        change = np.zeros_like(found)
        change[index] = STEP
        numeric[index] = (loss(found + change, wanted)[0] - loss(found - change, wanted)[0]) / (2 * STEP)
    return loss(found, wanted)[1], numeric


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["classes", "truth", "values"])
def test_a_divergence_is_zero_at_the_teacher_and_its_gradient_is_that_of_finite_differences(
    kind: Kind, temperature: float
):
    rng = np.random.default_rng(2)
    found, wanted = rng.normal(size=(2, 3, 4))
    loss = Loss(kind, temperature, 0.7)
    assert loss(wanted, wanted)[0] == pytest.approx(0, abs=1e-12)
    assert loss(found, wanted)[0] > 0.01
    np.testing.assert_allclose(*slopes(loss, found, wanted), rtol=1e-5, atol=1e-8)


def test_the_optimiser_finds_a_minimum_in_units_of_each_parameter():
    goal = {"large": np.full(3, 100.0, np.float32), "small": np.full(2, 0.01, np.float32)}
    adam = Adam({name: 1.3 * v for name, v in goal.items()}, {"large": 100.0, "small": 0.01})
    for k in range(300):
        adam.step({name: adam.values[name] - v for name, v in goal.items()}, 0.05 * cosine(k / 300))
    for name, v in goal.items():
        np.testing.assert_allclose(adam.values[name], v, rtol=0.02)
