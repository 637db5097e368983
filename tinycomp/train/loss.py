"""How far a student is from its teacher: values and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinycomp.ir import Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.accuracy import logits_of
from tinycomp.train.pointwise import log_softmax
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
