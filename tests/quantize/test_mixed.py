"""Mixed precision: which layers get int4 weights, and what becomes of a model under a ceiling of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.quantize.nets import data_for, images, residual
from tests.support import SHARED, emitted, needs_cc, needs_shared, reference, same, tflm
from tinycomp import rules
from tinycomp.errors import BadInput, DoesNotFit
from tinycomp.frontend import ceiling_of
from tinycomp.quantize import data
from tinycomp.quantize.accuracy import measure
from tinycomp.quantize.convert import Options, convert
from tinycomp.quantize.mixed import Ceiling, choose, weight_bytes
from tinycomp.quantize.precision import precisions
from tinycomp.quantize.to_int8 import as_inputs
from tinycomp.tflite import reader, writer

LOSSES = {"a": 0.1, "b": 0.001, "c": 0.01, "d": 0.002}
SIZES = {"a": 100, "b": 1000, "c": 200, "d": 51}


@given(st.integers(676, 1351))
def test_a_choice_stays_under_its_ceiling_and_nothing_more_could_be_int8(most):
    found = choose(LOSSES, SIZES, most)
    assert [c.layer for c in found] == list(SIZES)
    taken = sum(c.bytes for c in found)
    assert taken <= most
    assert all(taken + c.int8_bytes - c.bytes > most for c in found if c.precision == "int4")
    assert all(c.bytes == (c.int8_bytes + 1) // 2 for c in found if c.precision == "int4")


def test_layers_go_by_loss_for_each_byte_and_come_back_where_there_is_room():
    def narrow(most: int) -> set[str]:
        return {c.layer for c in choose(LOSSES, SIZES, most) if c.precision == "int4"}

    assert narrow(1351) == set()
    assert narrow(1350) == {"b"}
    assert narrow(840) == {"b", "d"}
    assert narrow(800) == {"b", "c"}  # d went before c, and fits again beside it
    assert narrow(676) == set(SIZES)


def test_what_int4_cannot_reach_is_refused_with_the_least_there_is():
    with pytest.raises(DoesNotFit, match=r"676 bytes even as int4, and 675 are allowed"):
        choose(LOSSES, SIZES, 675)


@pytest.mark.parametrize(("text", "ceiling"), [
    ("55%", Ceiling(share=0.55)), (" 100 %", Ceiling(share=1.0)), ("20K", Ceiling(bytes=20480)), ("700", Ceiling(700)),
])  # fmt: skip
def test_a_ceiling_is_a_share_or_bytes(text, ceiling):
    assert ceiling_of(text) == ceiling


@pytest.mark.parametrize("text", ["0%", "101%", "%", "x%", "nan%", "0", "-3", "half"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(BadInput):
        ceiling_of(text)


@needs_cc
def test_a_model_under_a_ceiling_has_the_bits_of_tflm_and_of_its_c():
    graph = residual()
    made = convert(graph, data_for(graph, 40), Options(ceiling=Ceiling(share=0.7)))
    assert {c.precision for c in made.choices} == {"int4", "int8"}
    stored = {n.name: made.graph.ins(n)[1].dtype for n in made.graph.nodes if len(n.inputs) == 3}
    assert stored == {c.layer: c.precision for c in made.choices}
    assert sum(c.bytes for c in made.choices) <= 0.7 * sum(weight_bytes(graph).values())
    content = writer.write(made.graph)
    graph = reader.read(content)
    cases = [as_inputs(graph, [x[None]]) for x in images(3, 3)]
    wanted = [reference(graph, case) for case in cases]
    for k, (answer, c) in enumerate(zip(tflm(content, cases), emitted(rules.optimise(graph)[0], cases), strict=True)):
        same(answer, wanted[k], f"TFLM, case {k}")
        same(c, wanted[k], f"C, case {k}")


def test_layers_for_which_int16_is_asked_are_joined_by_what_lies_between():
    graph = residual()
    found = precisions(graph, {"conv2d_2": "int16", "conv2d_4": "int16"})
    assert [name for name, p in found.items() if p == "int16"] == [
        "conv2d_2", "add_3", "conv2d_4", "average_pool2d_5", "reshape_6",
    ]  # fmt: skip
    assert found["fully_connected_7"] == "int8"


def test_int16_loses_least_then_int8_then_int4():
    graph = residual()
    given, fresh = data_for(graph, 60), [images(60, 77)[:, None]]
    made = {p: convert(graph, given, Options(precision=p)).graph for p in ("int16", "int8", "int4")}
    wide, plain, narrow = (measure(graph, g, fresh).sqnr_db for g in made.values())
    assert wide > plain + 2
    assert plain > narrow + 2


@needs_shared
@pytest.mark.slow
def test_keyword_spotting_at_55_percent_of_the_weights_loses_a_point_at_most():
    source = reader.load(SHARED / "models" / "kws_float.tflite")
    given = data.load(SHARED / "data" / "kws01_dev.npz", source)
    made = convert(source, given.part(range(250)), Options(ceiling=Ceiling(share=0.55)))
    rest = given.part(range(250, 500))
    found = measure(source, made.graph, rest.inputs, rest.labels)
    assert sum(c.bytes for c in made.choices) <= 0.55 * sum(c.int8_bytes for c in made.choices)
    assert found.score is not None
    assert found.score.quantized >= found.score.float32 - 0.01
    assert np.isfinite(found.sqnr_db)
    assert found.sqnr_db > 25
