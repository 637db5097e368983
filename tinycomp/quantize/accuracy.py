"""An integer graph against its float graph: agreement, signal-to-quantization-noise ratios, scores by labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tinycomp import interpret
from tinycomp.ir import Array, Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.quantize.calibrate import Progress, batches
from tinycomp.quantize.labels import Labels
from tinycomp.quantize.observe import Floats
from tinycomp.quantize.to_int8 import as_inputs

LAST_LAYERS = 5
BEST_DB = 150.0  # stands for no noise at all, which has no logarithm


class Score(NamedTuple):
    """A figure by labels. name: top1, accuracy, auc or mse."""

    name: str
    float32: float
    quantized: float


@dataclass(frozen=True)
class Accuracy:
    """How near the integer graph is.

    cases: how many were run. sqnr_db: of the logits (an output before its softmax or logistic), all cases together, the
    lowest of all outputs; case_db: the mean over cases of each case's own. agreement: share of equal decisions, None
    for a model that makes none; answers: how many different decisions the float model made. layers: SQNR by node name,
    in order. confusion: cases by their label's class (row) and the integer model's (column), where labels are classes.
    """

    cases: int
    sqnr_db: float
    case_db: float
    agreement: float | None
    answers: int | None
    layers: Mapping[str, float]
    score: Score | None = None
    confusion: Sequence[Sequence[int]] | None = None

    @property
    def figure(self) -> float:
        """What corrections are judged by, in dB: the logits, and the last layers, whose many values say more of few
        cases."""
        last = list(self.layers.values())[-LAST_LAYERS:] or [self.sqnr_db]
        return (self.sqnr_db + self.case_db) / 4 + sum(last) / len(last) / 2

    @property
    def worst_layer(self) -> tuple[str, float] | None:
        """The node of lowest SQNR."""
        return min(self.layers.items(), key=lambda item: item[1]) if self.layers else None

    def facts(self) -> dict[str, Any]:
        """Plain data for report.json."""
        worst = self.worst_layer
        return {
            "cases": self.cases,
            "logit_sqnr_db": round(self.sqnr_db, 2),
            "agreement": None if self.agreement is None else round(self.agreement, 4),
            "worst_layer": worst and {"name": worst[0], "sqnr_db": round(worst[1], 2)},
            "layers": [{"name": name, "sqnr_db": round(db, 2)} for name, db in self.layers.items()],
            "score": self.score and {
                "name": self.score.name,
                "float32": round(self.score.float32, 4),
                "quantized": round(self.score.quantized, 4),
            },
            "confusion": self.confusion,
        }  # fmt: skip


@dataclass
class _Power:
    """Signal and noise, added up."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, wanted: Floats, found: Floats) -> None:
        self.signal += float((wanted**2).sum())
        self.noise += float(((wanted - found) ** 2).sum())

    @property
    def db(self) -> float:
        return decibels(self.signal, self.noise)


@dataclass
class _Seen:
    """What is collected over the batches."""

    layers: dict[str, _Power] = field(default_factory=dict[str, _Power])
    logits: dict[str, _Power] = field(default_factory=dict[str, _Power])
    by_case: list[float] = field(default_factory=list[float])
    wanted: list[Floats] = field(default_factory=list[Floats])
    found: list[Floats] = field(default_factory=list[Floats])


def decibels(signal: float, noise: float) -> float:
    """10·log10 of the ratio, at most BEST_DB."""
    if noise <= signal * 10 ** (-BEST_DB / 10):
        return BEST_DB
    return 10 * math.log10(max(signal, 1e-30) / noise)


def measure(
    wanted: Graph, found: Graph, inputs: Sequence[Array], labels: Labels | None = None,
    scale: Mapping[str, Floats] | None = None, progress: Progress = lambda done: None,
) -> Accuracy:  # fmt: skip
    """The integer graph `found` against the float graph `wanted`. inputs: [cases, *shape] for each.

    Layers are compared by their tensors' names, where these have kept their shapes. scale: what the channels of some
    tensors have been divided by; they are compared as they were.
    """
    seen, done, scale = _Seen(), 0, scale or {}
    before = {name: logits_of(wanted, name) for name in wanted.outputs}
    same = {
        name for name, t in wanted.tensors.items() if name in found.tensors and found.tensors[name].shape == t.shape
    }
    compared = [n for n in wanted.nodes if n.outputs[0] in same]
    for batch in batches(wanted, inputs):
        ours = interpret.run(wanted, batch.inputs, keep=True)
        theirs = interpret.run(found, as_inputs(found, batch.inputs), keep=True)
        for node in compared:
            name = node.outputs[0]
            if wanted.tensors[name].dtype == "float32" and name in theirs:
                factor = scale.get(name, 1.0)
                pair = real_values(ours, name, wanted) * factor, real_values(theirs, name, found) * factor
                seen.layers.setdefault(node.name, _Power()).add(*pair)
        for output, name in before.items():
            a, b = (
                real_values(v, n, g) for v, n, g in ((ours, name, wanted), (theirs, _known(found, name, output), found))
            )
            if a.shape != b.shape:
                continue
            seen.logits.setdefault(output, _Power()).add(a, b)
            noise = ((a - b).reshape(batch.cases, -1) ** 2).sum(axis=1)
            signal = (a.reshape(batch.cases, -1) ** 2).sum(axis=1)
            seen.by_case += [decibels(s, n) for s, n in zip(signal.tolist(), noise.tolist(), strict=True)]
        first = wanted.outputs[0]
        seen.wanted.append(real_values(ours, first, wanted).reshape(batch.cases, -1))
        seen.found.append(real_values(theirs, first, found).reshape(batch.cases, -1))
        done += batch.cases
        progress(done)
    return _summary(seen, wanted, inputs, labels)


