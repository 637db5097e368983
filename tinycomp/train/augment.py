"""Inputs that the data does not hold: shifted, noisy, and mixtures of two. The teacher says what they mean.

Source for mixing: L. Beyer et al., Knowledge distillation: A good teacher is patient and consistent, arXiv:2106.05237.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp.train.step import Reals

SHORTEST = 16  # an axis of fewer elements is no place along which things move (ten coefficients of a spectrum are not)


@dataclass(frozen=True)
class Augment:
    """shift: the most by which images [N, H, W, C] move along H and W, as a share of the axis; edges are repeated.
    noise: standard deviation of what is added, at most this share of each element's own. mix: both parameters of the
    beta distribution of a mixture's shares, 0 for no mixtures."""

    shift: float = 1 / 16
    noise: float = 0.3
    mix: float = 1.0

    def __call__(self, inputs: Sequence[Reals], spread: Sequence[Reals], rng: np.random.Generator) -> list[Reals]:
        """A batch changed at random. inputs: [cases, …] each; spread: the standard deviation of each element."""
        cases = len(inputs[0])
        share = rng.beta(self.mix, self.mix, cases) if self.mix else np.ones(cases)
        partner, made = rng.permutation(cases), list[Reals]()
        for x, deviation in zip(inputs, spread, strict=True):
            if x.dtype.kind != "f":  # indices and the like
                made.append(x)
                continue
            moved = self._moved(x, rng) if x.ndim == 4 else x
            each = (cases, *(1 for _ in x.shape[1:]))
            loud = rng.uniform(0, self.noise, each) * rng.standard_normal(x.shape) * deviation
            noisy = moved + loud.astype(x.dtype)
            own = share.reshape(each).astype(x.dtype)
            made.append(own * noisy + (1 - own) * noisy[partner] if self.mix else noisy)
        return made

    def _moved(self, x: Reals, rng: np.random.Generator) -> Reals:
        """Each image by its own whole numbers of elements."""
        cases = np.arange(len(x))[:, None]
        for axis in (1, 2):
            size = x.shape[axis]
            most = int(size * self.shift) if size >= SHORTEST else 0
            if most:
                by = rng.integers(-most, most + 1, (len(x), 1), dtype=np.int64)
                at = np.clip(np.arange(size, dtype=np.int64) - by, 0, size - 1)
                x = x[cases, at] if axis == 1 else x.swapaxes(1, 2)[cases, at].swapaxes(1, 2)
        return x
