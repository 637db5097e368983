"""Clamps after clamps: which single activation two of them amount to."""

from __future__ import annotations

from tinycomp.qmath import ACTIVATION_RANGE


def both(first: str, second: str) -> str | None:
    """The activation that equals one after the other on reals; None where it has no name (relu after relu_n1_to_1)."""
    (low, high), (low2, high2) = ACTIVATION_RANGE[first], ACTIVATION_RANGE[second]
    wanted = (max(low, low2), min(high, high2))
    return next((name for name, interval in ACTIVATION_RANGE.items() if interval == wanted), None)
