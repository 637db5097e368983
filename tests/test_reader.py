"""The reader: files of other converters, constants and what is folded, surveys of what is not supported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.op_graphs import RUNNING, SHAPE, binary, image
from tests.poke import BUFFER, NAME, NEW_CODE, OLD_CODE, TYPE, Poked
from tests.support import SHARED, activation, constant, needs_shared, quant, reference, same
from tinycomp import interpret, ops, tflite
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops.add import Add
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.logistic import Logistic
from tinycomp.ops.pack import Pack
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.ops.tanh import Tanh
from tinycomp.tflite import schema
from tinycomp.tflite.file import FileTensor, Meter, printable
from tinycomp.tflite.tensors import constant as read_constant
from tinycomp.tflite.tensors import tensor as read_tensor

MODELS = [
    "ad_float", "ad_int8", "hello_world_float", "hello_world_int8", "ic_float", "ic_int8", "kws_float", "kws_int8",
    "magic_wand_float", "micro_speech_quantized", "person_detect", "sww_int8", "vww_float", "vww_int8",
]  # fmt: skip
CODE = schema.numbers("BuiltinOperator")


@needs_shared
@pytest.mark.parametrize("name", MODELS)
def test_reference_models_read_and_survive_the_writer(name: str):
    graph = tflite.load(SHARED / "models" / f"{name}.tflite")
    ops.check(graph)
    assert graph.name == name
    assert all(t.data is None or not t.data.flags.writeable for t in graph.tensors.values())
    again = tflite.read(tflite.write(graph), name)
    assert [node.attrs for node in again.nodes] == [node.attrs for node in graph.nodes]
    assert {t: again.tensors[t].quant for t in again.tensors} == {t: graph.tensors[t].quant for t in graph.tensors}


@needs_shared
def test_shape_arithmetic_of_a_flatten_layer_leaves_no_node():
    survey = tflite.survey(tflite.contents(SHARED / "models" / "kws_float.tflite"))
    folded = [op.builtin for op in survey.operators if op.status == "folded"]
    assert folded == ["SHAPE", "STRIDED_SLICE", "PACK"]
    assert "pinned to [1, 49, 10, 1]" in survey.notes[0]


def test_importing_the_package_does_not_import_the_flatbuffer_schema():
    code = "import sys, tinycomp.tflite; print(sorted({'tflite', 'flatbuffers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_node_names_count_the_operators_of_the_file():
    x, out = image(), activation("out", (1, 24, 3), "int8", quant(0.25, -7))
    flat, v = Tensor("flat", (1, 24, 3), "int8", x.quant), constant("v", np.int32([1, 24, 3]))
    tensors = [x, flat, out, v, Tensor("shape", (3,), "int32"), Tensor("dims", (1, 3), "int32")]
    nodes = (
        Node("x", Pack(0), ("v",), ("dims",)),
        Node("y", StridedSlice((0, 0), (1, 3), (1, 1), (0,)), ("dims",), ("shape",)),
        Node("z", Reshape((1, 24, 3)), ("x",), ("flat",)),
        Node("w", Relu(), ("flat",), ("out",)),
    )
    found = tflite.read(tflite.write(Graph("g", {t.name: t for t in tensors}, nodes, ("x",), ("out", "shape"))))
    assert [node.name for node in found.nodes] == ["reshape_2", "relu_3"]
    np.testing.assert_array_equal(found.tensors["shape"].data, [1, 24, 3])
    assert "dims" not in found.tensors


def test_folding_goes_on_through_float_arithmetic():
    a, b = constant("a", np.float32([1, 2, 3])), constant("b", np.float32([10, 20, 30]))
    x, made, out = (Tensor(n, (1, 3), "float32") for n in ("x", "made", "out"))
    made = replace(made, shape=(3,))
    nodes = (Node("n0", Add(), ("a", "b"), ("made",)), Node("n1", Add(), ("x", "made"), ("out",)))
    graph = Graph("g", {t.name: t for t in (x, a, b, made, out)}, nodes, ("x",), ("out",))
    found = tflite.read(tflite.write(graph))
    assert [node.inputs for node in found.nodes] == [("x", "made")]
    case = [np.float32([[1, 1, 1]])]
    same(reference(found, case), [np.float32([[12, 23, 34]])], "folded")


def half(values: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """x + DEQUANTIZE(float16 constant), made from a graph with an int16 constant of the same bytes."""
    stored = values.astype(np.float16)
    w = Tensor("w", stored.shape, "int16", quant(1.0), stored.view(np.int16))
    x, wide, out = (Tensor(n, shape or stored.shape, "float32") for n in ("x", "wide", "out"))
    nodes = (Node("n0", Dequantize(), ("w",), ("wide",)), Node("n1", Add(), ("x", "wide"), ("out",)))
    file = Poked(tflite.write(Graph("half", {t.name: t for t in (x, w, wide, out)}, nodes, ("x",), ("out",))))
    return file.field(file.tensor("w"), TYPE, "b", schema.numbers("TensorType")["FLOAT16"]).bytes()


def test_float16_weights_become_float32_constants():
    values = np.array([[1.5, -2.25, 65504.0, 6e-8]])
    found = tflite.read(half(values))
    assert [node.op for node in found.nodes] == ["add"]
    np.testing.assert_array_equal(found.tensors["wide"].data, values.astype(np.float16).astype(np.float32), strict=True)


def test_a_float16_constant_of_another_shape_than_its_float32_is_refused():
    with pytest.raises(BadInput, match=r"dequantize_0 .*'wide' is float32\[1, 5\].*'w' float16\[1, 4\]"):
        tflite.read(half(np.ones((1, 4)), shape=(1, 5)))


def stored(dtype: str, shape: tuple[int, ...], data: bytes | None) -> FileTensor:
    """A tensor as the file has it."""
    buffer = None if data is None else np.frombuffer(data, np.uint8)
    return FileTensor(0, "t", shape, True, (), dtype, None, False, False, buffer)


@pytest.mark.parametrize(
    ("dtype", "data", "wanted"),
    [
        ("int4", b"\xf8\x07", np.int8([-8, -1, 7])),
        ("bool", b"\x00\x01\x02", np.array([False, True, True])),
        ("int16", b"\x01\x00\xff\xff\x00\x80", np.int16([1, -1, -32768])),
        ("float16", b"\x00\x3c\x00\xc0\x00\x00", np.float32([1, -2, 0])),
        ("float32", b"\x00\x00\x80\x3f" * 3, np.float32([1, 1, 1])),
    ],
)
def test_constants_are_little_endian_arrays_of_their_dtype(dtype, data, wanted):
    found = read_constant(stored(dtype, (3,), data), "tensor 't'", Meter(100))
    np.testing.assert_array_equal(found, wanted, strict=True)
    with pytest.raises(BadInput, match=rf"tensor 't': is {dtype}\[3\], which takes {len(data)} bytes, .* holds 1"):
        read_constant(stored(dtype, (3,), b"\x00"), "tensor 't'", Meter(100))


def test_a_constant_without_elements_needs_no_bytes():
    found = read_constant(stored("int32", (0,), None), "tensor 't'", Meter(100))
    np.testing.assert_array_equal(found, np.zeros(0, np.int32), strict=True)


def test_constants_are_views_of_the_file_where_they_can_be():
    data = tflite.write(RUNNING["conv2d, SAME"]())
    weights = tflite.read(data).tensors["w"].data
    assert weights is not None
    assert np.shares_memory(weights, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("dtype", ["string", "resource", "variant", "complex64", "float64", "number 99"])
def test_dtypes_without_a_place_in_c_are_refused_by_tensor(dtype: str):
    with pytest.raises(Unsupported, match=f"tensor 't': has dtype {dtype}; supported are"):
        read_tensor(stored(dtype, (1,), b"\x00"), "tensor 't'", runtime=False, meter=Meter(100))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("plain/name:0", "plain/name:0"),
        ('*/ #include <x> "quoted"', '*/ #include <x> "quoted"'),
        ("a\nb\tc\x00", "a\\nb\\tc\\x00"),
        ("right\u202eleft", "right\\u202eleft"),
        ("größe", "größe"),
        ("n" * 300, "n" * 255 + "…"),
        ("\n" * 300, "\\n" * 127 + "\\…"),
    ],
)
def test_names_are_escaped_for_printing_and_otherwise_kept(raw: str, wanted: str):
    assert printable(raw) == wanted
    assert printable(wanted) == wanted


def test_tensors_of_one_name_or_none_get_names_of_their_own():
    file = Poked(tflite.write(binary(Add())))
    file.text(file.tensor("y"), NAME, b"x").length(file.tensor("out"), NAME, 0)
    found = tflite.read(file.bytes())
    assert (found.inputs, found.outputs) == (("x", "x_1"), ("tensor_2",))
    assert found.nodes[0].inputs == ("x", "x_1")


def test_a_constant_that_stands_for_a_missing_bias_gives_way_to_a_tensor_of_that_name():
    graph = RUNNING["conv2d, SAME"]()
    clash = replace(graph.tensors["x"], name="conv2d_0/bias")
    tensors = {**graph.tensors, clash.name: clash}
    file = Poked(tflite.write(replace(graph, tensors=tensors, inputs=(clash.name,),
                                      nodes=(replace(graph.nodes[0], inputs=(clash.name, "w", "b")),))))  # fmt: skip
    file.element(file.operator(), 6, 2, "i", -1)
    found = tflite.read(file.bytes())
    assert found.nodes[0].inputs == ("conv2d_0/bias", "w", "conv2d_0/bias_1")
    assert not np.any(found.tensors["conv2d_0/bias_1"].data)


def two_unknown() -> Poked:
    """TANH and LOGISTIC, renamed to operators that nobody has."""
    x = image()
    a, b = (Tensor(n, SHAPE, "int8", quant(1 / s, z)) for n, s, z in (("a", 128, 0), ("b", 256, -128)))
    c = Tensor("c", SHAPE, "int8", quant(0.5))
    steps = ((Tanh(), "x", "a"), (Relu(), "a", "c"), (Logistic(), "c", "b"))
    nodes = tuple(Node(f"n{i}", attrs, (start,), (end,)) for i, (attrs, start, end) in enumerate(steps))
    file = Poked(tflite.write(Graph("g", {t.name: t for t in (x, a, b, c)}, nodes, ("x",), ("b",))))
    for i, builtin in ((0, "TOPK_V2"), (2, "LSH_PROJECTION")):
        code = file.model.OperatorCodes(i)
        file.field(code, OLD_CODE, "b", CODE[builtin]).field(code, NEW_CODE, "i", CODE[builtin])
    return file


def test_a_survey_lists_every_operator_and_every_problem():
    survey = tflite.survey(two_unknown().bytes(), "g")
    assert [(op.builtin, op.status) for op in survey.operators] == [
        ("TOPK_V2", "refused"), ("RELU", "kept"), ("LSH_PROJECTION", "refused"),
    ]  # fmt: skip
    assert [op.name for op in survey.operators] == ["topk_v2_0", "relu_1", "lsh_projection_2"]
    assert survey.graph is None
    assert len(survey.problems) == 2
    assert "operator 0 (TOPK_V2): is not supported (it makes 'a')" in survey.operators[0].problem
    assert (survey.inputs[0].shape, survey.inputs[0].dtype, survey.outputs[0].name) == (SHAPE, "int8", "b")


def test_reading_raises_the_first_problem_and_counts_the_rest():
    with pytest.raises(
        Unsupported, match=r"operator 0 \(TOPK_V2\).*`tinycomp ops`; 1 more problem: `tinycomp inspect`"
    ):
        tflite.read(two_unknown().bytes())


def test_a_survey_of_a_sound_model_holds_its_graph():
    graph = RUNNING["conv2d, SAME"]()
    survey = tflite.survey(tflite.write(graph), "single")
    assert survey.graph is not None
    assert survey.problems == ()
    assert survey.graph.nodes == graph.nodes
    assert [(t.name, t.constant) for t in survey.operators[0].inputs if t] == [("x", False), ("w", True), ("b", True)]


@pytest.fixture
def on_constants_only(monkeypatch):
    """PACK and STRIDED_SLICE as operators that exist to be folded."""
    for name in ("pack", "strided_slice"):
        bare = replace(ops.OPERATORS[name], access=None, expand=None)
        monkeypatch.setitem(ops.OPERATORS, name, bare)


@pytest.mark.usefixtures("on_constants_only")
def test_problems_that_follow_from_another_are_not_reported():
    """An operator that would have made a constant is unknown, so a reshape's target is not a constant either."""
    x, perm = image("float32"), Tensor("perm", (3,), "int32")
    v = constant("v", np.array([[1, 24, 3]], np.int32))
    dims = Tensor("dims", (1, 1, 3), "int32")
    nodes = (
        Node("n0", Pack(0), ("v",), ("dims",)),
        Node("n1", StridedSlice((0, 0, 0), (1, 1, 3), (1, 1, 1), (0, 1)), ("dims",), ("perm",)),
        Node("n2", Relu(), ("x",), ("y",)),
    )
    y = replace(x, name="y")
    tensors = {t.name: t for t in (x, y, v, perm, dims)}
    file = Poked(tflite.write(Graph("g", tensors, nodes, ("x",), ("y", "perm"))))
    code = file.model.OperatorCodes(0)
    file.field(code, OLD_CODE, "b", CODE["TOPK_V2"]).field(code, NEW_CODE, "i", CODE["TOPK_V2"])
    survey = tflite.survey(file.bytes())
    assert [str(p).split(":")[0] for p in survey.problems] == ["operator 0 (TOPK_V2)"]
    assert [op.status for op in survey.operators] == ["refused", "refused", "kept"]