def logits_of(graph: Graph, output: str) -> str:
    """What an output is the softmax or logistic of, through reshapes; the output itself where there is neither."""
    name = output
    while (node := graph.producer(name)) is not None:
        if isinstance(node.attrs, (Softmax, Logistic)):
            return node.inputs[0]
        if not isinstance(node.attrs, Reshape):
            break
        name = node.inputs[0]
    return output


def _known(graph: Graph, name: str, output: str) -> str:
    return name if name in graph.tensors else output


def real_values(values: Mapping[str, Array], name: str, graph: Graph) -> Floats:
    """A tensor's values as real numbers."""
    t = graph.tensors[name]
    value = values[name].astype(np.float64)
    return value if t.quant is None or t.dtype == "float32" else (value - t.zero_point) * t.scale


def _summary(seen: _Seen, graph: Graph, inputs: Sequence[Array], labels: Labels | None) -> Accuracy:
    wanted, found = np.concatenate(seen.wanted), np.concatenate(seen.found)
    sqnr = min((power.db for power in seen.logits.values()), default=BEST_DB)
    case_db = float(np.mean(seen.by_case)) if seen.by_case else BEST_DB
    layers = {name: power.db for name, power in seen.layers.items()}
    score = None if labels is None else Score(*_scores(labels, wanted, found, inputs))
    decisions = _decisions(graph, wanted), _decisions(graph, found)
    if decisions[0] is None or decisions[1] is None:
        return Accuracy(len(wanted), sqnr, case_db, None, None, layers, score)
    agreement = float((decisions[0] == decisions[1]).mean())
    table = None if labels is None or labels.kind != "class" else _confusion(labels.values, found)
    return Accuracy(len(wanted), sqnr, case_db, agreement, len(np.unique(decisions[0])), layers, score, table)


def _confusion(label: Array, found: Floats) -> list[list[int]]:
    """How many cases of each class (row) were taken for each (column)."""
    classes = found.shape[1]
    counts = np.bincount(label.astype(np.int64) * classes + found.argmax(axis=1), minlength=classes**2)
    return counts.reshape(classes, classes).tolist()


def _decisions(graph: Graph, values: Floats) -> Array | None:
    """The class along the output's last axis, or the side of one half for a single probability."""
    out = graph.tensors[graph.outputs[0]]
    if out.dtype != "float32" or out.shape == graph.tensors[graph.inputs[0]].shape:
        return None
    classes = out.shape[-1] if out.shape else 1
    if classes > 1:
        return values.reshape(-1, classes).argmax(axis=1)
    return values > 0.5 if logits_of(graph, graph.outputs[0]) != graph.outputs[0] else None


def _scores(labels: Labels, wanted: Floats, found: Floats, inputs: Sequence[Array]) -> tuple[str, float, float]:
    """The name of the score, then that of the float and of the integer outputs [cases, elements]."""
    y = labels.values
    if labels.kind == "class":
        a, b = (float((v.argmax(axis=1) == y).mean()) for v in (wanted, found))
        return "top1", a, b
    if labels.kind == "binary":
        a, b = (float(((v[:, 0] > 0.5) == y).mean()) for v in (wanted, found))
        return "accuracy", a, b
    if labels.kind == "anomaly":
        x = inputs[0].reshape(len(wanted), -1).astype(np.float64)
        a, b = (area_under_curve(((v - x) ** 2).mean(axis=1), y) for v in (wanted, found))
        return "auc", a, b
    a, b = (float(((v - y.astype(np.float64)) ** 2).mean()) for v in (wanted, found))
    return "mse", a, b


def area_under_curve(score: Floats, label: Array) -> float:
    """Probability that an anomaly (label 1) scores above a normal case, ties counting half; 0.5 without either kind."""
    bad, good = score[label == 1], score[label == 0]
    if not len(bad) or not len(good):
        return 0.5
    ordered = np.sort(good)
    below, up_to = np.searchsorted(ordered, bad, "left"), np.searchsorted(ordered, bad, "right")
    return float((below + up_to).mean() / 2 / len(good))
