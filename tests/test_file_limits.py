"""What a file may ask for: storage, sizes and quantization that are refused however well they are written."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from flatbuffers import Builder

from tests.op_graphs import RUNNING, binary, convolution, image
from tests.poke import INPUTS, Poked, refused_or_sound
from tests.support import constant
from tinycomp import tflite
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops.add import Add
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.fill import Fill
from tinycomp.ops.relu import Relu
from tinycomp.tflite import schema, writer


@pytest.fixture
def _all_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = schema.module("Tensor")
    monkeypatch.setattr(tensor, "TensorAddHasRank", lambda builder, _: tensor.TensorAddIsVariable(builder, True))


@pytest.mark.usefixtures("_all_variables")
def test_variables_are_refused_by_tensor_and_operator():
    graph = Graph("g", {"s": replace(image(), name="s"), "out": replace(image(), name="out")},
                  (Node("n", Relu(), ("s",), ("out",)),), (), ("out",))  # fmt: skip
    with pytest.raises(Unsupported, match=r"tensor 's', read by relu_0 \(RELU\): is a variable"):
        tflite.read(tflite.write(graph))


def test_sparse_weights_are_refused_by_tensor(monkeypatch: pytest.MonkeyPatch):
    tensor, sparsity, made = schema.module("Tensor"), schema.module("SparsityParameters"), []

    def sparse(builder: Builder, t: Tensor) -> None:
        sparsity.SparsityParametersStart(builder)
        made.append(sparsity.SparsityParametersEnd(builder))

    monkeypatch.setattr(writer, "_quantization", sparse)
    monkeypatch.setattr(tensor, "TensorAddHasRank", lambda builder, _: tensor.TensorAddSparsity(builder, made[-1]))
    with pytest.raises(Unsupported, match=r"tensor 'x' \(input of the model\): is stored sparse"):
        tflite.read(tflite.write(convolution(Conv2D(), 2, 1, 1, 3, dtype="float32")))


def test_a_tensor_of_more_dimensions_than_any_kernel_has_is_refused():
    tensors = {name: Tensor(name, (1,) * 9, "float32") for name in ("x", "out")}
    graph = Graph("g", tensors, (Node("n", Relu(), ("x",), ("out",)),), ("x",), ("out",))
    with pytest.raises(Unsupported, match=r"tensor 'x' .*has 9 dimensions; at most 8"):
        tflite.read(tflite.write(graph))


def test_a_tiny_file_cannot_ask_for_a_large_constant():
    value, out = constant("v", np.array(1, np.int8)), Tensor("out", (2**20, 2**10), "int8")
    graph = Graph("g", {"v": value, "out": out}, (Node("n", Fill(out.shape), ("v",), ("out",)),), (), ("out",))
    data = tflite.write(graph)
    tracemalloc.start()
    with pytest.raises(BadInput, match="the constant that fill_0 computes asks for more memory"):
        tflite.read(data)
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def overlapping(inputs: int, operators: int) -> bytes:
    """One operator with many inputs, listed many times: a flatbuffer's offsets may all point to one place."""
    builder = Builder(1024)
    code = ("CONCATENATION", "", 1)
    op = writer._operator(builder, writer._Operation(code, None, {}, (0,) * inputs, (0,)), 0)
    x = writer._tensor(builder, image(), 0, False)
    tensors, operators_at = writer._tables(builder, [x]), writer._tables(builder, [op] * operators)
    ends = writer._vector(builder, (0,), np.int32)
    sub, model = schema.module("SubGraph"), schema.module("Model")
    sub.SubGraphStart(builder)
    sub.SubGraphAddTensors(builder, tensors)
    sub.SubGraphAddInputs(builder, ends)
    sub.SubGraphAddOutputs(builder, ends)
    sub.SubGraphAddOperators(builder, operators_at)
    subgraphs = writer._tables(builder, [sub.SubGraphEnd(builder)])
    codes = writer._tables(builder, [writer._code(builder, *code)])
    model.ModelStart(builder)
    model.ModelAddOperatorCodes(builder, codes)
    model.ModelAddSubgraphs(builder, subgraphs)
    builder.Finish(model.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(("inputs", "operators"), [(1, 200_000), (20_000, 20_000), (10_000, 1_000)])
def test_overlapping_tables_cannot_ask_for_more_than_the_file_holds(inputs: int, operators: int):
    data = overlapping(inputs, operators)
    tracemalloc.start()
    began = time.process_time()
    error = refused_or_sound(data)
    assert error is not None
    assert "asks for more memory than a file of this size can fill" in str(error)
    assert tracemalloc.get_traced_memory()[1] < (64 << 20) + 20 * len(data)
    assert time.process_time() - began < 30
    tracemalloc.stop()


def test_a_thousand_operators_are_no_overlap():
    x = replace(image("float32"), shape=(1, 8))
    names = ["x", *(f"t{i}" for i in range(1000))]
    nodes = tuple(Node(f"relu_{i}", Relu(), (a,), (b,)) for i, (a, b) in enumerate(pairwise(names)))
    graph = Graph("long", {n: replace(x, name=n) for n in names}, nodes, ("x",), (names[-1],))
    assert tflite.read(tflite.write(graph), "long").nodes == nodes


def test_a_float32_bias_beside_int8_activations_is_refused():
    """What only a dynamic-range model has, in an integer one."""
    graph = convolution(Conv2D(), 2, 1, 1, 3)
    bias = constant("b", np.zeros(2, np.float32))
    error = refused_or_sound(tflite.write(replace(graph, tensors={**graph.tensors, "b": bias})))
    assert error is not None, "a float32 bias was taken for an int32 one"
    assert "conv2d_0" in str(error)


@pytest.mark.parametrize("label", ["conv2d, SAME", "fully_connected", "depthwise_conv2d", "softmax", "add", "quantize"])
def test_an_integer_operator_without_quantization_is_refused_by_name(label: str):
    graph = RUNNING[label]()
    for t in [t for t in graph.tensors.values() if t.quant is not None and t.dtype == "int8"]:
        bare = {**graph.tensors, t.name: replace(t, quant=None)}
        error = refused_or_sound(tflite.write(replace(graph, tensors=bare)))
        assert error is not None, f"{label} takes {t.name!r} without a scale"
        assert graph.nodes[0].name in str(error) or repr(t.name) in str(error)


def test_an_input_that_is_listed_twice_is_refused():
    file = Poked(tflite.write(binary(Add())))
    file.element(file.main, INPUTS, 1, "i", file.index("x"))
    with pytest.raises(BadInput, match=r"tensor 'x' \(input of the model\): is listed twice"):
        tflite.read(file.bytes())