@pytest.mark.usefixtures("on_constants_only")
def test_an_operator_that_is_only_folded_is_refused_at_run_time():
    graph = Graph("g", {"x": image(), "out": Tensor("out", (1, *SHAPE), "int8", image().quant)},
                  (Node("n", Pack(0), ("x",), ("out",)),), ("x",), ("out",))  # fmt: skip
    with pytest.raises(Unsupported, match=r"pack_0 \(PACK\): is supported on constants only, and 'x' is computed"):
        tflite.read(tflite.write(graph))


def test_old_files_name_their_operators_in_one_byte():
    file = Poked(tflite.write(RUNNING["relu"]()))
    file.field(file.model.OperatorCodes(0), NEW_CODE, "i", 0)  # as written before the wider field existed
    assert tflite.read(file.bytes()).nodes[0].op == "relu"


def test_new_files_may_leave_the_one_byte_field_out():
    file = Poked(tflite.write(RUNNING["relu"]()))
    file.field(file.model.OperatorCodes(0), OLD_CODE, "b", 0)
    assert tflite.read(file.bytes()).nodes[0].op == "relu"


def test_two_tensors_may_share_a_buffer():
    graph = binary(Add(), "float32", fixed=True)
    twin = constant("z", np.asarray(graph.tensors["y"].data) + 1)
    end = replace(graph.tensors["out"], name="end")
    nodes = (graph.nodes[0], Node("add_1", Add(), ("out", "z"), ("end",)))
    file = Poked(tflite.write(Graph("g", {**graph.tensors, "z": twin, "end": end}, nodes, ("x",), ("end",))))
    file.field(file.tensor("z"), BUFFER, "I", file.tensor("y").Buffer())
    found = tflite.read(file.bytes())
    np.testing.assert_array_equal(found.tensors["z"].data, graph.tensors["y"].data)


def test_the_graph_computes_what_it_did_before_the_file():
    graph = RUNNING["depthwise_conv2d"]()
    case = [np.arange(72, dtype=np.int8).reshape(SHAPE)]
    found = tflite.read(tflite.write(graph))
    np.testing.assert_array_equal(interpret.run(found, case)["out"], interpret.run(graph, case)["out"])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"missing\.tflite: cannot be read"):
        tflite.load(tmp_path / "missing.tflite")
    with pytest.raises(BadInput, match="cannot be read"):
        tflite.load(tmp_path)


def test_load_names_the_graph_for_the_file(tmp_path):
    (tmp_path / "net.v2.tflite").write_bytes(tflite.write(RUNNING["relu"]()))
    assert tflite.load(tmp_path / "net.v2.tflite").name == "net.v2"
