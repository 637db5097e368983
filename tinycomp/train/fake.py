"""Rounding in the loop: weights on the grid of few bits, activations on int8's, gradients as if nothing were rounded.

The gradient passes what lies inside the grid's ends and stops at what was clipped (straight-through estimator).
Source: Y. Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, arXiv:1308.3432.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinycomp.ir import Quant
from tinycomp.train.step import Reals, Step

FRACTIONS = np.linspace(0.4, 1.0, 31)  # of a channel's largest weight: ends of the grid that are tried


@dataclass(frozen=True, eq=False)
class Grid:
    """Symmetric steps for weights: −top … top times the scale of each channel along the axis, shaped to broadcast."""

    scale: Reals
    top: int

    def rounded(self, weights: Reals) -> Reals:
        """The weights on the grid."""
        return self.scale * np.clip(np.rint(weights / self.scale), -self.top, self.top)

    def inside(self, weights: Reals) -> Reals:
        """Where weights are not clipped."""
        return np.abs(weights) <= self.scale * (self.top + 0.5)


def grid_of(weights: Reals, axis: int, bits: int) -> Grid:
    """The grid of least squared error for each channel. No scale is above the largest weight's, so each channel has a
    weight at the grid's end: who knows the rounded weights and the bits knows the grid."""
    top, others = (1 << bits - 1) - 1, tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others, keepdims=True)
    unit = np.where(largest > 0, largest, 1).astype(weights.dtype) / weights.dtype.type(top)
    best, least = np.ones_like(unit), np.full(unit.shape, np.inf)
    for fraction in FRACTIONS[::-1].astype(weights.dtype):
        error = ((weights - Grid(unit * fraction, top).rounded(weights)) ** 2).sum(axis=others, keepdims=True)
        best[error < least] = fraction
        least = np.minimum(error, least)
    return Grid(unit * best, top)


@dataclass(frozen=True)
class Rounding:
    """int8 parameters of the tensors that nodes make, by name; called for each of them."""

    quants: Mapping[str, Quant]

    def __call__(self, name: str, value: Reals) -> Step | None:
        """The value on int8's grid; None for a tensor that is not rounded."""
        quant = self.quants.get(name)
        if quant is None:
            return None
        scale, zero = value.dtype.type(quant.scale[0]), quant.zero_point[0]
        q = np.rint(value / scale)
        made = np.clip(q, -128 - zero, 127 - zero)
        inside = made == q

        def pullback(gradient: Reals) -> tuple[Reals]:
            return (gradient * inside,)

        return Step(made * scale, pullback)
