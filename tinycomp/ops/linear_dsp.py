"""int8 ADD and SUB as one sum of two products, on cores with SMLAWB, where that gives every one of the 65,536 results.

The reference brings both operands to one scale, rounds, adds, rounds and rounds again. With real factors α and β it
computes α·(a − za) ± β·(b − zb) + zo, and

    t = offset + ((a · 2^8) · factor_a >> 16) + ((b · 2^8) · factor_b >> 16);   q = t >> right, saturated

differs from it only where the sum is very near to a half. Whether some offset avoids that for all pairs of bytes is
found by trying all pairs. Roundings of negative halves go the other way, so where the output's zero point is well
inside the range and exact halves occur, none does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycomp import qmath

RIGHT = 20
BYTES = np.arange(-128, 128, dtype=np.int64)


class Linear(NamedTuple):
    """The constants of t and q above."""

    factor_a: int
    factor_b: int
    offset: int
    right: int


def linear(alpha: float, beta: float, wanted: qmath.Int64, low: int, high: int) -> Linear | None:
    """The constants for factors α and β (negative for SUB), None where there are none.

    wanted: the reference's results, clamped to [low, high], int64 [256, 256] by a + 128 and b + 128.
    """
    for right in range(RIGHT, RIGHT - 4, -1):
        factors = [round(factor * 2.0 ** (right + 8)) for factor in (alpha, beta)]
        if max(abs(f) for f in factors) >= 2**31:
            continue
        for more_a, more_b in ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)):
            found = _offset(factors[0] + more_a, factors[1] + more_b, right, wanted, low, high)
            if found is not None:
                return Linear(factors[0] + more_a, factors[1] + more_b, found, right)
    return None


def _offset(factor_a: int, factor_b: int, right: int, wanted: qmath.Int64, low: int, high: int) -> int | None:
    """The middle of the offsets that give every result, None where no offset does or a sum leaves int32."""
    t = (BYTES * factor_a >> 8)[:, None] + (BYTES * factor_b >> 8)[None, :]
    least = np.where(wanted > low, (wanted << right) - t, -(2**40)).max()
    most = np.where(wanted < high, ((wanted + 1) << right) - 1 - t, 2**40).min()
    first = np.abs(BYTES * factor_a >> 8).max()
    if least > most:
        return None
    least, most = max(least, -(2**30)), min(most, 2**30)
    offset = int(least + most) // 2
    reached = max(abs(offset) + int(first), int(np.abs(t + offset).max()))
    exact = bool((np.clip(t + offset >> right, low, high) == wanted).all())
    return offset if exact and reached < qmath.INT_RANGE["int32"][1] else None
