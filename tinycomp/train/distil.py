"""Distillation: a student learns to answer as its teacher does, while its weights and activations are rounded.

The teacher is the user's own float model, so inputs need no labels; whatever augmentation makes of them, the teacher
says what it is. Source: G. Hinton et al., Distilling the Knowledge in a Neural Network, arXiv:1503.02531.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, pruned
from tinycomp.quantize.accuracy import logits_of
from tinycomp.quantize.calibrate import calibrate, stackable, stacked
from tinycomp.quantize.convert import Report
from tinycomp.quantize.data import Data
from tinycomp.quantize.observe import ranges
from tinycomp.quantize.rules import rule_of
from tinycomp.quantize.scheme import scheme
from tinycomp.train.adam import Adam, cosine, root_mean_square
from tinycomp.train.augment import Augment
from tinycomp.train.fake import Grid, Rounding, grid_of
from tinycomp.train.loss import Kind, Loss, kind_of
from tinycomp.train.step import Reals
from tinycomp.train.tape import record, require_derivatives

FEWEST = 20  # cases: fewer leave nothing to choose by
CHOICES = 20  # times that the held-out cases are asked
RECALIBRATED = 5  # epochs between two looks at what range activations have
CALIBRATED_ON = 128  # cases
PART = 64  # cases that are run at once where no gradient is needed
SMALLEST_VARIANCE = 1e-12  # of a teacher that gives one answer
SMALLEST_UNIT = 1e-3  # of a parameter, as a share of its layer's weights: biases that are all zero move as well


@dataclass(frozen=True)
class Settings:
    """How a student is trained.

    epochs: passes over the cases. rate: of Adam, in units of each parameter's root mean square. temperature: of the
    softened answers. held_out: share of the cases that choose the best epoch.
    """

    epochs: int = 60
    batch: int = 32
    rate: float = 0.003
    temperature: float = 2.0
    held_out: float = 0.15
    augment: Augment = field(default_factory=Augment)
    seed: int = 0


class Distance(NamedTuple):
    """A student on the held-out cases. loss: its divergence from the teacher. agreement: share of equal decisions of
    the first output, None where it is no softmax or logistic."""

    loss: float
    agreement: float | None


@dataclass(frozen=True, eq=False)
class Trained:
    """graph: the student with the best epoch's constants; weights lie on the grid of their bits, as float32. before,
    after: that student and this one, both rounded. epoch: the best one, 0 where none was better than none."""

    graph: Graph
    before: Distance
    after: Distance
    epoch: int


def train(
    student: Graph, teacher: Graph, data: Data, bits: int | Mapping[str, int] = 8, settings: Settings | None = None,
    report: Report = lambda what, share: None,
) -> Trained:  # fmt: skip
    """Train the student's constants to answer as the teacher. Both are float32 graphs with inputs and outputs alike.

    bits: of all weights, or by node name (8 where a node is not named). Every weight's scale is symmetric and its
    channel's own; `fake.grid_of` finds it again from the rounded weights. The same arguments give the same constants.
    Raises Unsupported where a layer has no derivative, and where cases cannot share a run; BadInput where the cases
    are too few. Either leaves the caller with the student that it has.
    """
    settings = settings or Settings()
    if len(data) < FEWEST:
        raise BadInput(f"{len(data)} cases; training needs {FEWEST} at least", where="data",
                       fix="give 100 to 500 typical inputs, or go on without training")  # fmt: skip
    for graph in (student, teacher):
        if graph.states or not stackable(graph, data.inputs):
            raise Unsupported("mixes what lies along its inputs' first axis, so cases cannot be trained on together",
                              where=graph.name, fix="go on without training")  # fmt: skip
    return _Training(student, teacher, data, bits, settings).run(report)


def head(graph: Graph) -> Graph:
    """The graph that ends in the logits: what stands before each output's softmax or logistic."""
    outputs = tuple(logits_of(graph, name) for name in graph.outputs)
    needed, nodes = set(outputs), list[Node]()
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    return pruned(replace(graph, nodes=tuple(reversed(nodes)), outputs=outputs))


