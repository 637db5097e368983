"""The ladder: from the plain int8 model to ever smaller ones, until the first that fits without loss.

Rungs: int8 as it is; weights of 4 bits; channels pruned, with weights of 8 and of 4 bits; the best of these distilled.
What fits is judged on cases that took no part in making it; the best recipe is then carried out on all cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from tinycomp import build as builder
from tinycomp.errors import BadInput, DoesNotFit, Unsupported
from tinycomp.fit.distance import answers, distance
from tinycomp.fit.estimate import Estimate
from tinycomp.fit.goal import Figures, Made, Wanted, exceeded, limits, made, missed
from tinycomp.fit.prune import Pruner
from tinycomp.fit.recipe import SCHEMES, Recipe, Scheme, quantized, ready, sketched, student
from tinycomp.frontend import Model
from tinycomp.ir import Graph
from tinycomp.quantize.accuracy import Accuracy, measure
from tinycomp.quantize.calibrate import stackable
from tinycomp.quantize.convert import Report
from tinycomp.quantize.data import Data

FEWEST = 64  # cases: fewer cannot be fitted to and judged by
PATH_CASES = 125  # that cuts are fitted to, and as many that judge them
LOSS = 0.002  # of accuracy or agreement: less is no loss,
HARMLESS = 0.01  # if the divergence is below this too: of few cases it says more
SPARE = {"flash": 0.995, "cycles": 0.995, "ms": 0.995}  # of limits: other constants move code a little
FINALISTS = 2  # that are distilled
EPOCHS = 60  # of distillation


@dataclass(frozen=True)
class Candidate:
    """A recipe, what it costs, and how it does on cases that it has not seen. harm: `distance` from the float model."""

    recipe: Recipe
    figures: Figures
    accuracy: Accuracy
    harm: float

    @property
    def figure(self) -> float:
        """The score by labels where there is one, else the agreement with the float model, else 1."""
        score = self.accuracy.score
        if score is not None and score.name != "mse":
            return score.quantized
        return 1.0 if self.accuracy.agreement is None else self.accuracy.agreement

    @property
    def loss(self) -> float:
        """What the figure is below the float model's."""
        score = self.accuracy.score
        return (score.float32 if score is not None and score.name != "mse" else 1.0) - self.figure

    @property
    def lossless(self) -> bool:
        """Nothing is left to gain."""
        return self.loss <= LOSS and self.harm <= HARMLESS


class Found(NamedTuple):
    """The answer. made: the model to write. small: its float graph. candidates: all that were judged, the plain int8
    model first. limits: by figure."""

    made: Made
    small: Graph
    chosen: Candidate
    candidates: Sequence[Candidate]
    limits: Mapping[str, float]


class _Rung(NamedTuple):
    """A recipe whose figures are within the limits."""

    recipe: Recipe
    figures: Figures


def fit(model: Model, source: Graph, data: Data, wanted: Wanted, options: builder.Options, seed: Recipe,
        report: Report = lambda what, share: None, epochs: int = EPOCHS) -> Found:  # fmt: skip
    """The best model within the board's budget and the user's. seed: a recipe of nothing, with the files' hashes.

    Raises BadInput for too little data, Unsupported where the model is not float32 or its cases cannot be run
    together, DoesNotFit where nothing meets the budget or the accuracy.
    """
    if len(data) < FEWEST:
        raise BadInput(f"{len(data)} cases are too few to fit a model to: it needs {FEWEST} at least", where="--data",
                       fix="give 250 to 500 typical inputs; they need no labels")  # fmt: skip
    search = _Search(model, source, data, options, report)
    return search.run(wanted, seed, epochs)


