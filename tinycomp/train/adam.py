"""Adam in numpy, with steps in units of each parameter's own size, on a cosine schedule.

Sources: D. Kingma, J. Ba, Adam, arXiv:1412.6980; I. Loshchilov, F. Hutter, SGDR, arXiv:1608.03983.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tinycomp.train.step import Reals

FIRST, SECOND = 0.9, 0.99  # decay of the gradient's mean and of its mean square; few steps, so a short memory
TINY = 1e-9
WARM = 20  # steps until the rate is full


def cosine(share: float) -> float:
    """The rate's factor when that share of training is done."""
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class Adam:
    """The state of one training. Values are replaced, never changed in place."""

    def __init__(self, values: Mapping[str, Reals], unit: Mapping[str, float]) -> None:
        """values: by name. unit: what a rate of 1 moves each by, at most, in a step."""
        self.values, self.unit, self.steps = dict(values), dict(unit), 0
        self._mean = {name: np.zeros_like(v) for name, v in values.items()}
        self._square = {name: np.zeros_like(v) for name, v in values.items()}

    def step(self, gradients: Mapping[str, Reals], rate: float) -> None:
        """Move every value that has a gradient."""
        self.steps += 1
        rate *= min(1.0, self.steps / WARM)
        for name, g in gradients.items():
            self._mean[name] += (1 - FIRST) * (g - self._mean[name])
            self._square[name] += (1 - SECOND) * (g * g - self._square[name])
            mean = self._mean[name] / (1 - FIRST**self.steps)
            square = self._square[name] / (1 - SECOND**self.steps)
            moved = mean / (np.sqrt(square) + TINY) * (rate * self.unit[name])
            self.values[name] = (self.values[name] - moved).astype(self.values[name].dtype)


def root_mean_square(values: Reals) -> float:
    """√(mean of squares)."""
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))
