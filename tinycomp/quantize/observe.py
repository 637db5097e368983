"""Observers: from what was seen of a tensor's values to the range that its 256 steps are spread over.

Statistics are a histogram that grows as values come in, so one pass over the data serves every observer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinycomp.errors import BadInput
from tinycomp.ir import Array

Floats = NDArray[np.float64]
Observer = Literal["minmax", "percentile", "mse", "entropy"]

BINS = 8192  # over [−limit, limit); a doubling of the limit halves the resolution of what is there already
STEPS = 256  # of int8
WIDE_STEPS = 65_535  # of int16, which is symmetric
TAIL = 1e-4  # share of the values that "percentile" leaves out at each end
FRACTIONS = np.linspace(0.3, 2.0, 69)  # of the extremes that "mse" tries
TAIL_CASES = 0.1  # share of the cases whose extremes the tail is fitted to,
FEWEST_TAIL = 5  # and how many at least
HEAVIEST = 0.25  # shape of the heaviest tail that is believed
ENTROPY_STARTS = 48  # clipping thresholds that "entropy" tries


class Range(NamedTuple):
    """Real values that a tensor's integers must reach, both ends included; 0 is made to lie inside."""

    low: float
    high: float


def union(spans: Iterable[Range]) -> Range:
    """The narrowest range that holds all of them, of which there is at least one."""
    every = list(spans)
    return Range(min(s.low for s in every), max(s.high for s in every))


@dataclass(frozen=True, eq=False)
class Statistics:
    """What was seen of one tensor.

    counts [BINS]: values in equal bins over [−limit, limit). channel_low, channel_high: extremes for each index of the
    last axis. case_low, case_high: extremes of each case.
    """

    low: float
    high: float
    limit: float
    counts: Floats
    channel_low: Floats
    channel_high: Floats
    case_low: Floats
    case_high: Floats

    @property
    def centres(self) -> Floats:
        """The middle of each bin."""
        return np.arange(0.5, BINS, dtype=np.float64) * (2 * self.limit / BINS) - self.limit


@dataclass
class Recorder:
    """Statistics of one tensor while they are collected."""

    name: str = ""
    limit: float = 0.0
    counts: Floats = field(default_factory=lambda: np.zeros(BINS))
    channel_low: Floats | None = None
    channel_high: Floats | None = None
    case_low: list[float] = field(default_factory=list[float])
    case_high: list[float] = field(default_factory=list[float])

    def add(self, values: Array, cases: int = 1) -> None:
        """Take in the float32 values of a batch of cases. Raises BadInput where they are not finite."""
        floats = np.asarray(values, np.float32)
        by_case = floats.reshape(cases, -1)
        lowest, highest = by_case.min(axis=1), by_case.max(axis=1)
        if not np.isfinite(lowest + highest).all():
            case = len(self.case_low) + int(np.flatnonzero(~np.isfinite(lowest + highest))[0])
            raise BadInput(f"the float model computes NaN or infinity for calibration case {case}",
                           where=f"tensor {self.name!r}", fix="look at that input, and at the model")  # fmt: skip
        self.case_low += lowest.tolist()
        self.case_high += highest.tolist()
        rows = floats.reshape(-1, values.shape[-1] if values.ndim else 1)
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
            self.limit = 2.0 ** (math.floor(math.log2(largest)) + 1) if largest > 1e-30 else 1.0
        while largest >= self.limit:
            inner = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([np.zeros(BINS // 4), inner, np.zeros(BINS // 4)])
            self.limit *= 2

    def statistics(self) -> Statistics:
        """What was seen so far. Nothing seen counts as zeros."""
        low = np.zeros(1) if self.channel_low is None else self.channel_low
        high = np.zeros(1) if self.channel_high is None else self.channel_high
        ends = (np.array(self.case_low or [0.0]), np.array(self.case_high or [0.0]))
        return Statistics(float(low.min()), float(high.max()), self.limit or 1.0, self.counts, low, high, *ends)


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


def mse(seen: Statistics, steps: int = STEPS) -> Range:
    """The range of least expected squared error on new cases: rounding to steps against clipping, each end in turn.

    What new cases reach beyond the extremes seen is taken from the tail of the cases' extremes, so an end may lie
    outside what was seen, where few large values decide.
    """
    up, down = _clipping(seen, 1.0), _clipping(seen, -1.0)
    best = minmax(seen)
    for _ in range(2):
        best = min(
            (Range(seen.low * f, best.high) for f in FRACTIONS), key=lambda r: _rounding(r, steps) + down(-r.low)
        )
        best = min((Range(best.low, seen.high * f) for f in FRACTIONS), key=lambda r: _rounding(r, steps) + up(r.high))
    return Range(float(best.low), float(best.high))


def _rounding(span: Range, steps: int) -> float:
    """Mean squared error of rounding to steps over the range."""
    return ((max(span.high, 0.0) - min(span.low, 0.0)) / (steps - 1)) ** 2 / 12


def _clipping(seen: Statistics, sign: float) -> Callable[[float], float]:
    """Expected squared error of values beyond a threshold (of the negated values for sign −1), per value.

    Below the start of the tail it is counted. Above, excesses of the cases' extremes follow a generalised Pareto
    distribution fitted by its moments: with shape ξ and scale σ the squared excess over start + t falls as
    (1 + ξ·t/σ)^(2 − 1/ξ).
    """
    extremes = np.sort(seen.case_high if sign > 0 else -seen.case_low)[::-1]
    tail = min(len(extremes) - 1, max(FEWEST_TAIL, round(TAIL_CASES * len(extremes))))
    start = float(extremes[tail])
    excess = extremes[:tail] - start
    total = max(float(seen.counts.sum()), 1.0)
    occupied = np.flatnonzero(seen.counts)
    values, counts = sign * seen.centres[occupied], seen.counts[occupied]

    def counted(threshold: float) -> float:
        return float((counts * np.maximum(values - threshold, 0.0) ** 2).sum()) / total

    if tail < FEWEST_TAIL or excess.max() <= 0:
        return counted
    mean, deviation = float(excess.mean()), float(excess.std(ddof=1))
    shape = min(max(0.5 * (1 - (mean / max(deviation, 1e-6 * mean)) ** 2), -10.0), HEAVIEST)
    scale, at_start = mean * (1 - shape), counted(start)

    def expected(threshold: float) -> float:
        if threshold < start:
            return counted(threshold)
        t = (threshold - start) / scale
        if abs(shape) < 1e-6:
            return at_start * math.exp(-t)
        return at_start * max(1 + shape * t, 0.0) ** (2 - 1 / shape)

    return expected


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
    """The range, no wider than what was seen and 0."""
    return Range(float(max(low, min(seen.low, 0.0))), float(min(high, max(seen.high, 0.0))))


OBSERVERS: dict[Observer, Callable[[Statistics], Range]] = {
    "entropy": entropy, "minmax": minmax, "mse": mse, "percentile": percentile,
}  # fmt: skip


def wide_ranges(seen: Mapping[str, Statistics]) -> dict[str, Range]:
    """The range of each tensor as int16, whose steps are so fine that there is room beyond what was seen."""
    return {name: mse(statistics, WIDE_STEPS) for name, statistics in seen.items()}


def ranges(seen: Mapping[str, Statistics], observer: Observer) -> dict[str, Range]:
    """The range of each tensor."""
    return {name: OBSERVERS[observer](statistics) for name, statistics in seen.items()}