class _Search:
    """The model, its data, and what has been judged so far."""

    def __init__(self, model: Model, source: Graph, data: Data, options: builder.Options, report: Report) -> None:
        self.model, self.data, self.options, self.report = model, data, options, report
        self.graph = ready(source)
        if self.graph.states or not stackable(self.graph, data.inputs):
            raise Unsupported("mixes what lies along its inputs' first axis, so its layers cannot be fitted to many "
                              "cases at once", where=model.path, fix="build it as it is")  # fmt: skip
        self.learning = data.part([k for k in range(len(data)) if k % 4])
        self.judging = data.part(range(0, len(data), 4))
        self.answers = answers(self.graph, self.judging.inputs)
        self.judged: list[Candidate] = []
        self.thinnest = self.graph

    def run(self, wanted: Wanted, seed: Recipe, epochs: int) -> Found:
        """Up the ladder."""
        self.report("quantizing the plain model", 0.0)
        plain = self._made(self.graph, seed)
        most = limits(plain, wanted)
        chosen = self._judge(seed, plain.figures)
        short = exceeded(plain.figures, most)
        if short:
            saves = short.keys() & {"weights", "flash"}  # fewer bits save neither time nor RAM
            schemes: list[Scheme] = [s for s in SCHEMES if s == "int8" or saves]
            chosen = self._best(schemes, seed, Estimate(self.graph, plain, most, frozenset(short)), most, epochs)
        self.report("the chosen model, on all cases", 0.85)
        small = student(self.graph, self.data, chosen.recipe)
        result = plain if chosen.recipe == seed else self._made(small, chosen.recipe)
        chosen = replace(chosen, figures=result.figures)
        self.report("done", 1.0)
        if exceeded(result.figures, most):
            raise DoesNotFit(missed(result.figures, most), where="the best candidate", fix="loosen the budget a little")
        if wanted.min_accuracy is not None and chosen.figure < wanted.min_accuracy:
            raise self._too_poor(chosen, wanted.min_accuracy)
        return Found(result, small, chosen, tuple(self.judged), most)

    def _made(self, small: Graph, recipe: Recipe) -> Made:
        return made(quantized(small, self.data, recipe), self.model, self.options)

    def _judge(self, recipe: Recipe, figures: Figures) -> Candidate:
        """Carry the recipe out on the cases to learn from, and judge it on the others."""
        small = student(self.graph, self.learning, recipe, self._training)
        found = quantized(small, self.learning, recipe).graph
        accuracy = measure(self.graph, found, self.judging.inputs, self.judging.labels)
        harm = distance(self.graph, self.answers, answers(found, self.judging.inputs))
        self.judged.append(Candidate(recipe, figures, accuracy, harm))
        return self.judged[-1]

    def _training(self, what: str, share: float) -> None:
        self.report(what, 0.5 + 0.3 * share)

    def _best(self, schemes: Sequence[Scheme], seed: Recipe, estimate: Estimate, most: Mapping[str, float],
              epochs: int) -> Candidate:  # fmt: skip
        """The candidate of least harm, the first without loss ending the search."""
        found: list[Candidate] = []
        for rung in self._rungs(schemes, seed, estimate, most):
            self.report("judging a candidate", 0.4)
            found.append(self._judge(*rung))
            if not rung.recipe.gone and found[-1].lossless:
                return found[-1]
        if not found:
            raise self._nothing(most, estimate)
        found.sort(key=lambda c: c.harm)
        if not found[0].lossless and epochs:
            found += self._distilled(found[:FINALISTS], epochs)
        return min(found, key=lambda c: c.harm)

    def _distilled(self, finalists: Sequence[Candidate], epochs: int) -> list[Candidate]:
        """The finalists once more, trained; none where a layer has no derivative."""
        try:
            return [self._judge(replace(c.recipe, epochs=epochs), c.figures) for c in finalists]
        except Unsupported as reason:
            self.report(f"no distillation: {reason}", 0.8)
            return []

    def _rungs(self, schemes: Sequence[Scheme], seed: Recipe, estimate: Estimate,
               most: Mapping[str, float]) -> Iterator[_Rung]:  # fmt: skip
        """For each scheme the first cut that fits; what fits without a cut comes first."""
        waiting: list[Scheme] = list(schemes)
        spared = {name: SPARE.get(name, 1.0) * limit for name, limit in most.items()}
        for graph, gone in self._cuts(estimate):
            self.thinnest = graph
            self.report("pruning", 0.1 + 0.3 * estimate.progress(graph))
            near: list[Scheme] = [s for s in waiting if estimate.plausible(graph, s)]
            for scheme in near:
                figures = made(sketched(graph, self.learning, scheme), self.model, self.options).figures
                if not exceeded(figures, spared):
                    waiting.remove(scheme)
                    yield _Rung(replace(seed, scheme=scheme, gone=gone), figures)
            if not waiting:
                return

    def _cuts(self, estimate: Estimate) -> Iterator[tuple[Graph, tuple[int, ...]]]:
        """The whole graph, then ever thinner ones, each with the groups of channels that it has lost."""
        yield self.graph, ()
        pruner = Pruner(self.graph, *self._halves())  # takes its time, so not before the whole graph has been refused
        for cut in islice(pruner.path(estimate.price), 1, None):
            yield cut.graph, pruner.gone(cut)

    def _halves(self) -> tuple[Data, Data]:
        """Cases that cuts are repaired on, and those that judge them."""
        first, second = (self.learning.part(range(k, len(self.learning), 2)) for k in (0, 1))
        return first.spread(PATH_CASES), second.spread(PATH_CASES)

    def _nothing(self, most: Mapping[str, float], estimate: Estimate) -> DoesNotFit:
        """Nothing meets the budget: the lower bound."""
        scheme: Scheme = "int4" if estimate.bytes_short else "int8"
        least = made(sketched(self.thinnest, self.learning, scheme), self.model, self.options).figures
        return DoesNotFit(f"nothing meets the budget: with as few channels as can be, {missed(least, most)}",
                          where="fit", fix="loosen the budget, or give a smaller model")  # fmt: skip

    def _too_poor(self, chosen: Candidate, least: float) -> DoesNotFit:
        near = sorted(self.judged, key=lambda c: -c.figure)[:3]
        told = "; ".join(f"{c.figure:.3f} at {c.figures.weights:,} bytes of weights, {c.figures.flash:,} of flash, "
                         f"{c.figures.ram:,} of RAM" for c in near)  # fmt: skip
        return DoesNotFit(f"the best model within the budget reaches {chosen.figure:.3f}, {least:g} is asked for; "
                          f"nearest: {told}", where="--min-accuracy", fix="loosen one of them")  # fmt: skip
