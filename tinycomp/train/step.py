"""What a derivative is: the value of a node and the function that carries gradients back through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinycomp.ir import Node

Reals = NDArray[Any]  # float32; gradients are tested in float64
Pullback = Callable[[Reals], tuple[Reals | None, ...]]
LIMITS: dict[str, tuple[float, float]] = {
    "none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0),
}  # fmt: skip


class Step(NamedTuple):
    """value: the node's output. pullback: from the loss's gradient by that output to those by each input, in order.

    A gradient that was not wanted may be None, or there all the same.
    """

    value: Reals
    pullback: Pullback


# Takes the node, the values of its inputs, and for each input whether its gradient is wanted.
Derivative = Callable[[Node, Sequence[Reals], Sequence[bool]], Step]


def clamped(value: Reals, activation: str) -> tuple[Reals, Callable[[Reals], Reals]]:
    """A fused activation's value, and the gradient before it from the one after it. `value` may be overwritten."""
    low, high = LIMITS[activation]
    if (low, high) == LIMITS["none"]:
        return value, lambda gradient: gradient
    inside = value > low if high == np.inf else (value > low) & (value < high)
    return np.clip(value, low, high, out=value), lambda gradient: gradient * inside
