"""Graph -> .tflite: a standard file that TensorFlow Lite Micro and LiteRT run, the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from tinycomp import ops
from tinycomp.errors import Unsupported
from tinycomp.ir import NUMPY, Array, DType, Graph, Node, Tensor
from tinycomp.ops.base import Codec, Written
from tinycomp.tflite import schema
from tinycomp.tflite.tensors import packed
from tinycomp.tflite.versions import version

_Code = tuple[str, str, int]  # builtin, custom name, version

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # of every buffer, as runtimes that read weights in place expect
_SCHEMA_VERSION = 3
_OLD_CODES = 127  # operators below this number stand in the deprecated one-byte field too


@dataclass(frozen=True)
class _Operation:
    """One operator of the file, its tensors by index (−1: left out)."""

    code: _Code
    options_table: str | None
    options: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def write(graph: Graph) -> bytes:
    """The graph as the bytes of a .tflite file.

    Tensors keep their names and order; constants that the IR holds as attributes (axes, paddings, shapes) become
    constant tensors again. Raises Unsupported where an operator has no form in the file format.
    """
    _require_writable(graph)
    tensors, operations = _plan(graph)
    flatbuffers: Any = import_module("flatbuffers")
    data_bytes = sum(t.bytes for t in tensors if t.data is not None)
    builder = flatbuffers.Builder(min(2**31, data_bytes + 256 * (len(tensors) + len(operations)) + 1024))
    buffers = [b"", *(_stored(t) for t in tensors if t.data is not None)]
    codes = list(dict.fromkeys(op.code for op in operations))
    model, subgraph = schema.module("Model"), _subgraph(builder, graph, tensors, operations, codes)
    codes_at = _tables(builder, [_code(builder, *code) for code in codes])
    subgraphs_at = _tables(builder, [subgraph])
    buffers_at = _tables(builder, [_buffer(builder, data) for data in buffers])
    description = builder.CreateString("tinycomp")
    model.ModelStart(builder)
    model.ModelAddVersion(builder, _SCHEMA_VERSION)
    model.ModelAddOperatorCodes(builder, codes_at)
    model.ModelAddSubgraphs(builder, subgraphs_at)
    model.ModelAddDescription(builder, description)
    model.ModelAddBuffers(builder, buffers_at)
    builder.Finish(model.ModelEnd(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _require_writable(graph: Graph) -> None:
    """Raise Unsupported where a state is not the variable tensor of a recurrent operator, as files have them."""
    owned = {node.inputs[i]: node.outputs[o] for node in graph.nodes for i, o in ops.operator(node).carries if o}
    for s in graph.states:
        if owned.get(s.before) != s.after or s.after in graph.outputs or graph.consumers(s.after):
            raise Unsupported("cannot be written: only the variables of recurrent operators can",
                              where=f"state {s.name!r}", fix="build from the file itself")  # fmt: skip


def _plan(graph: Graph) -> tuple[list[Tensor], list[_Operation]]:
    """The file's tensors and operators: the graph's tensors, then the constants that were attributes."""
    following = {s.after for s in graph.states}
    tensors = [t for t in graph.tensors.values() if t.name not in following]
    index = {t.name: i for i, t in enumerate(tensors)}

    def place(value: str | Array | None, wanted: str) -> int:
        if value is None:
            return -1
        if isinstance(value, str):
            return index[value]
        names = (wanted, *(f"{wanted}_{k}" for k in range(1, len(index) + 1)))
        name = next(n for n in names if n not in index)
        index[name] = len(tensors)
        tensors.append(Tensor(name, value.shape, _dtype(value), None, value))
        return index[name]

    operations: list[_Operation] = []
    for position, node in enumerate(graph.nodes):
        codec, written = _written(node, graph)
        inputs = tuple(place(value, f"{node.op}_{position}/input{i}") for i, value in enumerate(written.inputs))
        outputs = tuple(index[name] for name in node.outputs if name not in following)
        known = [tensors[i] if i >= 0 else None for i in inputs]
        number = version(codec.builtin, written.options, known, [tensors[i] for i in outputs])
        code = (codec.builtin, codec.custom, number)
        operations.append(_Operation(code, codec.options, written.options, inputs, outputs))
    return tensors, operations


def _written(node: Node, graph: Graph) -> tuple[Codec, Written]:
    """The first codec of the node's operator that can say it."""
    for codec in ops.operator(node).codecs:
        written = codec.write(node, graph) if codec.write else None
        if written is not None:
            return codec, written
    raise Unsupported("has no form in a .tflite file", where=f"{node.name} ({node.op})",
                      fix="write the graph before the rewrite that made it")  # fmt: skip


def _dtype(values: Array) -> DType:
    """The tensor dtype of an array. Raises KeyError for one that no tensor can have."""
    names: dict[np.dtype[Any], DType] = {
        np.dtype("bool"): "bool", np.dtype("int8"): "int8", np.dtype("uint8"): "uint8", np.dtype("int16"): "int16",
        np.dtype("int32"): "int32", np.dtype("int64"): "int64", np.dtype("float32"): "float32",
    }  # fmt: skip
    return names[values.dtype]


def _stored(t: Tensor) -> bytes:
    """A constant's bytes as the file holds them."""
    assert t.data is not None
    if t.dtype == "int4":
        return packed(np.ascontiguousarray(t.data, np.int8))
    return np.ascontiguousarray(t.data, np.dtype(NUMPY[t.dtype]).newbyteorder("<")).tobytes()


