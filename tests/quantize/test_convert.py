"""The whole way from a float graph to int8: which corrections are kept, what is reported, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.quantize.nets import data_for, images, residual
from tests.rules.nets import Net
from tests.support import emitted, needs_cc, reference, same, tflm
from tinycomp import rules
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ops.mean import Mean
from tinycomp.ops.mul import Mul
from tinycomp.ops.pad import Pad
from tinycomp.ops.quantize import Quantize
from tinycomp.quantize import data
from tinycomp.quantize.accuracy import measure
from tinycomp.quantize.convert import CORRECTIONS, Options, convert, corrections_of
from tinycomp.quantize.to_int8 import as_inputs
from tinycomp.tflite import reader, writer

PLAIN = Options(corrections=frozenset())


def test_corrections_bring_the_model_nearer_on_cases_that_nobody_has_seen():
    graph = residual()
    given = data_for(graph, 100)
    plain, made = convert(graph, given, PLAIN), convert(graph, given)
    fresh = [images(100, 77)[:, None]]
    before, after = (measure(graph, g, fresh) for g in (plain.graph, made.graph))
    assert after.sqnr_db > before.sqnr_db + 3
    assert {b.name for b in made.bought if b.kept} >= {"clip", "equalise"}
    assert made.held_out is not None
    assert made.held_out.cases == 50
    assert abs(made.held_out.sqnr_db - after.sqnr_db) < 4


def test_the_same_data_gives_the_same_bytes():
    graph = residual()
    one, two = (writer.write(convert(graph, data_for(graph)).graph) for _ in range(2))
    assert one == two


@needs_cc
@pytest.mark.parametrize("options", [
    Options(), Options(io="float32"), Options(precision="int16"), Options(precision="int16", io="int8"),
    Options(precision="int4"), Options(layers={"conv2d_0": "int16", "conv2d_2": "int4"}, io="float32"),
], ids=["int8", "io float32", "int16", "int16, io int8", "int4", "mixed"])  # fmt: skip
def test_what_is_written_has_equal_bits_in_tflm_and_in_c(options):
    graph = residual()
    content = writer.write(convert(graph, data_for(graph), options).graph)
    made = reader.read(content)
    cases = [as_inputs(made, [x[None]]) for x in images(5, 3)]
    wanted = [reference(made, case) for case in cases]
    for k, answer in enumerate(tflm(content, cases)):
        same(answer, wanted[k], f"TFLM, case {k}")
    for k, answer in enumerate(emitted(rules.optimise(made)[0], cases)):
        same(answer, wanted[k], f"C, case {k}")


def test_progress_goes_from_nothing_to_all_and_says_what_is_done():
    graph = residual()
    seen: list[tuple[str, float]] = []
    convert(graph, data_for(graph), report=lambda what, share: seen.append((what, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert "trying equalise" in {what for what, _ in seen}


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_correction_that_is_named_is_used_alone(name):
    graph = residual()
    made = convert(graph, data_for(graph), Options(corrections=frozenset({name}), always=True))
    assert [(b.name, b.kept) for b in made.bought] == [(name, True)]


def test_no_correction_is_nearest_rounding_by_extremes():
    graph = residual()
    made = convert(graph, data_for(graph), PLAIN)
    assert made.bought == ()
    out = made.graph.nodes[0].outputs[0]
    assert made.graph.tensors[out].zero_point == -128


@pytest.mark.parametrize("observer", ["minmax", "percentile", "mse", "entropy"])
def test_a_named_observer_leaves_nothing_to_clip(observer):
    graph = residual()
    made = convert(graph, data_for(graph), Options(observer=observer))
    assert "clip" not in {b.name for b in made.bought}


def test_few_cases_fit_and_judge_alike():
    graph = residual()
    made = convert(graph, data_for(graph, 6))
    assert made.held_out is None
    assert any("6 cases are few" in w for w in made.warnings)


def test_integers_in_the_data_settle_the_input():
    graph = residual()
    rng = np.random.default_rng(0)
    stored = rng.integers(-128, 128, (60, 8, 8, 3)).astype(np.int8)
    given = data.from_cases(list((stored.astype(np.float32) - 83) * np.float32(0.02)), graph)
    own = data.Data(given.inputs, (data.Quant((float(np.float32(0.02)),), (83,)),))
    made = convert(graph, own, PLAIN).graph
    np.testing.assert_array_equal(as_inputs(made, [own.inputs[0][:, 0]])[0], stored)


def test_facts_are_plain_data_with_what_the_report_promises():
    graph = residual()
    given = data_for(graph)
    labelled = data.from_cases(list(given.inputs[0][:, 0]), graph, labels=[k % 5 for k in range(60)])
    facts = json.loads(json.dumps(convert(graph, labelled).facts()))
    assert set(facts) == {
        "cases", "logit_sqnr_db", "agreement", "worst_layer", "layers", "score", "confusion", "held_out",
        "corrections", "precisions",
    }  # fmt: skip
    assert facts["score"]["name"] == "top1"
    assert {"name", "before_db", "after_db", "kept"} == set(facts["corrections"][0])


def test_batch_normalisation_is_folded_and_padding_stays_sayable():
    net = Net("float32", 5)
    x = net.input(1, 8, 8, 3)
    padded = net.op(Pad(((0, 0), (2, 0), (0, 2), (0, 0))), x)
    y = net.op(Mul(), net.conv(padded, 4, (3, 3)), net.constant(np.array([1, 2, 3, 4], np.float32)))
    graph = net.graph(net.dense(y, 3, inner=256))
    made = convert(graph, data_for(graph))
    assert [n.op for n in made.graph.nodes] == ["pad", "conv2d", "fully_connected"]
    assert made.passes
    assert reader.read(writer.write(made.graph)).nodes


def test_a_model_that_mixes_its_leading_axis_is_quantized_without_fitting():
    net = Net("float32", 2)
    x = net.input(1, 6)
    y = net.op(Mean((0,)), net.dense(x, 4))
    graph = net.graph(y)
    cases = [np.random.default_rng(k).normal(0, 1, (1, 6)).astype(np.float32) for k in range(60)]
    made = convert(graph, data.from_cases(cases, graph))
    assert not {b.name for b in made.bought} & {"bias", "round"}
    assert any("first axis" in w for w in made.warnings)


def test_one_answer_for_everything_is_warned_of():
    graph = residual()
    bias = graph.nodes[-2].inputs[2]
    loud = np.array([1e4, 0, 0, 0, 0], np.float32)
    tensors = {**graph.tensors, bias: type(graph.tensors[bias])(bias, (5,), "float32", None, loud)}
    graph = type(graph)(graph.name, tensors, graph.nodes, graph.inputs, graph.outputs)
    assert any("one and the same answer" in w for w in convert(graph, data_for(graph)).warnings)


def test_a_poor_result_is_warned_of_with_the_worst_layer():
    graph = residual()
    made = convert(graph, data_for(graph), Options(corrections=frozenset(), observer="entropy"))
    if made.held_out is not None and made.held_out.sqnr_db < 15:
        assert any("far from the float model" in w and "worst layer" in w for w in made.warnings)
    else:
        assert not any("far from the float model" in w for w in made.warnings)


def test_a_model_of_integers_is_refused():
    net = Net("int8")
    graph = net.graph(net.dense(net.input(1, 6), 3))
    empty = data.Data((np.zeros((4, 1, 6), np.int8),), (None,))
    with pytest.raises(Unsupported, match="only float32 models"):
        convert(graph, empty)


def test_a_partly_quantized_model_is_refused():
    net = Net("float32")
    x = net.input(1, 6)
    y = net.op(Quantize(), net.dense(x, 3), q=Net().quant(), dtype="int8")
    graph = net.graph(net.dense(x, 2), y)
    with pytest.raises(Unsupported, match="partly quantized"):
        convert(graph, data.from_cases([np.ones((1, 6), np.float32) * k for k in range(3)], graph))


def test_values_that_leave_float32_name_the_tensor():
    net = Net("float32")
    x = net.input(1, 6)
    y = x
    for _ in range(8):
        y = net.op(Mul(), y, y)
    graph = net.graph(y)
    with pytest.raises(BadInput, match="NaN or infinity"):
        convert(graph, data.from_cases([np.full((1, 6), 1e3 + k, np.float32) for k in range(4)], graph), PLAIN)


@pytest.mark.parametrize(("text", "names"), [("none", set()), ("bias", {"bias"}), ("clip, round", {"clip", "round"})])
def test_names_of_corrections_are_parsed(text, names):
    assert corrections_of(text) == names


@pytest.mark.parametrize("text", ["", "all", "bias;clip", "none,bias"])
def test_an_unknown_correction_is_refused_with_those_that_exist(text):
    with pytest.raises(BadInput, match=r"--correct: there is no correction.*bias, round, clip, mean, equalise"):
        corrections_of(text)
