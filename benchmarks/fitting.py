"""Coefficients that are not negative, fitted to counts of steps, and how well they predict steps that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycomp import cost
from tinycomp.cost import rows

RIDGE = 1e-4  # of the diagonal of the normal equations
SMALL = 0.004  # of a step's work: a size that makes no more of any step is left out
FOLDS = 4
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Sample:
    """A step that was counted: its row of the table, its form, its sizes, its work; bytes of its function."""

    key: str
    tags: Mapping[str, str]
    features: Mapping[str, float]
    work: int
    code_sizes: Mapping[str, float]
    code: int


def fit(samples: Sequence[Sample]) -> dict[str, Any]:
    """A row of costs.json. off: median, nine tenths and worst of the relative errors of folds that were left out."""
    made = _terms(samples)
    folds = [list(samples[i::FOLDS]) for i in range(FOLDS)]
    off: list[float] = []
    for i, held in enumerate(folds):
        row = cost.row(_terms([s for k, fold in enumerate(folds) if k != i for s in fold]))
        off += errors(held, row)
    found = sorted(off) or [1.0]
    made["off"] = [round(found[min(len(found) - 1, int(q * len(found)))], 3) for q in (0.5, 0.9, 1.0)]
    made["samples"] = len(samples)
    return made


def errors(samples: Sequence[Sample], row: cost.Row) -> list[float]:
    """Relative errors of the predicted work of samples whose form is known."""
    return [
        abs(sum(v * s.features.get(n, 0.0) for n, v in row.terms.items()) / s.work - 1)
        for s in samples if cost.known_form(s.tags, row)
    ]  # fmt: skip


def _terms(samples: Sequence[Sample]) -> Any:
    code = {s.code: s for s in samples if s.code}.values()
    return {
        "terms": coefficients([s.features for s in samples], [s.work for s in samples]),
        "code": coefficients([s.code_sizes for s in code], [s.code for s in code]),
        "seen": {tag: "|".join(sorted({s.tags.get(tag, "False") for s in samples}))
                 for tag in sorted({tag for s in samples for tag in s.tags})},
    }  # fmt: skip


def coefficients(sizes: Sequence[Mapping[str, float]], wanted: Sequence[float]) -> dict[str, float]:
    """What each size costs, so that the sums come relatively nearest to what is wanted."""
    names = sorted({name for s in sizes for name in s})
    if not names:
        return {}
    a = np.array([[s.get(name, 0.0) for name in names] for s in sizes]) / np.array(wanted, float)[:, None]
    scale = a.max(axis=0)
    a = a / scale
    x = nonnegative(a, np.ones(len(sizes)))
    kept = np.flatnonzero(x > SMALL)
    if len(kept):
        x = np.zeros(len(names))
        x[kept] = nonnegative(a[:, kept], np.ones(len(sizes)))
    return {name: float(f"{v:.4g}") for name, v in zip(names, x / scale, strict=True) if v > 0}


def nonnegative(a: Floats, b: Floats) -> Floats:
    """x ≥ 0 that minimises |a x − b| (Lawson and Hanson's active set, Solving Least Squares Problems, ch. 23).

    By the normal equations, with a ridge: of sizes that depend on each other, all get a share.
    """
    gram, right = a.T @ a, a.T @ b
    gram += np.diag(RIDGE * np.diag(gram))
    n, x = len(right), np.zeros(len(right))
    active = np.zeros(n, bool)
    for _ in range(3 * n):
        gradient = np.where(active, -np.inf, right - gram @ x)
        best = int(gradient.argmax())
        if gradient[best] < 1e-7:
            break
        active[best] = True
        for _ in range(n):
            trial = np.zeros(n)
            trial[active] = np.linalg.solve(gram[np.ix_(active, active)], right[active])
            negative = np.flatnonzero(active & (trial <= 0))
            if not len(negative):
                break
            ratios = x[negative] / np.maximum(x[negative] - trial[negative], 1e-300)
            x = np.maximum(x + ratios.min() * (trial - x), 0)
            active[negative[int(ratios.argmin())]] = False  # by name: rounding may leave it a little above zero
            active &= (x > 1e-12) | (np.arange(n) == best)
            x[~active] = 0
        x = np.maximum(trial, 0)
    return x


def sample(step: Any, graph: Any, work: int, code: int) -> Sample:
    """A counted step."""
    return Sample(rows.key(step), rows.tags(step), rows.features(step, graph), work, rows.code_sizes(step, graph), code)
