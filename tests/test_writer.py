"""The writer: what is written reads back as it was, and is laid out as runtimes expect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.op_graphs import FOLDED, RUNNING, operator_of
from tests.support import constant, quant, random_inputs, reference, same
from tinycomp import interpret, tflite
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops import OPERATORS
from tinycomp.ops.conv2d import Conv2D
from tinycomp.tflite import schema
from tinycomp.tflite.tensors import packed, unpacked
from tinycomp.tflite.versions import version


def assert_equal(found: Graph, wanted: Graph) -> None:
    """Two graphs have the same tensors, nodes, inputs and outputs, in the same order."""
    nodes = tuple(replace(n, name=f"{called(n, wanted)}_{i}") for i, n in enumerate(wanted.nodes))
    assert (found.nodes, found.inputs, found.outputs) == (nodes, wanted.inputs, wanted.outputs)
    assert set(found.tensors) == set(wanted.tensors)
    for name, t in wanted.tensors.items():
        other = found.tensors[name]
        assert (other.shape, other.dtype, other.quant) == (t.shape, t.dtype, t.quant), name
        assert (other.data is None) == (t.data is None), name
        if t.data is not None and other.data is not None:
            np.testing.assert_array_equal(other.data, t.data, strict=True)


def called(node: Node, graph: Graph) -> str:
    """The operator's name; where it has builtins of other names, the one that it is written as."""
    codecs = OPERATORS[node.op].codecs
    builtin = next(c.builtin for c in codecs if c.write and c.write(node, graph) is not None)
    related = builtin.replace("_", "").lower().startswith(node.op.replace("_", ""))
    return node.op if related else builtin.lower()


def parsed(data: bytes):
    """The root table, through the generated accessors."""
    return schema.table("Model").GetRootAs(data, 0)


def test_every_operator_has_a_graph_to_write():
    assert {operator_of(label) for label in (*RUNNING, *FOLDED)} == {
        name for name, op in OPERATORS.items() if op.codecs
    }


@pytest.mark.parametrize("label", RUNNING)
def test_a_graph_reads_back_as_it_was_written(label: str):
    graph = RUNNING[label]()
    assert_equal(tflite.read(tflite.write(graph), graph.name), graph)


@pytest.mark.parametrize("label", FOLDED)
def test_arithmetic_on_constants_reads_back_as_its_value(label: str):
    graph = FOLDED[label]()
    found = tflite.read(tflite.write(graph))
    assert found.nodes == ()
    same([found.tensors[name].data for name in graph.outputs], reference(graph, []), label)


@pytest.mark.parametrize("label", RUNNING)
def test_the_same_graph_gives_the_same_bytes(label: str):
    data = tflite.write(RUNNING[label]())
    assert data == tflite.write(RUNNING[label]())
    assert data == tflite.write(tflite.read(data))


def test_the_file_introduces_itself():
    data = tflite.write(RUNNING["conv2d, SAME"]())
    assert data[4:8] == b"TFL3"
    assert (parsed(data).Description(), parsed(data).Version(), parsed(data).SubgraphsLength()) == (b"tinycomp", 3, 1)


@pytest.mark.parametrize("label", ["conv2d, SAME", "conv2d, grouped", "fully_connected", "pad"])
def test_buffers_start_on_sixteen_bytes_and_the_first_is_empty(label: str):
    model = parsed(tflite.write(RUNNING[label]()))
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    assert buffers[0].DataLength() == 0
    assert len(buffers) > 1
    for buffer in buffers[1:]:
        assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_operators_that_share_a_code_list_it_once_and_old_readers_find_it():
    one = RUNNING["relu"]()
    x, out = one.tensors["x"], one.tensors["out"]
    tensors = {t.name: t for t in (x, out, replace(out, name="end"))}
    nodes = (one.nodes[0], Node("relu_1", one.nodes[0].attrs, ("out",), ("end",)))
    model = parsed(tflite.write(Graph("two", tensors, nodes, ("x",), ("end",))))
    assert model.OperatorCodesLength() == 1
    code, relu = model.OperatorCodes(0), schema.numbers("BuiltinOperator")["RELU"]
    assert (code.BuiltinCode(), code.DeprecatedBuiltinCode(), code.Version()) == (relu, relu, 2)


# What LiteRT's resolver must be asked for. Numbers from op_version.cc.
VERSIONS = {
    "conv2d, SAME": 3,
    "conv2d, float32": 1,
    "conv2d, grouped": 6,
    "depthwise_conv2d": 3,
    "depthwise_conv2d, multiplier": 2,
    "fully_connected": 4,
    "fully_connected, dimensions kept": 5,
    "add": 2,
    "mul": 3,
    "softmax": 2,
    "quantize": 1,
    "dequantize": 2,
    "leaky_relu": 1,
    "reshape": 1,
}


@pytest.mark.parametrize(("label", "wanted"), VERSIONS.items())
def test_operators_ask_for_the_version_that_has_their_dtypes(label: str, wanted: int):
    assert parsed(tflite.write(RUNNING[label]())).OperatorCodes(0).Version() == wanted


