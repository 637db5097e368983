"""A recipe: everything that makes the small model from the large one and its data, so that it can be made again.

The same model, data and recipe give the same bytes on the same machine; sums in numpy may round otherwise on others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

import tinycomp
from tinycomp.errors import BadInput
from tinycomp.fit.repair import Effort, Teacher, repair
from tinycomp.frontend import Model
from tinycomp.ir import Graph
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.quantize.convert import Converted, Options, Report, convert
from tinycomp.quantize.data import Data
from tinycomp.quantize.pools import pools_to_means
from tinycomp.quantize.precision import NUMBERS, Precision
from tinycomp.quantize.prepare import prepare
from tinycomp.rewrite import WEIGHTED
from tinycomp.rules.groups import groups, keep_only
from tinycomp.train.distil import Settings, train

Scheme = Literal["int8", "int4", "int4, depthwise int8"]
SCHEMES: tuple[Scheme, ...] = ("int8", "int4, depthwise int8", "int4")
FORMAT = 1
SKETCH_CASES = 16


@dataclass(frozen=True)
class Recipe:
    """gone: groups of channels that are removed, as `rules.groups` numbers them. scheme: of the weights. epochs: of
    distillation, 0 for none. model, data: SHA-256 of the file and of the inputs that it was made for."""

    gone: tuple[int, ...] = ()
    scheme: Scheme = "int8"
    epochs: int = 0
    seed: int = 0
    model: str = ""
    data: str = ""

    def dumps(self, widths: Mapping[str, int]) -> str:
        """recipe.json. widths: channels that each layer is left with, for people."""
        head = {"tool": "tinycomp", "version": tinycomp.__version__, "format": FORMAT}
        return json.dumps({**head, **vars(self), "channels": dict(widths)}, indent=1) + "\n"


def empty(model: Model, data: Data) -> Recipe:
    """Nothing done to the model: plain int8."""
    told = hashlib.sha256()
    for x in data.inputs:
        told.update(np.ascontiguousarray(x).tobytes())
    return Recipe(model=model.sha256, data=told.hexdigest())


def loads(text: str | bytes, where: str) -> Recipe:
    """The recipe of a file. Raises BadInput where it is none."""
    try:
        found: object = json.loads(text)
    except ValueError:
        found = None
    facts = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    gone = cast(list[object], facts.get("gone")) if isinstance(facts.get("gone"), list) else None
    numbers = [facts.get("epochs"), facts.get("seed"), *(gone or ())]
    sound = all(isinstance(n, int) and n >= 0 for n in numbers) and facts.get("scheme") in SCHEMES
    if facts.get("tool") != "tinycomp" or facts.get("format") != FORMAT or gone is None or not sound:
        raise BadInput(f"is no recipe of format {FORMAT}", where=where, fix="give the recipe.json of `tinycomp fit`")
    return Recipe(tuple(cast(list[int], gone)), facts["scheme"], facts["epochs"], facts["seed"],
                  str(facts.get("model")), str(facts.get("data")))  # fmt: skip


def precisions(graph: Graph, scheme: Scheme) -> dict[str, Precision]:
    """What each weighted layer has for weights, by node name."""
    deep: Precision = "int8" if scheme == "int4, depthwise int8" else "int4"
    layers = [n for n in graph.nodes if isinstance(n.attrs, WEIGHTED)] if scheme != "int8" else []
    return {n.name: deep if isinstance(n.attrs, DepthwiseConv2D) else "int4" for n in layers}


def weight_bytes(graph: Graph, scheme: Scheme) -> int:
    """Bytes of weights and biases that a float graph will have."""
    chosen, total = precisions(graph, scheme), 0
    for node in graph.nodes:
        if isinstance(node.attrs, WEIGHTED):
            _, w, b = graph.ins(node)
            numbers = NUMBERS[chosen.get(node.name, "int8")]
            total += replace(w, dtype=numbers.weights).bytes + replace(b, dtype=numbers.bias).bytes
    return total


def ready(source: Graph) -> Graph:
    """The float graph that everything is made of: pools over the whole image are MEAN, as the small models have them.

    Left to the quantizer, they might become so in one candidate and not in another, whose RAM would be another.
    """
    return pools_to_means(prepare(source)[0])


def student(source: Graph, data: Data, recipe: Recipe, report: Report = lambda what, share: None) -> Graph:
    """The small float graph: channels removed, layers repaired, constants distilled. Raises BadInput."""
    graph = ready(source)
    found = groups(graph)
    live = np.ones(len(found.pinned), np.bool_)
    if recipe.gone and max(recipe.gone) >= len(live):
        raise BadInput("names channels that the model does not have", where="the recipe",
                       fix="give the model that it was made for")  # fmt: skip
    live[list(recipe.gone)] = False
    keep = found.keep(live)
    small = repair(keep_only(graph, keep), Teacher.of(graph, data.inputs), keep, Effort()) if keep else graph
    if not recipe.epochs:
        return small
    bits = {name: 4 if p == "int4" else 8 for name, p in precisions(small, recipe.scheme).items()}
    settings = Settings(epochs=recipe.epochs, seed=recipe.seed)
    return train(small, graph, data, bits, settings, report).graph


def quantized(small: Graph, data: Data, recipe: Recipe) -> Converted:
    """The integer graph. What distillation has put on a grid is not rounded anew."""
    options = Options(layers=precisions(small, recipe.scheme))
    if recipe.epochs:
        options = replace(options, corrections=options.corrections - {"round", "equalise"})
    return convert(small, data, options)


def sketched(small: Graph, data: Data, scheme: Scheme) -> Converted:
    """The integer graph from a few cases and without care: its figures are right, its answers are not."""
    options = Options(layers=precisions(small, scheme), corrections=frozenset(), always=True)
    return convert(small, data.spread(SKETCH_CASES), options)


def carried_out(model: Model, source: Graph, data: Data, recipe: Recipe) -> tuple[Model, Converted]:
    """The model that the recipe makes. Raises BadInput where it was made for another model or other data."""
    now = empty(model, data)
    for what, wanted, given in (("model", recipe.model, now.model), ("data", recipe.data, now.data)):
        if wanted != given:
            raise BadInput(f"was made for another {what} (SHA-256 {wanted[:12]}…, this one has {given[:12]}…)",
                           where="the recipe", fix=f"give the {what} that `tinycomp fit` was given")  # fmt: skip
    converted = quantized(student(source, data, recipe), data, recipe)
    return model.become(converted.graph), converted


def widths(graph: Graph) -> dict[str, int]:
    """Output channels of each weighted layer, by node name."""
    return {n.name: graph.out(n).shape[-1] for n in graph.nodes if isinstance(n.attrs, WEIGHTED)}
