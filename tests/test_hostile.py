"""Damaged and malicious files: refused by a TinycompError that names the thing, or read as a sound graph."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import poke
from tests.op_graphs import FOLDED, RUNNING, binary
from tests.poke import INPUTS, NEW_CODE, OLD_CODE, OUTPUTS, SCALE, SHAPE, TYPE, ZERO_POINT, Poked, refused_or_sound
from tests.support import constant, quant
from tinycomp import ops, qmath, tflite
from tinycomp.errors import BadInput, TinycompError, Unsupported
from tinycomp.ir import Graph, Node, Quant, Tensor
from tinycomp.ops.add import Add
from tinycomp.tflite import schema

CODE = schema.numbers("BuiltinOperator")
OPTIONS = schema.numbers("BuiltinOptions")
TYPES = schema.numbers("TensorType")


@cache
def chain() -> bytes:
    """A file with constants, options, per-channel scales and shape arithmetic."""
    pad, conv, out = RUNNING["pad"](), RUNNING["conv2d, SAME"](), Tensor("out", (1, 315), "int8", quant(0.3, 5))
    seen, spare = replace(conv.tensors["out"], name="seen", shape=(1, 7, 9, 5)), constant("v", np.int32([1, 315]))
    padded, weights, bias = replace(pad.tensors["out"], name="padded"), conv.tensors["w"], conv.tensors["b"]
    tensors = [pad.tensors["x"], padded, weights, bias, seen, spare, out]
    nodes = (
        replace(pad.nodes[0], outputs=("padded",)),
        replace(conv.nodes[0], inputs=("padded", "w", "b"), outputs=("seen",)),
        Node("r", ops.reshape.Reshape((1, 315)), ("seen",), ("out",)),
    )
    return tflite.write(Graph("chain", {t.name: t for t in tensors}, nodes, ("x",), ("out",)))


@cache
def files() -> tuple[bytes, ...]:
    """Every kind of operator."""
    return (chain(), *(tflite.write(make()) for make in (*RUNNING.values(), *FOLDED.values())))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it has 0 bytes"),
        (b"\x10\x00\x00\x00TFL", "it has 7 bytes"),
        (b"\x10\x00\x00\x00TFL2" + bytes(64), "bytes 4 to 8 are b'TFL2'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "it looks like a Keras .h5 file"),
        (b"PK\x03\x04" + bytes(64), "it looks like a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\x10\x00\x00\x00TFL3", "the model file: "),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "the model's header cannot be decoded"),
        (b"\x00\x00\x00\x00TFL3" + bytes(64), "the model file: "),
    ],
)
def test_what_is_not_a_model_is_told_so(data: bytes, says: str):
    with pytest.raises(BadInput) as caught:
        tflite.read(data)
    assert says in str(caught.value)


def test_a_file_cut_short_is_refused_wherever_it_is_cut():
    data = chain()
    whole = len(data.rstrip(b"\x00"))
    assert all(refused_or_sound(data[:n]) is not None for n in range(0, whole, 3))


def test_a_file_cut_short_in_the_middle_says_that_it_is_damaged():
    error = refused_or_sound(chain()[: len(chain()) // 2])
    assert isinstance(error, BadInput)
    assert "export it again" in str(error)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes):
    assert refused_or_sound(b"\x20\x00\x00\x00TFL3" + data) is not None


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_flipped_bits_are_refused_or_harmless(draw: st.DataObject):
    data = bytearray(draw.draw(st.sampled_from(files())))
    for at in draw.draw(st.lists(st.integers(0, 8 * len(data) - 1), min_size=1, max_size=4)):
        data[at // 8] ^= 1 << at % 8
    refused_or_sound(bytes(data))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_extreme_words_are_refused_or_harmless(draw: st.DataObject):
    data = bytearray(draw.draw(st.sampled_from(files())))
    word = draw.draw(st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), len(data), 2**16, -4, 7]))
    at = 4 * draw.draw(st.integers(0, len(data) // 4 - 1))
    struct.pack_into("<i", data, at, word)
    refused_or_sound(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_tables_of_another_file_are_refused_or_harmless(draw: st.DataObject):
    data, other = bytearray(draw.draw(st.sampled_from(files()))), draw.draw(st.sampled_from(files()))
    size = draw.draw(st.integers(1, min(64, len(other))))
    start = draw.draw(st.integers(0, len(other) - size))
    at = draw.draw(st.integers(8, len(data) - 1))
    data[at : at + size] = other[start : start + size]
    refused_or_sound(bytes(data))


def renamed(file: Poked, code: int, builtin: str) -> Poked:
    """The file with an operator code that says another builtin."""
    table = file.model.OperatorCodes(code)
    return file.field(table, OLD_CODE, "b", CODE[builtin]).field(table, NEW_CODE, "i", CODE[builtin])


# A change to `chain`, the error's class and what the message must say.
Change = Callable[[Poked], Poked]
CHANGES: dict[str, tuple[Change, type[TinycompError], str]] = {
    "dangling input": (
        lambda f: f.element(f.operator(1), INPUTS, 1, "i", 99), BadInput,
        r"operator 1 \(CONV_2D\): names tensor 99; the file has tensors 0 to \d+",
    ),
    "dangling output": (
        lambda f: f.element(f.operator(1), OUTPUTS, 0, "i", -1), BadInput, r"operator 1 \(CONV_2D\): names tensor -1",
    ),
    "input below -1": (
        lambda f: f.element(f.operator(1), INPUTS, 2, "i", -2), BadInput, r"operator 1 \(CONV_2D\): names tensor -2",
    ),
    "required input left out": (
        lambda f: f.element(f.operator(1), INPUTS, 1, "i", -1), BadInput, r"conv2d_1 \(CONV_2D\): input 1 is missing",
    ),
    "dangling model input": (
        lambda f: f.element(f.main, INPUTS, 0, "i", 1000), BadInput, r"the model's input list: names tensor 1000",
    ),
    "dangling model output": (
        lambda f: f.element(f.main, OUTPUTS, 0, "i", -1), BadInput, r"the model's output list: names tensor -1",
    ),
    "dangling buffer": (
        lambda f: f.field(f.tensor("w"), poke.BUFFER, "I", 77), BadInput, r"tensor 2 \('w'\): names buffer 77",
    ),
    "dangling operator code": (
        lambda f: f.field(f.operator(1), poke.OPCODE, "I", 9), BadInput,
        r"operator 1: names operator code 9; the file has 3",
    ),
    "cycle": (
        lambda f: f.element(f.operator(0), INPUTS, 0, "i", f.index("out")), BadInput,
        r"pad_0 \(PAD\): reads the tensor 'out', which operator 2 \(RESHAPE\) writes only later \(a cycle",
    ),
    "operator that reads itself": (
        lambda f: f.element(f.operator(1), INPUTS, 0, "i", f.index("seen")), BadInput,
        r"conv2d_1 .*reads the tensor 'seen'",
    ),
    "tensor that nothing writes": (
        lambda f: f.length(f.main, INPUTS, 0), BadInput, r"pad_0 \(PAD\): reads the tensor 'x', which nothing writes",
    ),
    "operator that writes a constant": (
        lambda f: f.element(f.operator(1), OUTPUTS, 0, "i", f.index("v")), BadInput, r"tensor 'v', written by conv2d_1",
    ),
    "tensor written twice": (
        lambda f: f.element(f.operator(2), OUTPUTS, 0, "i", f.index("seen")), BadInput,
        r"reshape_2 \(RESHAPE\): writes the tensor 'seen', which already has a value",
    ),
    "model input that is written": (
        lambda f: f.element(f.operator(2), OUTPUTS, 0, "i", f.index("x")), BadInput,
        r"tensor 'x' \(input of the model\): operator 2 \(RESHAPE\) writes it too",
    ),
    "model input with data": (
        lambda f: f.field(f.tensor("x"), poke.BUFFER, "I", 1) if f.tensor("x")._tab.Offset(poke.BUFFER) else
        f.element(f.main, INPUTS, 0, "i", f.index("w")), BadInput, r"tensor 'w' .*yet has 135 bytes of constant data",
    ),
    "negative shape": (
        lambda f: f.element(f.tensor("x"), SHAPE, 1, "i", -4), Unsupported,
        r"tensor 'x' \(input of the model\): has the shape \[1, -4, 6, 3\], which is not static",
    ),
    "dynamic shape inside": (
        lambda f: f.element(f.tensor("seen"), SHAPE, 0, "i", 0), Unsupported,
        r"tensor 'seen', written by conv2d_1 \(CONV_2D\): has the shape \[0, 7, 9, 5\], which is not static",
    ),
    "huge shape": (
        lambda f: f.element(f.tensor("x"), SHAPE, 1, "i", 2**31 - 1).element(f.tensor("x"), SHAPE, 2, "i", 2**31 - 1),
        Unsupported, r"tensor 'x' .*bytes; at most 2,147,483,648",
    ),
    "shape of a constant beyond its bytes": (
        lambda f: f.element(f.tensor("w"), SHAPE, 1, "i", 4), BadInput,
        r"tensor 'w', read by conv2d_1 \(CONV_2D\): is int8\[5, 4, 3, 3\], which takes 180 bytes.* holds 135",
    ),
    "shape that the operator does not make": (
        lambda f: f.element(f.tensor("padded"), SHAPE, 1, "i", 8), BadInput,
        r"pad_0 \(pad\): its output 'padded' is declared as int8\[1, 8, 9, 3\], its inputs make it int8\[1, 7, 9, 3\]",
    ),
    "shape longer than the file": (
        lambda f: f.length(f.tensor("x"), SHAPE, 2**31), BadInput, r"tensor 0 cannot be decoded",
    ),
    "unknown dtype": (
        lambda f: f.field(f.tensor("w"), TYPE, "b", 99), Unsupported,
        r"tensor 'w', read by conv2d_1 \(CONV_2D\): has dtype number 99",
    ),
    "strings": (
        lambda f: f.field(f.tensor("w"), TYPE, "b", TYPES["STRING"]), Unsupported,
        r"tensor 'w', read by .*has dtype string",
    ),
    "float16 activation": (
        lambda f: f.field(f.tensor("x"), TYPE, "b", TYPES["FLOAT16"]), Unsupported, r"tensor 'x' .*has dtype float16",
    ),
    "scales of another number of channels": (
        lambda f: f.length(f.tensor("w").Quantization(), SCALE, 4), BadInput,
        r"tensor 'w', read by conv2d_1 \(CONV_2D\): has 4 scales and 5 zero points",
    ),
    "scale that is not a number": (
        lambda f: f.element(f.tensor("w").Quantization(), SCALE, 3, "f", math.nan), BadInput,
        r"tensor 'w', read by conv2d_1 .*has the scale nan for channel 3",
    ),
    "infinite scale": (
        lambda f: f.element(f.tensor("seen").Quantization(), SCALE, 0, "f", math.inf), BadInput,
        r"tensor 'seen'.*scale inf;",
    ),
    "scale of zero": (
        lambda f: f.element(f.tensor("x").Quantization(), SCALE, 0, "f", 0.0), BadInput, r"tensor 'x' .*scale 0;",
    ),
    "negative scale": (
        lambda f: f.element(f.tensor("b").Quantization(), SCALE, 1, "f", -0.5), BadInput,
        r"tensor 'b'.*scale -0.5 for channel 1",
    ),
    "zero point out of range": (
        lambda f: f.element(f.tensor("x").Quantization(), ZERO_POINT, 0, "q", 128), BadInput,
        r"tensor 'x' .*zero point 128, outside int8's -128 to 127",
    ),
    "stride of zero": (
        lambda f: f.field(f.options(1, "Conv2DOptions"), 6, "i", 0), BadInput,
        r"conv2d_1 \(CONV_2D\): stride_h = 1 and stride_w = 0",
    ),
    "stride beyond all bounds": (
        lambda f: f.field(f.options(1, "Conv2DOptions"), 6, "i", 2**31 - 1), BadInput, r"conv2d_1",
    ),
    "activation that nobody knows": (
        lambda f: f.field(f.options(1, "Conv2DOptions"), 10, "b", 77), Unsupported, r"conv2d_1 .*activation number 77",
    ),
    "options of another operator": (
        lambda f: f.field(f.operator(1), poke.OPTIONS_TYPE, "B", OPTIONS["Pool2DOptions"]), BadInput,
        r"conv2d_1 \(CONV_2D\): carries Pool2DOptions where Conv2DOptions belong",
    ),
    "options of no kind": (
        lambda f: f.field(f.operator(1), poke.OPTIONS_TYPE, "B", 250), BadInput,
        r"operator 1: has options of the unknown kind 250",
    ),
    "custom operator": (
        lambda f: renamed(f, 1, "CUSTOM"),
        Unsupported, r"operator 1 \(custom ''\): is not supported: its code is not in the file \(it makes 'seen'\)",
    ),
    "operator of the future": (
        lambda f: f.field(f.model.OperatorCodes(1), NEW_CODE, "i", 5000), Unsupported,
        r"operator 1 \(builtin number 5000\): is not supported",
    ),
    "control flow": (
        lambda f: renamed(f, 1, "WHILE"), Unsupported,
        r"operator 1 \(WHILE\): is not supported: it calls another subgraph",
    ),
    "paddings of another rank": (
        lambda f: f.element(f.operator(0), INPUTS, 1, "i", f.index("v")), BadInput, r"pad_0 \(PAD\): paddings of shape",
    ),
    "no outputs": (lambda f: f.length(f.main, OUTPUTS, 0), BadInput, r"the model: has no outputs"),
    "no subgraphs": (lambda f: f.length(f.model, 8, 0), BadInput, r"holds no subgraph"),
    "more tensors than bytes": (
        lambda f: f.length(f.main, SHAPE, 2**30), BadInput, r"the list of tensors claims 1073741824 entries",
    ),
    "more operators than bytes": (
        lambda f: f.length(f.main, poke.NAME, 2**29), BadInput, r"the list of operators claims 536870912 entries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", CHANGES)
def test_one_wrong_field_is_refused_and_named(label: str):
    change, kind, says = CHANGES[label]
    error = refused_or_sound(change(Poked(chain())).bytes())
    assert error is not None
    assert type(error) is kind
    assert re.search(says, str(error)), str(error)
    assert error.where or "model" in error.what


def test_the_file_that_the_changes_start_from_is_sound():
    assert refused_or_sound(chain()) is None
    assert Poked(chain()).tensor("w").Quantization().ScaleLength() == 5


@pytest.mark.parametrize(
    ("quantization", "says"),
    [
        (Quant((0.1, 0.2), (0, 0), 0), r"has 2 scales for the 5 channels of axis 0 in the shape \[5, 3, 3, 3\]"),
        (Quant((0.1,) * 3, (0,) * 3, 7), r"is quantized along axis 7"),
        (Quant((0.1,) * 3, (0,) * 3, -1), r"is quantized along axis -1"),
        (Quant((0.1,) * 5, (0, 0), 0), r"has 5 scales and 2 zero points"),
        (Quant((0.1,) * 5, (0, 0, 0, 0, -129), 0), r"has the zero point -129 for channel 4, outside int8's"),
    ],
)
def test_quantization_that_does_not_fit_the_tensor_is_refused(quantization: Quant, says: str):
    graph = RUNNING["conv2d, SAME"]()
    weights = replace(graph.tensors["w"], quant=quantization)
    with pytest.raises(BadInput, match=rf"tensor 'w', read by conv2d_0 \(CONV_2D\): {says}"):
        tflite.read(tflite.write(replace(graph, tensors={**graph.tensors, "w": weights})))


# What one of the node's tensors scales by, so small that no shift of 32 bits makes up for it.
@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("conv2d, SAME", "out"),
        ("depthwise_conv2d", "out"),
        ("fully_connected", "out"),
        ("transpose_conv", "out"),
        ("mean", "out"),
        ("svdf", "y"),
        ("svdf", "memory"),
        ("lstm", "h"),
    ],
)
def test_a_scale_near_zero_is_refused(label: str, name: str):
    graph = RUNNING[label]()
    tiny = replace(graph.tensors[name], quant=quant(1e-44, graph.tensors[name].zero_point))
    with pytest.raises(Unsupported, match=rf"the scales \(.*{name}.*\) make a factor of .*; .* takes less than 1.07"):
        tflite.read(tflite.write(replace(graph, tensors={**graph.tensors, name: tiny})))


def test_a_clamp_at_a_scale_near_zero_is_the_dtype_s_own():
    assert qmath.activation_range("relu6", "int8", 1e-44, 3) == (3, 127)
    assert qmath.activation_range("relu_n1_to_1", "int16", 1e-44, 0) == (-(2**15), 2**15 - 1)


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("x"), IndexError("x"), ValueError("x")])
def test_what_numbers_of_a_file_may_raise_is_a_refusal(error: Exception, monkeypatch: pytest.MonkeyPatch):
    data = chain()
    monkeypatch.setattr(ops, "check", raising(error))
    with pytest.raises(BadInput, match=r"pad_0 \(PAD\): makes no sense"):
        tflite.read(data)


@pytest.mark.parametrize("error", [AssertionError("x"), AttributeError("x"), NotImplementedError("x")])
def test_a_fault_of_ours_is_no_refusal(error: Exception, monkeypatch: pytest.MonkeyPatch):
    data = chain()
    monkeypatch.setattr(ops, "check", raising(error))
    with pytest.raises(type(error), match="x"):
        tflite.read(data)


def raising(error: Exception) -> Callable[[Graph], None]:
    """A check that only raises."""

    def check(graph: Graph) -> None:
        raise error

    return check


NAMES = [
    "*/ int x; /*", 'quo"te', "new\nline", "#include </etc/passwd>", "a\x00b", "\x1b[31mred", "%s%n", "\\", "日本", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_stays_one_printable_line(name: str):
    graph = binary(Add())
    x = replace(graph.tensors["x"], name=name)
    node = replace(graph.nodes[0], inputs=(name, "y"))
    tensors = {name: x, "y": graph.tensors["y"], "out": graph.tensors["out"]}
    found = tflite.read(tflite.write(replace(graph, tensors=tensors, nodes=(node,), inputs=(name, "y"))))
    assert found.inputs[0].isprintable()
    assert found.inputs[0]
    assert found.nodes[0].name == "add_0"


def test_names_that_are_not_text_are_escaped():
    file = Poked(tflite.write(binary(Add())))
    assert tflite.read(file.text(file.tensor("out"), poke.NAME, b"\xff\xfe\x01").bytes()).outputs == (
        "\\xff\\xfe\\x01",
    )


def test_hostile_names_do_not_reach_a_message_raw():
    graph = binary(Add())
    bad = replace(graph.tensors["y"], name="y\n\x1b[2J", quant=Quant((math.nan,), (0,)))
    tensors = {"x": graph.tensors["x"], bad.name: bad, "out": graph.tensors["out"]}
    node = replace(graph.nodes[0], inputs=("x", bad.name))
    with pytest.raises(BadInput) as caught:
        tflite.read(tflite.write(replace(graph, tensors=tensors, nodes=(node,), inputs=("x", bad.name))))
    assert str(caught.value).isprintable()