@pytest.mark.parametrize(
    ("builtin", "options", "dtypes", "rank", "wanted"),
    [
        ("SPLIT", {}, ("int32", "int8"), 4, 2),
        ("FILL", {}, ("int32", "bool"), 1, 2),
        ("CONV_2D", {}, ("int8", "int4"), 4, 7),
        ("FULLY_CONNECTED", {}, ("int8", "int8"), 2, 6),
        ("PAD", {}, ("int8", "int32"), 5, 4),
        ("TRANSPOSE", {}, ("float32", "int32"), 6, 6),
        ("STRIDED_SLICE", {"ellipsis_mask": 1}, ("int8", "int32"), 4, 6),
        ("SUB", {}, ("int8", "int8"), 5, 3),
        ("DEPTHWISE_CONV_2D", {"dilation_h_factor": 2}, ("float32", "float32"), 4, 2),
        ("RESIZE_BILINEAR", {"half_pixel_centers": True}, ("int8", "int32"), 4, 3),
        ("NO_SUCH_OPERATOR", {}, ("int8",), 4, 1),
    ],
)
def test_options_ranks_and_weights_raise_the_version(builtin, options, dtypes, rank, wanted):
    inputs = [Tensor(f"t{i}", (1,) * rank, dtype) for i, dtype in enumerate(dtypes)]
    assert version(builtin, options, inputs, [Tensor("out", (1,), "float32")]) == wanted


@pytest.mark.parametrize(("out", "wanted"), [("int8", 1), ("int16", 2)])
def test_quantize_is_versioned_by_its_output(out, wanted):
    assert version("QUANTIZE", {}, [Tensor("x", (1,), "float32")], [Tensor("out", (1,), out, quant(1.0))]) == wanted


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_int4_is_two_to_a_byte_with_the_first_one_low(count: int):
    values = np.array([-8, 7, -1, 0, 1, 3, -5, 2], np.int8)[:count]
    stored = np.frombuffer(packed(values), np.uint8)
    assert stored[0] & 0x0F == 8  # −8 in four bits
    assert stored.size == (count + 1) // 2
    np.testing.assert_array_equal(unpacked(stored, count), values)


def test_int4_constants_take_half_a_byte_each():
    graph = RUNNING["concatenation"]()
    values = (np.arange(24) % 16 - 8).reshape(1, 4, 6, 1).astype(np.int8)
    small = Tensor("y", (1, 4, 6, 1), "int4", quant(0.5, 3), values)
    model = parsed(tflite.write(replace(graph, tensors={**graph.tensors, "y": small}, inputs=("x",))))
    assert schema.enumeration("TensorType")[model.Subgraphs(0).Tensors(1).Type()] == "INT4"
    np.testing.assert_array_equal(unpacked(model.Buffers(1).DataAsNumpy(), 24), values.reshape(-1))


def test_constants_that_were_attributes_get_names_that_are_free():
    graph = RUNNING["transpose"]()
    taken = Tensor("transpose_0/input1", graph.tensors["x"].shape, "int8", graph.tensors["x"].quant)
    node = replace(graph.nodes[0], inputs=(taken.name,))
    clash = Graph("clash", {taken.name: taken, "out": graph.tensors["out"]}, (node,), (taken.name,), ("out",))
    assert_equal(tflite.read(tflite.write(clash), "clash"), clash)


def test_several_operators_keep_their_order_and_share_tensors():
    pad = RUNNING["pad"]()
    conv = RUNNING["conv2d, SAME"]()
    tensors = {t.name: t for t in (pad.tensors["x"], replace(pad.tensors["out"], name="padded"))}
    tensors |= {name: conv.tensors[name] for name in ("w", "b")}
    tensors["out"] = replace(conv.tensors["out"], shape=(1, 7, 9, 5))
    nodes = (
        replace(pad.nodes[0], outputs=("padded",)),
        replace(conv.nodes[0], name="conv2d_1", inputs=("padded", "w", "b")),
    )
    graph = Graph("chain", tensors, nodes, ("x",), ("out", "padded"))
    found = tflite.read(tflite.write(graph), "chain")
    assert_equal(found, graph)
    for case in random_inputs(graph):
        same(list(interpret.run(found, case).values()), reference(graph, case), "after the file")


def test_a_padding_that_the_format_cannot_say_is_refused_by_name():
    graph = RUNNING["conv2d, SAME"]()
    node = replace(graph.nodes[0], attrs=Conv2D(padding=(2, 0, 0, 0)))
    with pytest.raises(Unsupported, match=r"conv2d_0: padding \(2, 0, 0, 0\)"):
        tflite.write(replace(graph, nodes=(node,)))


def test_an_option_that_the_schema_does_not_have_is_an_error():
    from flatbuffers import Builder

    with pytest.raises(KeyError, match="SoftmaxOptions has no field 'gamma'; it has beta"):
        schema.write_options(Builder(64), "SoftmaxOptions", {"gamma": 1.0})


def test_an_empty_shape_is_a_scalar():
    graph = RUNNING["add, float32, a constant"]()
    scalar = constant("y", np.array(2.5, np.float32))
    graph = replace(graph, tensors={**graph.tensors, "y": scalar})
    assert tflite.read(tflite.write(graph)).tensors["y"].shape == ()
