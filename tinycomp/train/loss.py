"""How far a student is from its teacher and from labels, and regularisation: values and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinycomp.ir import Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.accuracy import logits_of
from tinycomp.quantize.labels import Labels
from tinycomp.train.pointwise import log_softmax, sigmoid
from tinycomp.train.step import Reals

Kind = Literal["classes", "truth", "values"]


def kind_of(graph: Graph, output: str) -> Kind:
    """What an output is: the softmax or the logistic of its logits, or values as they are."""
    name = logits_of(graph, output)
    found = next((n.attrs for n in graph.consumers(name) if isinstance(n.attrs, (Softmax, Logistic))), None)
    return "values" if name == output or found is None else "classes" if isinstance(found, Softmax) else "truth"


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of one output on logits [cases, …], by its kind. variance: of the teacher's, for values."""

    kind: Kind
    temperature: float
    variance: float

    def __call__(self, found: Reals, wanted: Reals) -> tuple[float, Reals]:
        """The mean over cases of the divergence from the teacher's logits `wanted`, and its gradient by `found`.

        classes: T² · KL(softmax(wanted/T) ‖ softmax(found/T)) (Hinton et al., arXiv:1503.02531). truth: the same of
        the two probabilities that a logistic stands for. values: mean squared error as a share of the variance.
        """
        cases, t = len(found), self.temperature
        if self.kind == "values":
            error = found - wanted
            each = found.size * self.variance
            return float((error**2).sum() / each), (2 / each * error).astype(found.dtype)
        if self.kind == "truth":
            pair = [np.stack([v / 2, -v / 2], axis=-1) for v in (found, wanted)]
            value, by_pair = Loss("classes", t, 1.0)(*pair)
            return value, (by_pair[..., 0] - by_pair[..., 1]) / 2
        a, b = log_softmax(found / t), log_softmax(wanted / t)
        p = np.exp(b)
        return float((p * (b - a)).sum() * t * t / cases), ((np.exp(a) - p) * (t / cases)).astype(found.dtype)

    def by_labels(self, found: Reals, labels: Labels) -> tuple[float, Reals]:
        """Cross-entropy with labels of the batch's cases, or the squared error where they are values; its gradient."""
        cases = len(found)
        if labels.kind == "values":
            return Loss("values", 1.0, self.variance)(found, labels.values.reshape(found.shape).astype(found.dtype))
        if labels.kind == "binary":
            y = labels.values.reshape(found.shape).astype(found.dtype)
            p, _ = sigmoid(found)
            value = float((np.logaddexp(0, found) - y * found).mean())
            return value, ((p - y) / found.size).astype(found.dtype)
        rows = found.reshape(cases, -1)
        logs, at = log_softmax(rows), (np.arange(cases), labels.values.astype(np.int64))
        slopes = np.exp(logs)
        slopes[at] -= 1
        return float(-logs[at].mean()), (slopes / cases).reshape(found.shape).astype(found.dtype)


@dataclass(frozen=True)
class Penalty:
    """What weights cost besides the loss: l1 · Σ|w| + l2/2 · Σw² + group_lasso · Σ over channels of ‖w‖."""

    l1: float = 0.0
    l2: float = 0.0
    group_lasso: float = 0.0

    def __call__(self, weights: Reals, axis: int) -> tuple[float, Reals]:
        """The cost of one layer's weights, whose output channels lie along the axis, and its gradient."""
        others = tuple(i for i in range(weights.ndim) if i != axis)
        norms = np.sqrt((weights**2).sum(axis=others, keepdims=True))
        cost = self.l1 * np.abs(weights).sum() + self.l2 / 2 * (weights**2).sum() + self.group_lasso * norms.sum()
        slopes = self.l1 * np.sign(weights) + self.l2 * weights
        slopes = slopes + self.group_lasso * weights / np.maximum(norms, np.finfo(weights.dtype).tiny)
        return float(cost), slopes.astype(weights.dtype)

    @property
    def any(self) -> bool:
        """Something costs something."""
        return bool(self.l1 or self.l2 or self.group_lasso)
