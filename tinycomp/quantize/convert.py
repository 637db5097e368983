"""A float graph and calibration data in, an integer graph and what it costs in accuracy out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from tinycomp import ops
from tinycomp.errors import BadInput
from tinycomp.ir import Graph, Quant
from tinycomp.quantize.accuracy import Accuracy, measure
from tinycomp.quantize.calibrate import Progress, calibrate, stackable
from tinycomp.quantize.data import Data
from tinycomp.quantize.equalise import equalise
from tinycomp.quantize.fit import Settings, fit, fit_alternatives, nearest
from tinycomp.quantize.mixed import Ceiling, Choice, choose, weight_bytes
from tinycomp.quantize.observe import Floats, Observer, Range, Statistics, minmax, ranges, wide_ranges
from tinycomp.quantize.pools import pools_to_means
from tinycomp.quantize.precision import Precision, computes_in_float, precisions
from tinycomp.quantize.prepare import prepare
from tinycomp.quantize.scheme import Scheme, reach, scheme
from tinycomp.quantize.to_int8 import Io, to_int8
from tinycomp.quantize.trained import without_pairs
from tinycomp.quantize.weights import Integers
from tinycomp.rewrite import PassRecord

Correction = Literal["bias", "clip", "equalise", "mean", "round"]
Report = Callable[[str, float], None]  # what is being done, and the share of everything that is done
Dense = Literal["per-channel", "per-tensor"]

# In the order in which they are tried: what repairs layers first, since it decides how far the others may go.
CORRECTIONS: dict[Correction, str] = {
    "bias": "each layer's bias makes its mean output that of the float model",
    "round": "weights are moved by least squares and rounded for the layer's output",
    "clip": "ranges of least expected squared error",
    "mean": "pools over the whole image become MEAN, with a scale of their own",
    "equalise": "channels are scaled so that all of them use the 256 steps",
}
ON_LAYERS: tuple[Correction, ...] = ("bias", "round")  # they run all cases through the model at once
FEWEST_TO_HALVE = 20  # cases: one half fits, the other judges; with fewer, all of them do both
GAIN_DB = 0.02  # what a correction must bring,
LOSS_DB = 0.2  # and what it may cost the usual case: headroom for rare large outputs is not to blur all others,
LOSS_SHARE = 0.25  # unless it brings that much more in all
WORK = 8e9  # multiply-accumulates of one run over the cases that layers are fitted to,
FEWEST_CASES = 32  # but no fewer cases,
CASES_THAT_FIT, CASES_THAT_CHOOSE = 512, 128  # and no more; the second while corrections are tried
UNLIKE = 8.0  # times larger or smaller than in training: other units
CASES_THAT_COMPARE = 64  # the losses of layers
POOR_DB, POOR_AGREEMENT = 15.0, 0.9  # below these the user is warned


@dataclass(frozen=True)
class Options:
    """What is wanted.

    io: dtype of inputs and outputs; None for int16 where everything is, else int8. corrections: which may be used.
    always: they are used whether they help or not. observer: for every tensor; None for minmax, mse under "clip".
    dense: scales of the weights of FULLY_CONNECTED. precision: what weighted layers compute in, int16 for all other
    nodes too. layers: what other nodes compute in, by name. ceiling: of the bytes of weights; as many layers as need be
    get int4 weights, those of least loss.
    """

    io: Io | None = None
    corrections: frozenset[Correction] = frozenset(CORRECTIONS)
    always: bool = False
    observer: Observer | None = None
    dense: Dense = "per-channel"
    precision: Precision = "int8"
    layers: Mapping[str, Precision] = field(default_factory=dict[str, Precision])
    ceiling: Ceiling | None = None

    @property
    def ends(self) -> Io:
        """The dtype of inputs and outputs."""
        return self.io or ("int16" if self.precision == "int16" else "int8")


@dataclass(frozen=True)
class Bought:
    """What one correction did, judged by `Accuracy.figure` in dB, and whether it was kept."""

    name: Correction
    before_db: float
    after_db: float
    kept: bool


@dataclass(frozen=True)
class Converted:
    """graph: the integer graph, in a form that a .tflite file can hold. accuracy: on all data, None without
    any. held_out: on cases that took no part in the fit, measured before the last fit to all; None where there were too
    few. bought: in the order tried. choices: what each layer computes in, where that was chosen under a ceiling.
    """

    graph: Graph
    accuracy: Accuracy | None
    held_out: Accuracy | None
    bought: tuple[Bought, ...]
    warnings: tuple[str, ...]
    passes: tuple[PassRecord, ...]
    choices: tuple[Choice, ...] = ()

    def facts(self) -> dict[str, Any] | None:
        """Plain data: `accuracy` of report.json."""
        if self.accuracy is None:
            return None
        held = self.held_out.facts() if self.held_out else None
        corrections = [
            {"name": b.name, "before_db": round(b.before_db, 2), "after_db": round(b.after_db, 2), "kept": b.kept}
            for b in self.bought
        ]
        chosen = [choice.facts() for choice in self.choices]
        return {**self.accuracy.facts(), "held_out": held, "corrections": corrections, "precisions": chosen}


@dataclass(frozen=True)
class _Attempt:
    """A float graph, the integer graph made of it, and by what channels were divided before."""

    wanted: Graph
    found: Graph
    scale: Mapping[str, Floats]

    def on(self, data: Data, progress: Progress) -> Accuracy:
        return measure(self.wanted, self.found, data.inputs, data.labels, self.scale, progress)


class _Prepared(NamedTuple):
    """A form of the float graph, statistics of its tensors, and by what its channels were divided."""

    graph: Graph
    seen: Mapping[str, Statistics]
    scale: Mapping[str, Floats]


def corrections_of(text: str) -> frozenset[Correction]:
    """The names in a list separated by commas, none for "none". Raises BadInput for one that does not exist."""
    wanted = [] if text.strip() == "none" else [name.strip() for name in text.split(",")]
    unknown = next((name for name in wanted if name not in CORRECTIONS), None)
    if unknown is not None:
        raise BadInput(f"there is no correction {unknown!r}", where="--correct",
                       fix=f"name some of {', '.join(CORRECTIONS)}, or none")  # fmt: skip
    return frozenset(name for name in CORRECTIONS if name in wanted)


def convert(
    source: Graph, data: Data, options: Options | None = None, report: Report = lambda what, share: None
) -> Converted:
    """Quantize a float32 graph by the TFLite specification of int8 or, as `options` say, of others.

    `Options(layers={"conv2d_2": "int4"})` gives each named layer the precision that the caller has chosen,
    `Options(ceiling=…)` chooses here.
    Every second case judges the corrections, which are fitted to the others; what was kept is fitted to all at the end.
    Raises Unsupported where the graph is not float32, BadInput where its values leave float32.
    """
    options = options or Options()
    trained = without_pairs(source)
    graph, passes = prepare(trained.graph)
    able = stackable(graph, data.inputs)
    tried: list[Correction] = [
        name for name in CORRECTIONS if name in _usable(options, able, graph, bool(trained.quants))
    ]
    steps = _Steps(report, len(tried) + (3 if options.ceiling is None else 4))
    fitting, judging = _split(data)
    halves = fitting is not judging
    fitting, judging = (_few(part, graph, CASES_THAT_CHOOSE) for part in (fitting, judging))
    trials, choices = _Trials(graph, fitting, options, trained.quants), tuple[Choice, ...]()
    if options.ceiling is not None:
        sizes = {name: size for name, size in weight_bytes(graph).items() if name not in options.layers}
        losses = trials.losses_alone(frozenset(tried) - {"equalise"}, sizes, judging, steps.next("measuring layers"))
        choices = choose(losses, sizes, options.ceiling.of(sum(sizes.values())))
        options = replace(options, layers={**options.layers, **{c.layer: c.precision for c in choices}})
        trials = trials.under(options)
    chosen, best, bought = _corrected(trials, judging, tried, steps)
    last = _Trials(graph, data, options, trained.quants).attempt(chosen, steps.next("quantizing"))
    measuring = steps.next("measuring")
    accuracy = last.on(data, lambda done: measuring(done / len(data)))
    steps.end()
    held = best if halves else None
    warnings = (*data.warnings, *_unlike(graph, data, trained.quants),
                *_warnings(last, accuracy, held, options, able or bool(trained.quants)))  # fmt: skip
    return Converted(last.found, accuracy, held, bought, warnings, passes, choices)


def _corrected(
    trials: _Trials, judging: Data, tried: Sequence[Correction], steps: _Steps
) -> tuple[frozenset[Correction], Accuracy, tuple[Bought, ...]]:
    """The corrections that help, each kept before the next is tried; how near they bring it, and what each bought."""
    chosen: frozenset[Correction] = frozenset()
    best = trials.attempt(chosen, steps.next("calibrating")).on(judging, _silent)
    bought: list[Bought] = []
    for name in tried:
        progress = steps.next(f"trying {name}")
        more: frozenset[Correction] = frozenset((*chosen, name))
        made = trials.attempt(more, progress).on(judging, _silent)
        kept = trials.options.always or _helps(best, made)
        bought.append(Bought(name, best.figure, made.figure, kept))
        chosen, best = (more, made) if kept else (chosen, best)
    return chosen, best, tuple(bought)


def _helps(before: Accuracy, after: Accuracy) -> bool:
    """A correction brings more than it costs."""
    gain, loss = after.figure - before.figure, before.case_db - after.case_db
    return gain > GAIN_DB and loss < max(LOSS_DB, LOSS_SHARE * gain)


def _silent(done: int) -> None:
    """Progress that nobody is told of."""


class _Steps:
    """Progress of steps of about equal length."""

    def __init__(self, report: Report, count: int) -> None:
        self.report, self.count, self.done = report, count, 0

    def next(self, what: str) -> Callable[[float], None]:
        """Begin a step; the function takes the share of it that is done."""
        first, self.done = self.done, self.done + 1
        self.report(what, first / self.count)
        return lambda share: self.report(what, (first + min(share, 1.0)) / self.count)

    def end(self) -> None:
        self.report("done", 1.0)


def _usable(options: Options, able: bool, graph: Graph, trained: bool) -> frozenset[Correction]:
    """The corrections that can do anything: an observer that is named leaves nothing to clip.

    trained: the model's weights and ranges were trained for each other, and stay as they are.
    """
    idle: dict[Correction, bool] = {
        "bias": not able, "clip": options.observer is not None, "mean": pools_to_means(graph) is graph,
        "round": not able,
    }  # fmt: skip
    return frozenset(name for name in options.corrections if not trained and not idle.get(name, False))


def _split(data: Data) -> tuple[Data, Data]:
    """The cases that fit and those that judge."""
    if len(data) < FEWEST_TO_HALVE:
        return data, data
    return data.part(range(0, len(data), 2)), data.part(range(1, len(data), 2))


def _few(data: Data, graph: Graph, most: int = CASES_THAT_FIT) -> Data:
    """As many cases as layers are fitted to in bounded time, spread over all."""
    macs = sum(ops.operator(node).macs(node, graph) for node in graph.nodes)
    return data.spread(int(min(max(WORK / max(macs, 1), FEWEST_CASES), most)))


class _Trials:
    """Attempts from the same cases, which are run through the float graph once for each form of it."""

    def __init__(self, graph: Graph, data: Data, options: Options, trained: Mapping[str, Quant]) -> None:
        self.graph, self.data, self.options, self.trained = graph, data, options, trained
        self.able = stackable(graph, data.inputs)
        self.known: dict[frozenset[Correction], _Prepared] = {}

    def under(self, options: Options) -> _Trials:
        """Other options on what is known of the float graph."""
        made = _Trials(self.graph, self.data, options, self.trained)
        made.known.update(self.known)
        return made

    def attempt(self, chosen: frozenset[Correction], progress: Callable[[float], None]) -> _Attempt:
        """Quantize with these corrections."""
        made, plan, settings = self._planned(chosen)
        progress(0.3)
        if settings.needs_data and self.able:
            nodes, inputs = len(self.graph.nodes), _few(self.data, self.graph).inputs
            layers = fit(made.graph, plan, inputs, settings, lambda done: progress(0.3 + 0.5 * done / nodes))
        else:
            layers = nearest(made.graph, plan, settings)
        return self._attempt(made, plan, layers)

    def losses_alone(
        self, chosen: frozenset[Correction], names: Iterable[str], judging: Data, progress: Callable[[float], None]
    ) -> dict[str, float]:
        """The noise that each of these layers adds to the logits, relative to their power, as the only one in int4."""
        made, plan, settings = self._planned(chosen)
        other: dict[str, Precision] = dict.fromkeys(names, "int4")
        narrow = replace(plan, precisions={**plan.precisions, **other})
        if self.able:
            settings = replace(settings, rounding="round" in self.options.corrections)
            inputs = _few(self.data, self.graph).inputs
            layers, beside = fit_alternatives(made.graph, plan, inputs, settings, other)
        else:
            layers, beside = (nearest(made.graph, p, settings) for p in (plan, narrow))
        few = _few(judging, self.graph, CASES_THAT_COMPARE)

        def noise(attempt: _Attempt) -> float:
            return 10 ** (-attempt.on(few, _silent).sqnr_db / 10)

        before, found = noise(self._attempt(made, plan, layers)), dict[str, float]()
        for done, name in enumerate(other):
            changed = replace(plan, precisions={**plan.precisions, name: "int4"})
            found[name] = max(noise(self._attempt(made, changed, {**layers, name: beside[name]})) - before, 0.0)
            progress((done + 1) / len(other))
        return found

    def _planned(self, chosen: frozenset[Correction]) -> tuple[_Prepared, Scheme, Settings]:
        """The form of the float graph, its parameters, and what is done to layers."""
        graph, data, options = self.graph, self.data, self.options
        made = self._prepared(chosen & {"mean", "equalise"})
        ends = zip(graph.inputs, data.quants, strict=True)
        given = {n: q for n, q in ends if q and graph.tensors[n].dtype == "float32"} | dict(self.trained)
        computed = precisions(made.graph, options.layers, options.precision)
        found = _ranges(made.graph, made.seen, chosen, options)
        settings = Settings("round" in chosen, "bias" in chosen, "clip" in chosen, options.dense == "per-channel")
        return made, scheme(made.graph, found, given, computed, wide_ranges(made.seen)), settings

    def _attempt(self, made: _Prepared, plan: Scheme, layers: Mapping[str, Integers]) -> _Attempt:
        return _Attempt(made.graph, to_int8(made.graph, plan, layers, self.options.ends), made.scale)

    def _prepared(self, forms: frozenset[Correction]) -> _Prepared:
        """The float graph under these corrections, and what its tensors hold."""
        if forms not in self.known:
            if "equalise" in forms:
                before = self._prepared(forms - {"equalise"})
                wanted, scale = equalise(before.graph, before.seen)
                self.known[forms] = _Prepared(wanted, calibrate(wanted, self.data.inputs), scale)
            else:
                wanted = pools_to_means(self.graph) if "mean" in forms else self.graph
                self.known[forms] = _Prepared(wanted, calibrate(wanted, self.data.inputs), {})
        return self.known[forms]


def _ranges(
    graph: Graph, seen: Mapping[str, Statistics], chosen: frozenset[Correction], options: Options
) -> dict[str, Range]:
    """The range of each tensor."""
    observer: Observer = options.observer or ("mse" if "clip" in chosen else "minmax")
    found = ranges(seen, observer)
    if options.observer is None:  # what an input loses nothing can repair
        found.update({name: minmax(seen[name]) for name in graph.inputs if name in seen})
    return found


def _unlike(graph: Graph, data: Data, trained: Mapping[str, Quant]) -> Sequence[str]:
    """Inputs whose values are in other units than those that the model was trained with."""
    found: list[str] = []
    for name, values in zip(graph.inputs, data.inputs, strict=True):
        if name in trained:
            far, low, high = reach(trained[name]), float(values.min()), float(values.max())
            share = max(-low, high) / max(-far.low, far.high)
            if not 1 / UNLIKE < share < UNLIKE:
                found.append(
                    f"the data of the input {name!r} reaches from {low:.4g} to {high:.4g}, and the model was trained "
                    f"for {far.low:.4g} to {far.high:.4g}: scale the inputs as in training"
                )
    return found


def left_in_float(made: Graph) -> tuple[str, ...]:
    """Warnings about the nodes of an integer graph that compute in float32."""
    computing = (n for n in made.nodes if not ops.operator(n).view and n.op not in ("quantize", "dequantize"))
    return tuple(f"{node.name} ({node.op}) has no integer form and stays float32" for node in computing
                 if computes_in_float(node, made))  # fmt: skip


def _warnings(made: _Attempt, accuracy: Accuracy, held: Accuracy | None, options: Options, able: bool) -> Sequence[str]:
    found = list(left_in_float(made.found))
    if not able and any(name in options.corrections for name in ON_LAYERS):
        found.append("the model mixes what lies along its inputs' first axis, so layers were not fitted "
                     f"({', '.join(ON_LAYERS)})")  # fmt: skip
    if accuracy.answers == 1 and accuracy.cases > FEWEST_TO_HALVE:
        found.append(f"the float model gives one and the same answer for all {accuracy.cases} cases: are the inputs "
                     "scaled as in training?")  # fmt: skip
    judge = held or accuracy
    if judge.sqnr_db < POOR_DB or (judge.agreement is not None and judge.agreement < POOR_AGREEMENT):
        worst = judge.worst_layer
        at = f"; the worst layer is {worst[0]} at {worst[1]:.1f} dB" if worst else ""
        found.append(f"the integer model is far from the float model (SQNR {judge.sqnr_db:.1f} dB){at}: more data, and "
                     "more typical, may help")  # fmt: skip
    return found
