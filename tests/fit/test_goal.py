"""Limits, recipes and estimates: the arithmetic around the search."""

from __future__ import annotations

import json
import math

import pytest

from tests.quantize.nets import data_for, residual
from tinycomp.errors import BadInput
from tinycomp.fit.goal import Figures, exceeded, missed
from tinycomp.fit.recipe import SCHEMES, Recipe, Scheme, loads, precisions, sketched, weight_bytes, widths
from tinycomp.rewrite import WEIGHTED
from tinycomp.target import parse_share
from tinycomp.tflite import reader, writer

FIGURES = Figures(weights=800, flash=3000, ram=500, cycles=None, ms=None, energy_uj=None)


@pytest.mark.parametrize(("text", "value"), [("55%", 0.55), ("0.55", 0.55), ("12.5 %", 0.125), ("100%", 1.0)])
def test_a_share_is_a_percentage_or_a_fraction(text: str, value: float):
    assert parse_share(text, "--weights") == pytest.approx(value)


@pytest.mark.parametrize("text", ["0", "120%", "-5%", "half", "", "55"])
def test_what_is_no_share_is_refused(text: str):
    with pytest.raises(BadInput, match="is no share of the plain int8 build"):
        parse_share(text, "--weights")


def test_limits_that_are_missed_are_told_by_how_much():
    most = {"weights": 400.0, "flash": 4000.0}
    assert exceeded(FIGURES, most) == {"weights": 2.0}
    assert missed(FIGURES, most) == "it needs 800 bytes (weights) and 400 are allowed"
    assert exceeded(FIGURES, {"ram": 500.0}) == {}


@pytest.mark.parametrize("name", ["cycles", "ms"])
def test_a_figure_that_is_not_known_is_within_no_limit(name: str):
    most = {name: 1e12, "flash": 4000.0}
    assert exceeded(FIGURES, most) == {name: math.inf}
    assert missed(FIGURES, most).startswith(f"it needs an unknown number of {name} ({name}) and")


def test_a_recipe_is_read_as_it_was_written():
    recipe = Recipe((1, 5), "int4", 7, 3, "aa", "bb")
    assert loads(recipe.dumps({"conv2d_0": 4}), "recipe.json") == recipe


@pytest.mark.parametrize(
    "change", [{"scheme": "int2"}, {"gone": "all"}, {"gone": [-1]}, {"epochs": 1.5}, {"format": 2}, {"tool": "x"}]
)
def test_a_recipe_with_a_field_that_makes_no_sense_is_refused(change: dict[str, object]):
    facts = json.loads(Recipe().dumps({}))
    with pytest.raises(BadInput, match="is no recipe"):
        loads(json.dumps({**facts, **change}), "recipe.json")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_bytes_of_weights_are_known_before_quantization(scheme: Scheme):
    graph = residual(channels=12)
    made = reader.read(writer.write(sketched(graph, data_for(graph, 20), scheme).graph))
    layers = [n for n in made.nodes if isinstance(n.attrs, WEIGHTED)]
    assert sum(t.bytes for n in layers for t in made.ins(n)[1:]) == weight_bytes(graph, scheme)


def test_depthwise_layers_keep_eight_bits_where_the_scheme_says_so():
    graph = residual()
    deep = {n.name for n in graph.nodes if n.op == "depthwise_conv2d"}
    assert {n for n, p in precisions(graph, "int4, depthwise int8").items() if p == "int8"} == deep
    assert set(precisions(graph, "int4").values()) == {"int4"}
    assert precisions(graph, "int8") == {}
    assert set(widths(graph)) == set(precisions(graph, "int4"))