def weight_axes(graph: Graph) -> dict[str, int]:
    """The float32 constants that are weights, by name, and the axis of their output channels."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        rule = rule_of(node)
        if rule is not None and rule.kind == "weighted" and graph.constant(node.inputs[1]) is not None:
            found[node.inputs[1]] = rule.axis
    return found


def parameters_of(graph: Graph) -> dict[str, Reals]:
    """What is trained: weights, biases, and the constants of ADD, SUB and MUL, by name."""
    trained = ("add", "sub", "mul", "conv2d", "depthwise_conv2d", "fully_connected")
    names = sorted({name for node in graph.nodes if node.op in trained for name in node.inputs})
    found = ((name, graph.constant(name)) for name in names)
    return {name: cast(Reals, data) for name, data in found if data is not None and data.dtype == np.float32}


def with_constants(graph: Graph, values: Mapping[str, Reals]) -> Graph:
    """The graph with other values of some constants."""
    changed = {name: replace(graph.tensors[name], data=v) for name, v in values.items()}
    return replace(graph, tensors={**graph.tensors, **changed})


class _Training:
    """One training: what stays fixed, and the state of the optimiser."""

    def __init__(
        self, student: Graph, teacher: Graph, data: Data, bits: int | Mapping[str, int], settings: Settings
    ) -> None:
        self.student, self.settings = student, settings
        self.graph, self.teacher = head(student), head(teacher)
        self.axes, self.bits = weight_axes(self.graph), bits
        values = parameters_of(self.graph)
        require_derivatives(self.graph, frozenset(values))
        self.rng = np.random.default_rng(settings.seed)
        order = self.rng.permutation(len(data)).tolist()
        held = max(1, round(settings.held_out * len(data)))
        self.data = data.part(order[held:])
        self.inputs = stacked(self.data.inputs)
        self.spread = [x.std(axis=0, keepdims=True) if x.dtype.kind == "f" else x[:1] for x in self.inputs]
        self.judge_inputs = stacked(data.part(order[:held]).inputs)
        self.wanted = _answers(self.teacher, {}, self.judge_inputs, None)
        answers = zip(teacher.outputs, self.wanted, strict=True)
        self.losses = [_loss(teacher, name, w, settings.temperature) for name, w in answers]
        self.adam = Adam(values, _units(self.graph, values))
        self.grids = self._grids()
        self.rounding = self._calibrated()

    def run(self, report: Report) -> Trained:
        """All epochs; the best by the held-out cases."""
        s, started = self.settings, time.monotonic()
        best, before, epoch = self._rounded(), self._distance(), 0
        after, every = before, max(1, s.epochs // CHOICES)
        for done in range(1, s.epochs + 1):
            share = (done - 1) / s.epochs
            report(_left(share, time.monotonic() - started), share)
            self._epoch(share)
            self.grids = self._grids()
            if done % RECALIBRATED == 0:
                self.rounding = self._calibrated()
            if done % every and done < s.epochs:
                continue
            found = self._distance()
            if found.loss < after.loss:
                best, after, epoch = self._rounded(), found, done
        report("trained", 1.0)
        return Trained(with_constants(self.student, best), before, after, epoch)

    def _epoch(self, share: float) -> None:
        """One pass over the cases, when that share of training has gone."""
        s, count = self.settings, len(self.data)
        order = self.rng.permutation(count)
        for start in range(0, count, s.batch):
            chosen = order[start : start + s.batch]
            self._step(chosen, s.rate * cosine(share + start / count / s.epochs))

    def _step(self, chosen: Reals, rate: float) -> None:
        batch = [x[chosen] for x in self.inputs]
        gradients = self._gradients(self.settings.augment(batch, self.spread, self.rng))
        for name, grid in self.grids.items():
            gradients[name] = gradients[name] * grid.inside(self.adam.values[name])
        self.adam.step(gradients, rate)

    def _gradients(self, batch: Sequence[Reals]) -> dict[str, Reals]:
        """Of the divergence from the teacher."""
        values = self._rounded()
        given = dict(zip(self.graph.inputs, batch, strict=True))
        made = record(self.graph, {**given, **values}, frozenset(values), self.rounding)
        wanted = record(self.teacher, dict(zip(self.teacher.inputs, batch, strict=True)), frozenset()).values
        by_output: dict[str, Reals] = {}
        for name, theirs, loss in zip(self.graph.outputs, self.teacher.outputs, self.losses, strict=True):
            by_output[name] = loss(made.values[name], wanted[theirs])[1]
        return made.backward(by_output)

    def _distance(self) -> Distance:
        """On the held-out cases, at temperature 1."""
        found = _answers(self.graph, self._rounded(), self.judge_inputs, self.rounding)
        plain = (replace(loss, temperature=1.0) for loss in self.losses)
        total = sum(loss(f, w)[0] for loss, f, w in zip(plain, found, self.wanted, strict=True))
        return Distance(total, _agreement(self.losses[0].kind, found[0], self.wanted[0]))

    def _grids(self) -> dict[str, Grid]:
        width = {n.inputs[1]: self.bits if isinstance(self.bits, int) else self.bits.get(n.name, 8)
                 for n in self.graph.nodes if len(n.inputs) > 1}  # fmt: skip
        return {name: grid_of(self.adam.values[name], axis, width[name]) for name, axis in self.axes.items()}

    def _rounded(self) -> dict[str, Reals]:
        """All parameters, weights on their grids."""
        values, grids = self.adam.values, self.grids
        return {name: grids[name].rounded(v) if name in grids else v for name, v in values.items()}

    def _calibrated(self) -> Rounding:
        """int8 parameters of what nodes make now."""
        now = with_constants(self.graph, self._rounded())
        few = tuple(x[:CALIBRATED_ON] for x in self.data.inputs)
        quants = scheme(now, ranges(calibrate(now, few), "minmax")).quants
        return Rounding({name: q for name, q in quants.items() if name not in now.inputs})


def _answers(
    graph: Graph, values: Mapping[str, Reals], inputs: Sequence[Reals], rounding: Rounding | None
) -> list[Reals]:
    """The graph's outputs for all cases."""
    parts: list[Mapping[str, Reals]] = []
    for start in range(0, len(inputs[0]), PART):
        given = {name: x[start : start + PART] for name, x in zip(graph.inputs, inputs, strict=True)}
        parts.append(record(graph, {**given, **values}, frozenset(), rounding).values)
    return [np.concatenate([p[name] for p in parts]) for name in graph.outputs]


def _loss(teacher: Graph, output: str, wanted: Reals, temperature: float) -> Loss:
    return Loss(kind_of(teacher, output), temperature, max(float(wanted.var()), SMALLEST_VARIANCE))


def _agreement(kind: Kind, found: Reals, wanted: Reals) -> float | None:
    if kind == "values":
        return None
    pair = (v.argmax(axis=-1) if kind == "classes" else v > 0 for v in (found, wanted))
    return float(np.equal(*pair).mean())


def _units(graph: Graph, values: Mapping[str, Reals]) -> dict[str, float]:
    """How far a rate of 1 moves each parameter: its root mean square, or a small share of its layer's weights'."""
    own = {name: root_mean_square(v) for name, v in values.items()}
    layer = {name: own.get(n.inputs[1], 0.0) for n in graph.nodes for name in n.inputs[1:]}
    return {name: max(size, SMALLEST_UNIT * layer.get(name, 1.0)) for name, size in own.items()}


def _left(share: float, elapsed: float) -> str:
    """What progress is called."""
    if share <= 0:
        return "training"
    seconds = elapsed * (1 - share) / share
    return f"training, {seconds / 60:.0f} min left" if seconds >= 90 else f"training, {seconds:.0f} s left"
