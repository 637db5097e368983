"""Models whose training settled every range become int8 without data."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.quantize.nets import data_for, residual
from tests.quantize.test_commands import tool
from tests.quantize.test_trained import converters, paired, trained
from tests.rules.nets import Net
from tests.support import same
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.quantize.convert import Options, convert
from tinycomp.quantize.settled import convert_settled, settle
from tinycomp.tflite import writer

MODELS = {
    "pairs": lambda: trained("uint8")[0],
    "fake_quant": lambda: trained(None)[0],
    "of TensorFlow's converter": lambda: converters("float"),
}


@pytest.mark.parametrize("options", [Options(), Options(io="float32", dense="per-tensor")])
@pytest.mark.parametrize("name", MODELS)
def test_the_integers_are_those_that_data_would_have_led_to(name, options):
    graph = MODELS[name]()
    found = settle(graph)
    assert found.open == ()
    made = convert_settled(found, options)
    wanted = convert(graph, data_for(graph), options)
    assert (made.accuracy, made.facts(), made.passes) == (None, None, wanted.passes)
    assert made.graph.nodes == wanted.graph.nodes
    assert made.graph.tensors.keys() == wanted.graph.tensors.keys()
    for name, t in made.graph.tensors.items():
        other = wanted.graph.tensors[name]
        assert (t.shape, t.dtype, t.quant) == (other.shape, other.dtype, other.quant), name
        same([] if t.data is None else [t.data], [] if other.data is None else [other.data], name)


def test_an_untrained_model_is_open_everywhere_but_behind_its_softmax():
    graph = residual()
    found = settle(graph)
    assert found.quants == {}
    kept = {t.name for t in found.graph.tensors.values() if t.data is None} - set(graph.outputs)
    assert set(found.open) == kept


@pytest.mark.parametrize(("attrs", "behind", "is_open"), [
    (MaxPool2D((2, 2), (2, 2)), False, False),
    (MaxPool2D((2, 2), (2, 2)), True, False),
    (AveragePool2D((2, 2), (2, 2)), False, False),
    (AveragePool2D((2, 2), (2, 2)), True, True),
    (Reshape((1, 32)), True, False),
    (Relu("relu"), True, False),
    (Relu("relu"), False, False),
])  # fmt: skip
def test_a_range_follows_from_a_neighbours_where_values_are_handed_on(attrs, behind, is_open):
    net = Net("float32", 0)
    x = net.input(1, 4, 4, 2)
    made = net.conv(x, 2, activation="none")
    last = net.op(attrs, made)
    graph = net.graph(last)
    for name in (x, last if behind else made):
        graph = paired(graph, name, 0.02, "int8")
    found = settle(graph)
    assert bool(found.open) == is_open
    assert is_open or {t.dtype for t in convert_settled(found, Options()).graph.tensors.values()} <= {"int8", "int32"}


def test_what_somebody_else_reads_unclipped_stays_open():
    net = Net("float32", 0)
    x = net.input(1, 4, 4, 2)
    made = net.conv(x, 2, activation="none")
    pooled, summed = net.op(MaxPool2D((1, 1), (1, 1)), made), net.op(Add("none"), made, x)
    graph = replace(net.graph(pooled), outputs=(pooled, summed))
    for name in (x, pooled, summed):
        graph = paired(graph, name, 0.02, "int8")
    assert settle(graph).open == (made,)


def test_concatenation_reaches_as_far_as_its_widest_operand():
    net = Net("float32", 0)
    x = net.input(1, 4, 4, 2)
    narrow, wide = (net.conv(x, 2, activation="none") for _ in range(2))
    joined = net.op(Concatenation(3), narrow, wide)
    graph = net.graph(joined)
    for name, scale in ((x, 0.02), (narrow, 0.01), (wide, 0.03)):
        graph = paired(graph, name, scale, "int8")
    assert settle(graph).open == ()
    assert convert_settled(settle(graph), Options()).graph.tensors[joined].scale == pytest.approx(0.03)


def test_the_commands_need_no_data_and_say_that_nothing_was_measured(tmp_path):
    model = tmp_path / "net.tflite"
    model.write_bytes(writer.write(converters("float")))
    done = tool("quantize", model, "-o", tmp_path / "made.tflite")
    assert done.exit_code == 0, done.stderr
    assert "by the ranges of its training" in done.stdout
    assert json.loads(tool("quantize", model, "-o", tmp_path / "made.tflite", "--json").stdout)["accuracy"] is None
    built = tool("build", model, "--board", "emu_cortex_m4", "-o", tmp_path / "out")
    assert built.exit_code == 0, built.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["accuracy"], report["inputs"][0]["dtype"]) == (None, "int8")


@pytest.mark.parametrize("kind", ["int16x8", "mixed"])
def test_other_precisions_need_data_all_the_same(tmp_path, kind):
    model = tmp_path / "net.tflite"
    model.write_bytes(writer.write(converters("float")))
    done = tool("build", model, "--board", "emu_cortex_m4", "-o", tmp_path / "out", "--quantize", kind)
    assert done.exit_code == 2
    assert "--data FILE" in done.stderr


def test_the_message_names_the_tensors_that_training_left_open(tmp_path):
    graph = residual()
    model = tmp_path / "net.tflite"
    model.write_bytes(writer.write(paired(graph, graph.inputs[0], 0.02, "int8")))
    done = tool("build", model, "--board", "emu_cortex_m4", "-o", tmp_path / "out")
    assert done.exit_code == 2
    first = graph.nodes[0].outputs[0]
    assert f"its training left the ranges of {first}, " in " ".join(done.stderr.split())
    assert "--data FILE" in done.stderr
