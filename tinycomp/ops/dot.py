"""What dense kernels on cores with the DSP extension share: the layout of weights and the constants of the rescaling.

The inner loops are in templates/parts/dot.j2: one or two columns of 16-bit numbers times four output channels.

**Pairs.** SXTB16 makes pairs of every other byte, so the elements of a column are paired (0, 2), (1, 3), (4, 6), …; one
to three elements at the end of a run are (0), (0, 1), or (0, 2) and (1). A step of the inner loop takes one pair.

**Words.** A word of weights holds a pair for two channels a and b: bytes a0, b0, a1, b1. SXTB16 makes (a0, a1) of it.
As it stands its halves are 256 · b + a, provided that b's bytes are stored one less where a is negative; so the sum of
its products is 256 · B + A, and B = (sum − A) / 256 where |B| < 2^23. Where B may be larger, `apart`, bytes are stored
as they are and taken apart.

**Rescaling.** See `requant_dsp`; `floor` has one right shift, 17, for all layers, so that they share code.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array
from tinycomp.ops import requant_dsp
from tinycomp.ops.requant import Multipliers

CHANNELS = 4  # of a group, which share the loads of a column
UNROLL = 16  # steps in the inner loop's body
TOGETHER = 8  # bits by which the second sum of a word is shifted
RIGHT = 17  # the common right shift of `floor`
WIDEST = 2**23  # above every |sum| that can be told from 256 times itself plus another


class Rescale(NamedTuple):
    """How sums become int8. numbers: mantissa, offset and shift (`floor`: left, else right), int64 [channels, 3]."""

    finish: Literal["floor", "twice", "apart"]
    numbers: qmath.Int64

    @property
    def one(self) -> Array | None:
        """The numbers of the first channel, int32 [3], if all channels have them; None where they differ.

        Of `floor` the left shift of every other channel is less by what its sum is shifted already.
        """
        alike = self.numbers.copy()
        if self.finish == "floor":
            alike[1::2, 2] += TOGETHER
        same = self.finish != "apart" and bool((alike == alike[0]).all())
        return alike[0].astype(np.int32) if same else None


class Stream(NamedTuple):
    """Weights as the inner loops read them, with biases and rescaling, for `groups` times four channels.

    Each group: four biases (of the second and fourth channel 256 times and the one before added, unless `apart`),
    [steps][2] words, and, if the rescaling is `each` channel's own, a word of its four shifts, [4][2] mantissas and
    offsets.
    """

    words: Array
    groups: int
    steps: int
    each: bool

    @property
    def group_bytes(self) -> int:
        """Bytes of one group."""
        return 4 * (CHANNELS + 2 * self.steps + (1 + 2 * CHANNELS) * self.each)

    @property
    def skip(self) -> int:
        """Steps of the loop's body that its first pass leaves out."""
        return -self.steps % UNROLL


def pairs(inner: int, run: int) -> list[tuple[int, int | None]]:
    """Which elements each step takes, None for a zero. Every `run` elements are paired by themselves."""
    found: list[tuple[int, int | None]] = []
    for start in range(0, inner, run):
        whole = start + run // 4 * 4
        found += [(i + k, i + k + 2) for i in range(start, whole, 4) for k in (0, 1)]
        rest: list[list[tuple[int, int | None]]]
        rest = [[], [(whole, None)], [(whole, whole + 1)], [(whole, whole + 2), (whole + 1, None)]]
        found += rest[run % 4]
    return found


def sums(bias: Array, weights: Array) -> qmath.Int64:
    """The largest |sum| of each channel for bytes as inputs. bias: zero point folded in. weights: [channels, inner]."""
    w, b = weights.astype(np.int64), bias.astype(np.int64)
    high = b + np.maximum(127 * w, -128 * w).sum(axis=1)
    low = b + np.minimum(127 * w, -128 * w).sum(axis=1)
    return np.maximum(np.abs(high), np.abs(low))


def rescale(weights: Array, bias: Array, multipliers: Multipliers, out_zero: int, low: int,
            once: bool = False) -> Rescale | None:  # fmt: skip
    """The cheapest form that is proven exact, None where none is. weights: [channels, inner].

    low: the lower end of the fused clamp, which the caller applies where it is not that of int8. once: the reference
    rounds once.
    """
    bounds = sums(bias, weights)
    together = _separable(bounds, weights)
    floor = _floor(multipliers, bounds, out_zero, low, once) if together else None
    if floor is not None or once:
        return floor
    found = requant_dsp.two_roundings(multipliers, bounds, out_zero)
    if found is None:
        return None
    return Rescale("twice" if together else "apart", np.stack([found.mantissa, found.offset, found.right], axis=1))


def _floor(multipliers: Multipliers, bounds: qmath.Int64, out_zero: int, low: int, once: bool) -> Rescale | None:
    r = -multipliers.shift
    twice = (r >= 1) & (not once)
    left = RIGHT + 1 - r
    if (bool(twice.any()) and low < out_zero) or not bool((left >= TOGETHER).all()):
        return None
    # what two roundings add is 2^30 and 2^(30 + r) for a sum that is not shifted
    offset = np.where(twice, np.int64(1) << left - 2, 0) + (1 << RIGHT - 1) + (out_zero << RIGHT)
    shifted = bounds << np.minimum(left, 31)
    fits = (shifted < 2**31) & (np.abs(offset) + (shifted >> 1) < 2**31)
    if not bool(fits.all()):
        return None
    left[1::2] -= TOGETHER
    return Rescale("floor", np.stack([multipliers.mantissa, offset, left], axis=1))


def _separable(bounds: qmath.Int64, weights: Array) -> bool:
    """Two channels' sums can share one accumulator: see **Words** above."""
    a, b = weights[0::2].astype(np.int64), weights[1::2].astype(np.int64)
    fits = 256 * b + a[: len(b)] >= -(2**15)
    return bool((bounds[1::2] < WIDEST).all() and fits.all())


def stream(bias: Array, weights: Array, chosen: Rescale, run: int, each: bool = True) -> Stream:
    """Pack weights [channels, inner] for the inner loops, channels padded with zeros to a multiple of four.

    run: elements of a column that are widened together (a tap row of a convolution). each: with the rescaling.
    """
    channels, inner = weights.shape
    groups = -(-channels // CHANNELS)
    rows = groups * CHANNELS
    order = pairs(inner, run)
    taken = np.zeros((rows, len(order), 2), np.int64)
    for k, (first, second) in enumerate(order):
        taken[:channels, k, 0] = weights[:, first]
        if second is not None:
            taken[:channels, k, 1] = weights[:, second]
    apart = chosen.finish == "apart"
    low = taken[0::2] & 0xFF if apart else taken[0::2]
    halves = (low + 256 * taken[1::2]).astype(np.int16)  # [rows / 2, steps, 2]
    words = halves.view(np.int32)[..., 0].reshape(groups, 2, len(order)).transpose(0, 2, 1)
    start = np.zeros(rows, np.int64)
    start[:channels] = bias
    if not apart:
        start[1::2] = 256 * start[1::2] + start[0::2]
    ends = np.zeros((rows, 3), np.int64)
    ends[:channels] = chosen.numbers
    shifts = (ends[:, 2].reshape(groups, CHANNELS) << 8 * np.arange(CHANNELS)).sum(axis=1)
    parts = (qmath.wrap32(start), words, *([shifts, ends[:, :2]] if each else []))
    packed = np.concatenate([part.reshape(groups, -1) for part in parts], axis=1)
    return Stream(packed.astype(np.int32), groups, len(order), each)
