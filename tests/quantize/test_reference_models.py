"""Reference models quantized from real data: accuracy on cases held back, and bits in every interpreter."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.support import SHARED, emitted, litert, needs_cc, needs_shared, reference, same, tflm
from tinycomp import rules
from tinycomp.ir import Array, Graph, Reference
from tinycomp.quantize import data
from tinycomp.quantize.accuracy import Accuracy, measure
from tinycomp.quantize.convert import Options, convert
from tinycomp.quantize.data import Data
from tinycomp.quantize.to_int8 import as_inputs
from tinycomp.tflite import reader, writer

pytestmark = [needs_shared, pytest.mark.slow]
FIT = 200
PLAIN = Options(corrections=frozenset())
MOVED = Options(corrections=frozenset({"equalise", "mean"}), always=True, dense="per-tensor")  # other nodes and scales


@cache
def keywords() -> tuple[Graph, Data]:
    """The float model and all 500 labelled cases."""
    graph = reader.load(SHARED / "models" / "kws_float.tflite")
    return graph, data.load(SHARED / "data" / "kws01_dev.npz", graph)


@cache
def plain() -> Graph:
    """Calibrated on the first 200, and rounded."""
    graph, given = keywords()
    return convert(graph, given.part(range(FIT)), PLAIN).graph


def rest(graph: Graph) -> Accuracy:
    """On the other 300."""
    source, given = keywords()
    part = given.part(range(FIT, len(given)))
    return measure(source, graph, part.inputs, part.labels)


def test_keyword_spotting_loses_less_than_half_a_point_and_corrections_bring_decibels():
    graph, given = keywords()
    made = convert(graph, given.part(range(FIT))).graph
    found = rest(made)
    assert found.score is not None
    assert found.score.quantized >= found.score.float32 - 0.005
    assert found.agreement is not None
    assert found.agreement >= 0.985
    assert found.sqnr_db > 34
    assert found.sqnr_db > rest(plain()).sqnr_db + 3


def test_the_input_keeps_the_integers_that_the_data_came_in():
    graph, given = keywords()
    with np.load(SHARED / "data" / "kws01_dev.npz") as file:
        stored = file["x_int8"][:20]
    np.testing.assert_array_equal(as_inputs(plain(), [given.inputs[0][:20, 0]])[0], stored)
    assert plain().inputs == graph.inputs


def synthetic(graph: Graph, count: int = 12) -> list[Array]:
    """Smooth random inputs."""
    rng = np.random.default_rng(0)
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    x = rng.normal(0, 1, (count, *shape)).astype(np.float32)
    return list(np.cumsum(x, axis=1) / np.float32(np.sqrt(shape[0])))


@needs_cc
@pytest.mark.parametrize(
    ("name", "options"), [("kws", MOVED), ("ic", MOVED), ("vww", PLAIN), ("ad", PLAIN), ("magic_wand", MOVED)]
)
def test_every_interpreter_and_the_c_have_the_same_bits(name, options):
    graph = reader.load(SHARED / "models" / f"{name}_float.tflite")
    content = writer.write(convert(graph, data.from_cases(synthetic(graph), graph), options).graph)
    made = reader.read(content)
    cases = [as_inputs(made, [x[None]]) for x in synthetic(graph)[:4]]
    references: tuple[tuple[Reference, list[list[Array]]], ...] = (
        ("tflm", tflm(content, cases)),
        ("litert", litert(content, cases)),
    )
    for by, answers in references:
        followed = replace(made, reference=by)
        for case, answer in zip(cases, answers, strict=True):
            same(answer, reference(followed, case), f"{by}'s interpreter")
        for answer, wanted in zip(emitted(rules.optimise(followed)[0], cases[:1]), answers, strict=False):
            same(answer, wanted, f"C, --reference {by}")
