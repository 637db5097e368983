"""Observers: from what was seen of a tensor's values to the range that its 256 steps are spread over.

Statistics are a histogram that grows as values come in, so one pass over the data serves every observer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinycomp.ir import Array

Floats = NDArray[np.float64]
Observer = Literal["minmax", "percentile", "mse", "entropy"]

BINS = 8192  # over [−limit, limit); a doubling of the limit halves the resolution of what is there already
STEPS = 256  # of int8
TAIL = 1e-4  # share of the values that "percentile" leaves out at each end
SHRINK = np.linspace(0.3, 1.0, 36)  # fractions of the extremes that "mse" tries
ENTROPY_STARTS = 48  # clipping thresholds that "entropy" tries


class Range(NamedTuple):
    """Real values that a tensor's integers must reach, both ends included; 0 is made to lie inside."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Statistics:
    """What was seen of one tensor.

    counts [BINS]: values in equal bins over [−limit, limit). channel_low, channel_high: extremes for each index of the
    last axis.
    """

    low: float
    high: float
    limit: float
    counts: Floats
    channel_low: Floats
    channel_high: Floats

    @property
    def centres(self) -> Floats:
        """The middle of each bin."""
        return (np.arange(BINS) + 0.5) * (2 * self.limit / BINS) - self.limit


@dataclass
class Recorder:
    """Statistics of one tensor while they are collected."""

    limit: float = 0.0
    counts: Floats = field(default_factory=lambda: np.zeros(BINS))
    channel_low: Floats | None = None
    channel_high: Floats | None = None

    def add(self, values: Array) -> None:
        """Take in a batch of float32 values."""
        rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        if self.channel_low is None or self.channel_high is None:
            self.channel_low, self.channel_high = low, high
        else:
            self.channel_low, self.channel_high = np.minimum(self.channel_low, low), np.maximum(self.channel_high, high)
        self._widen(float(max(-low.min(), high.max(), 0.0)))
        index = (rows.reshape(-1) * np.float32(BINS / 2 / self.limit) + np.float32(BINS / 2)).astype(np.int32)
        self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def _widen(self, largest: float) -> None:
        """Double the limit, merging pairs of bins, until the largest magnitude lies inside."""
        if self.limit == 0.0:
            self.limit = 2.0 ** math.ceil(math.log2(largest * 1.001)) if largest > 1e-30 else 1.0
        while largest >= self.limit:
            inner = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([np.zeros(BINS // 4), inner, np.zeros(BINS // 4)])
            self.limit *= 2

    def statistics(self) -> Statistics:
        """What was seen so far. Nothing seen counts as zeros."""
        low = np.zeros(1) if self.channel_low is None else self.channel_low
        high = np.zeros(1) if self.channel_high is None else self.channel_high
        return Statistics(float(low.min()), float(high.max()), self.limit or 1.0, self.counts, low, high)


def minmax(seen: Statistics) -> Range:
    """Everything that was seen."""
    return Range(seen.low, seen.high)


def percentile(seen: Statistics) -> Range:
    """All but a ten-thousandth of the values at each end. An end at exactly 0, as after RELU, stays."""
    share = np.cumsum(seen.counts) / max(seen.counts.sum(), 1.0)
    width = 2 * seen.limit / BINS
    low = float(np.searchsorted(share, TAIL)) * width - seen.limit
    high = float(np.searchsorted(share, 1 - TAIL) + 1) * width - seen.limit
    return _inside(seen, low, high)


def mse(seen: Statistics) -> Range:
    """The range of least mean squared error: rounding against clipping, each end shrunk in turn."""
    best = minmax(seen)
    occupied = np.flatnonzero(seen.counts)
    centres, counts = seen.centres[occupied], seen.counts[occupied]
    for _ in range(2):
        lows = [Range(seen.low * f, best.high) for f in SHRINK] if seen.low < 0 else [best]
        best = min(lows, key=lambda r: _squared_error(r, centres, counts))
        highs = [Range(best.low, seen.high * f) for f in SHRINK] if seen.high > 0 else [best]
        best = min(highs, key=lambda r: _squared_error(r, centres, counts))
    return best


def _squared_error(candidate: Range, centres: Floats, counts: Floats) -> float:
    """Squared error of all values; inside the range step² / 12 each, outside the distance to it squared."""
    low, high = min(candidate.low, 0.0), max(candidate.high, 0.0)
    step = (high - low) / (STEPS - 1)
    beyond = np.maximum(low - centres, 0) + np.maximum(centres - high, 0)
    return float((counts * np.where(beyond > 0, beyond**2, 0.0)).sum() + counts.sum() * step**2 / 12)


def entropy(seen: Statistics) -> Range:
    """The range whose 256 steps keep the distribution best, by Kullback-Leibler divergence.

    Source: S. Migacz, 8-bit inference with TensorRT (GTC 2017), for both ends at once.
    """
    extreme = max(-seen.low, seen.high)
    if extreme <= 0:
        return minmax(seen)
    candidates = [extreme * f for f in np.linspace(0.2, 1.0, ENTROPY_STARTS)]
    best = min(candidates, key=lambda t: _divergence(seen, t))
    return _inside(seen, -best, best)


def _divergence(seen: Statistics, threshold: float) -> float:
    """Of the clipped distribution from its form in 256 steps."""
    kept = _inside(seen, -threshold, threshold)
    centres, counts = seen.centres, seen.counts
    inside = (centres >= kept.low) & (centres <= kept.high)
    if inside.sum() < 2:
        return math.inf
    p = counts[inside].copy()
    p[0] += counts[centres < kept.low].sum()
    p[-1] += counts[centres > kept.high].sum()
    step = np.minimum(np.arange(len(p)) * STEPS // len(p), STEPS - 1)
    held = counts[inside] > 0
    total = np.bincount(step, counts[inside], STEPS)
    filled = np.maximum(np.bincount(step, held, STEPS), 1)
    q = np.where(held, (total / filled)[step], 0.0)
    p, q = p / max(p.sum(), 1.0), q / max(q.sum(), 1.0)
    wanted = p > 0
    return float((p[wanted] * np.log(p[wanted] / np.maximum(q[wanted], 1e-12))).sum())


def _inside(seen: Statistics, low: float, high: float) -> Range:
    """The range, no wider than what was seen."""
    return Range(max(low, seen.low), min(high, seen.high))


OBSERVERS: dict[Observer, Callable[[Statistics], Range]] = {
    "entropy": entropy, "minmax": minmax, "mse": mse, "percentile": percentile,
}  # fmt: skip


def ranges(seen: Mapping[str, Statistics], observer: Observer) -> dict[str, Range]:
    """The range of each tensor."""
    return {name: OBSERVERS[observer](statistics) for name, statistics in seen.items()}