def _subgraph(
    builder: Any, graph: Graph, tensors: Sequence[Tensor], operations: Sequence[_Operation], codes: Sequence[_Code]
) -> int:
    generated = schema.module("SubGraph")
    index = {t.name: i for i, t in enumerate(tensors)}
    held = [t.name for t in tensors if t.data is not None]
    buffer_of = {name: i + 1 for i, name in enumerate(held)}  # buffer 0 is the empty one
    variable = {s.before for s in graph.states}
    tensors_at = _tables(builder, [_tensor(builder, t, buffer_of.get(t.name, 0), t.name in variable) for t in tensors])
    number = {code: i for i, code in enumerate(codes)}
    operators_at = _tables(builder, [_operator(builder, op, number[op.code]) for op in operations])
    inputs_at = _vector(builder, [index[name] for name in graph.inputs], np.int32)
    outputs_at = _vector(builder, [index[name] for name in graph.outputs], np.int32)
    name_at = builder.CreateString("main")
    generated.SubGraphStart(builder)
    generated.SubGraphAddTensors(builder, tensors_at)
    generated.SubGraphAddInputs(builder, inputs_at)
    generated.SubGraphAddOutputs(builder, outputs_at)
    generated.SubGraphAddOperators(builder, operators_at)
    generated.SubGraphAddName(builder, name_at)
    return generated.SubGraphEnd(builder)


def _tensor(builder: Any, t: Tensor, buffer: int, variable: bool) -> int:
    generated = schema.module("Tensor")
    shape_at = _vector(builder, t.shape, np.int32)
    name_at = builder.CreateString(t.name)
    quant_at = _quantization(builder, t)
    generated.TensorStart(builder)
    generated.TensorAddShape(builder, shape_at)
    generated.TensorAddType(builder, schema.numbers("TensorType")[t.dtype.upper()])
    generated.TensorAddBuffer(builder, buffer)
    generated.TensorAddName(builder, name_at)
    if quant_at is not None:
        generated.TensorAddQuantization(builder, quant_at)
    if variable:
        generated.TensorAddIsVariable(builder, True)
    generated.TensorAddHasRank(builder, True)
    return generated.TensorEnd(builder)


def _quantization(builder: Any, t: Tensor) -> int | None:
    if t.quant is None or t.dtype == "float32":  # the steps that real values lie on are no affair of a runtime
        return None
    generated = schema.module("QuantizationParameters")
    scale_at = _vector(builder, t.quant.scale, np.float32)
    zero_point_at = _vector(builder, t.quant.zero_point, np.int64)
    generated.QuantizationParametersStart(builder)
    generated.QuantizationParametersAddScale(builder, scale_at)
    generated.QuantizationParametersAddZeroPoint(builder, zero_point_at)
    generated.QuantizationParametersAddQuantizedDimension(builder, t.quant.axis)
    return generated.QuantizationParametersEnd(builder)


def _operator(builder: Any, op: _Operation, code: int) -> int:
    generated = schema.module("Operator")
    inputs_at = _vector(builder, op.inputs, np.int32)
    outputs_at = _vector(builder, op.outputs, np.int32)
    options_at = schema.write_options(builder, op.options_table, op.options) if op.options_table else None
    own: bytes = op.options.get("custom_options", b"")
    own_at = builder.CreateByteVector(own) if own else None
    generated.OperatorStart(builder)
    generated.OperatorAddOpcodeIndex(builder, code)
    generated.OperatorAddInputs(builder, inputs_at)
    generated.OperatorAddOutputs(builder, outputs_at)
    if op.options_table:
        generated.OperatorAddBuiltinOptionsType(builder, schema.numbers("BuiltinOptions")[op.options_table])
        generated.OperatorAddBuiltinOptions(builder, options_at)
    if own_at is not None:
        generated.OperatorAddCustomOptions(builder, own_at)
    return generated.OperatorEnd(builder)


def _code(builder: Any, builtin: str, custom: str, number: int) -> int:
    generated, code = schema.module("OperatorCode"), schema.numbers("BuiltinOperator")[builtin]
    custom_at = builder.CreateString(custom) if custom else None
    generated.OperatorCodeStart(builder)
    generated.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, _OLD_CODES))
    generated.OperatorCodeAddVersion(builder, number)
    generated.OperatorCodeAddBuiltinCode(builder, code)
    if custom_at is not None:
        generated.OperatorCodeAddCustomCode(builder, custom_at)
    return generated.OperatorCodeEnd(builder)


def _buffer(builder: Any, data: bytes) -> int:
    generated = schema.module("Buffer")
    at = None
    if data:
        at = builder.StartVector(1, len(data), ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        at = builder.EndVector()
    generated.BufferStart(builder)
    if at is not None:
        generated.BufferAddData(builder, at)
    return generated.BufferEnd(builder)


def _vector(builder: Any, values: Sequence[int] | Sequence[float], dtype: type[np.generic]) -> int:
    """A vector of scalars."""
    return builder.CreateNumpyVector(np.array(values, dtype))


def _tables(builder: Any, offsets: Sequence[int]) -> int:
    """A vector of tables."""
    builder.StartVector(4, len(offsets), 4)
    for at in reversed(offsets):
        builder.PrependUOffsetTRelative(at)
    return builder.EndVector()
