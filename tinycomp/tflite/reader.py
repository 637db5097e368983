"""A .tflite file -> Graph: each operator through its codec, arithmetic on constants evaluated on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from tinycomp import ir, ops
from tinycomp.errors import BadInput, TinycompError, Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops.base import Codec, Source
from tinycomp.ops.custom import Definition
from tinycomp.ops.fake_quant import trained_steps
from tinycomp.ops.reshape import Reshape
from tinycomp.tflite import tensors as convert
from tinycomp.tflite import unsigned
from tinycomp.tflite.facts import OperatorFacts, Survey, missing, notes, tensor_facts
from tinycomp.tflite.file import REEXPORT, FileOperator, Meter, parse
from tinycomp.tflite.reading import SAFE, AlreadyReported, Reading, nonsense, stray
from tinycomp.tflite.variables import BUILTINS, label

_FOLD_MACS = 10_000_000  # what is folded is shape arithmetic and weights' preparation, never a layer


def load(path: str | Path) -> Graph:
    """The model in a file. Raises BadInput where the file cannot be read, and what `read` raises."""
    return read(contents(path), Path(path).stem)


def contents(path: str | Path) -> bytes:
    """The bytes of a model file. Raises BadInput where there is none, or it is too large to be one."""
    try:
        if Path(path).stat().st_size > convert.MAX_BYTES:
            raise BadInput(f"is larger than {convert.MAX_BYTES:,} bytes", where=str(path))
        return Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror or error})", where=str(path), fix="check the path") from error


def read(data: bytes, name: str = "model", custom: Sequence[Definition] = ()) -> Graph:
    """The model as a checked graph. custom: the meaning of custom operators.

    Raises BadInput for a damaged or contradictory file and Unsupported for what tinycomp has no kernel for. The
    message is the first problem's and says how many more there are; `survey` has them all.
    """
    found = survey(data, name, custom)
    if found.graph is not None:
        return found.graph
    first, more = found.problems[0], len(found.problems) - 1
    if not more:
        raise first
    rest = f"{more} more problem{'s' if more > 1 else ''}: `tinycomp inspect` lists them"
    fix = f"{first.fix}; {rest}" if first.fix else rest
    raise type(first)(first.what, where=first.where, fix=fix) from first


def survey(data: bytes, name: str = "model", custom: Sequence[Definition] = ()) -> Survey:
    """Everything the file holds and every reason why it cannot be compiled.

    Raises BadInput where the bytes are not a well-formed model at all.
    """
    data = bytes(data)
    reading = Reading(parse(data), name, Meter(len(data)), custom)
    file = reading.file
    _body(reading)
    graph = None if reading.problems else _finished(reading)
    return Survey(
        name, file.description, tuple(tensor_facts(file.tensors[i]) for i in file.inputs),
        tuple(tensor_facts(file.tensors[i]) for i in file.outputs), tuple(reading.operators),
        tuple(reading.problems), notes(file), graph,
    )  # fmt: skip


def _body(reading: Reading) -> None:
    """Inputs, operators and outputs of one subgraph; what stands in the way is among the problems afterwards."""
    _inputs(reading)
    for op in reading.file.operators:
        reading.operators.append(_operator(reading, op))
        reading.running.update(i for i in op.outputs if i not in reading.made or reading.made[i].data is None)
    _outputs(reading)


def _finished(reading: Reading) -> Graph | None:
    """The graph, checked; None where the check finds one more problem."""
    inputs = tuple(reading.file.tensors[i].name for i in reading.file.inputs)
    outputs = tuple(reading.made[i].name for i in reading.file.outputs)
    graph = Graph(reading.name, reading.tensors, tuple(reading.nodes), inputs, outputs)
    try:
        states = tuple(reading.variables.states())
        # What nothing assigns is a constant.
        fixed = {s.before: replace(graph.tensors[s.before], data=s.initial) for s in states if s.before == s.after}
        kept = tuple(s for s in states if s.before not in fixed)
        graph = ir.pruned(replace(graph, tensors={**graph.tensors, **fixed}, states=kept))
        if reading.unsigned:
            graph = unsigned.with_ends(graph, reading.file)
        ops.check(graph)
        return graph
    except TinycompError as error:
        reading.problems.append(error)
        return None


def _inputs(reading: Reading) -> None:
    for i in dict.fromkeys(reading.file.inputs):
        where = f"tensor {reading.file.tensors[i].name!r} (input of the model)"
        reading.running.add(i)
        try:
            if i in reading.writers:
                raise BadInput(f"{reading.writers[i].label} writes it too", where=where, fix=REEXPORT)
            if reading.given[i] > 1:
                raise BadInput("is listed twice among the inputs", where=where, fix=REEXPORT)
            reading.tensor(i, where)
        except TinycompError as error:
            reading.refused.add(i)
            reading.problems.append(error)


def _outputs(reading: Reading) -> None:
    if not reading.file.outputs and not reading.initialiser:
        reading.problems.append(BadInput("has no outputs", where="the model", fix=REEXPORT))
    for i in dict.fromkeys(reading.file.outputs):
        where = f"tensor {reading.file.tensors[i].name!r} (output of the model)"
        try:
            t = reading.tensor(i, where)
            if t.data is None and i not in reading.running:
                raise BadInput("nothing writes it", where=where, fix=REEXPORT)
        except AlreadyReported:
            continue
        except TinycompError as error:
            reading.problems.append(error)


def _operator(reading: Reading, op: FileOperator) -> OperatorFacts:
    """Read one operator; what stands in its way goes to the problems."""
    status: Literal["kept", "folded", "refused"] = "refused"
    problem: TinycompError | None = None
    op_name, codec = reading.codecs.get((op.builtin, op.custom), (op.builtin.lower(), None))
    name = f"{op_name}_{op.index}"
    try:
        with np.errstate(all="ignore"):
            status = _understood(reading, op, name, codec)
    except AlreadyReported:
        pass
    except TinycompError as error:
        problem = error
    except SAFE as error:
        problem = nonsense(f"{name} ({op.builtin})", error)
    if status == "refused":
        fixed = [i for i in op.inputs if i >= 0 and i not in reading.running]
        consequence = any(i in reading.lost for i in op.inputs) and codec is not None
        if op.builtin == "SHAPE" or len(fixed) == sum(i >= 0 for i in op.inputs) or consequence:
            reading.lost.update(op.outputs)
        problem = None if consequence else problem
    if problem is not None:
        reading.problems.append(problem)
    every, builtin = reading.file.tensors, op.custom or op.builtin
    return OperatorFacts(
        op.index, name, builtin, op.version, tuple(tensor_facts(every[i]) if i >= 0 else None for i in op.inputs),
        tuple(tensor_facts(every[i]) for i in op.outputs), status, str(problem or ""),
    )  # fmt: skip


def _understood(reading: Reading, op: FileOperator, name: str, codec: Codec | None) -> Literal["kept", "folded"]:
    """Turn the operator into a node, or into constants where all that it reads is constant."""
    where = f"{name} ({op.kind})"
    if op.builtin in BUILTINS:
        return _variable(reading, op, where)
    if op.builtin == "CALL_ONCE":
        return _initialised(reading, op, where)
    if codec is None:
        raise missing(reading.file, op)
    if codec.options and op.options_table and op.options_table != codec.options:
        raise BadInput(f"carries {op.options_table} where {codec.options} belong", where=where, fix=REEXPORT)
    if reading.unsigned:
        unsigned.require_known(reading.file, op, where)
    inputs = [reading.operand(op, i, where) if i >= 0 else None for i in op.inputs]
    if not op.outputs or len(set(op.outputs)) < len(op.outputs):
        fault = "writes one tensor twice" if op.outputs else "has no output"
        raise BadInput(fault, where=where, fix=REEXPORT)
    outputs = [reading.result(op, i, where) for i in op.outputs]
    if op.builtin == "DEQUANTIZE" and _widened(reading, op, inputs, outputs, where):
        return "folded"
    parsed = codec.read(Source(name, op.builtin, op.options, tuple(inputs), tuple(outputs), reading.unsigned))
    names = tuple(reading.adopted(t) for t in parsed.inputs)
    following = tuple(reading.following(t, where) for t in parsed.carried)
    for t in parsed.inputs:
        if t.name in reading.variable and t not in parsed.carried:
            raise stray(t, where)
    node = Node(name, parsed.attrs, names, (*(t.name for t in outputs), *following))
    around = {n: reading.tensors[n] for n in (*node.inputs, *node.outputs)}
    running = tuple(dict.fromkeys(n for n in node.inputs if around[n].data is None))
    graph = _shaped(reading, op, Graph(reading.name, around, (node,), running, node.outputs))
    ops.check(graph)
    if not running:
        _fold(reading, op, node, graph)
        return "folded"
    operator = ops.operator(node)
    if operator.access is None and operator.expand is None and not operator.view:
        raise Unsupported(f"is supported on constants only, and {running[0]!r} is computed at run time", where=where,
                          fix="export with a static input shape; supported operators: `tinycomp ops`")  # fmt: skip
    reading.nodes.append(node)
    return "kept"


def _shaped(reading: Reading, op: FileOperator, graph: Graph) -> Graph:
    """The graph of one node, its outputs of the inferred shapes where the file does not say what they are."""
    if all(reading.file.tensors[i].ranked for i in op.outputs):
        return graph
    (node,) = graph.nodes
    for index, name, (shape, _) in zip(op.outputs, node.outputs, ops.operator(node).infer(node, graph), strict=False):
        if not reading.file.tensors[index].ranked:
            reading.made[index] = reading.tensors[name] = replace(graph.tensors[name], shape=shape)
    return replace(graph, tensors={name: reading.tensors[name] for name in graph.tensors})


def _variable(reading: Reading, op: FileOperator, where: str) -> Literal["kept", "folded"]:
    """An operator on a variable: no node, only a name for a tensor."""
    counts = {"VAR_HANDLE": (0, 1), "READ_VARIABLE": (1, 1), "ASSIGN_VARIABLE": (2, 0)}[op.builtin]
    if (len(op.inputs), len(op.outputs)) != counts:
        raise BadInput(f"has {len(op.inputs)} inputs and {len(op.outputs)} outputs, not {counts[0]} and {counts[1]}",
                       where=where, fix=REEXPORT)  # fmt: skip
    variables = reading.variables
    if op.builtin == "VAR_HANDLE":
        variables.handle(op.outputs[0], op.options)
        return "folded"
    key = variables.key(op.inputs[0], where)
    if op.builtin == "ASSIGN_VARIABLE":
        variables.current[key] = reading.operand(op, op.inputs[1], where)
        return "folded"
    t = reading.result(op, op.outputs[0], where)
    value = variables.read(key, t, where)
    if value.quant != t.quant:  # the same bytes, read as other numbers
        reading.nodes.append(Node(f"reshape_{op.index}", Reshape(t.shape), (value.name,), (t.name,)))
        return "kept"
    reading.made[op.outputs[0]] = value
    return "folded"


def _initialised(reading: Reading, op: FileOperator, where: str) -> Literal["folded"]:
    """CALL_ONCE: the variables that its subgraph assigns begin with those values, which must be constants."""
    if reading.initialiser:
        raise BadInput("stands in a subgraph that is itself called once", where=where, fix=REEXPORT)
    file = reading.file.open(int(op.options.get("init_subgraph_index", 0)))
    inner = Reading(file, reading.name, reading.meter, reading.custom, initialiser=True)
    _body(inner)
    reading.problems += inner.problems
    for key, t in inner.variables.current.items():
        if t.data is None:
            raise Unsupported(f"computes the initial value of the variable {label(key)!r}", where=where,
                              fix="initialise variables with constants")  # fmt: skip
        reading.variables.initial[key] = t.data
    return "folded"


def _widened(
    reading: Reading, op: FileOperator, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], where: str
) -> bool:
    """DEQUANTIZE of a float16 constant, which is float32 by now: its output is that constant."""
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0] is None:
        return False
    if reading.file.tensors[op.inputs[0]].dtype != "float16":
        return False
    if outputs[0].shape != inputs[0].shape or outputs[0].dtype != "float32":
        raise BadInput(f"its output {outputs[0].name!r} is {outputs[0].dtype}{list(outputs[0].shape)} and its input "
                       f"{inputs[0].name!r} float16{list(inputs[0].shape)}", where=where, fix=REEXPORT)  # fmt: skip
    reading.settle(op.outputs[0], replace(outputs[0], data=inputs[0].data))
    return True


def _fold(reading: Reading, op: FileOperator, node: Node, graph: Graph) -> None:
    """Evaluate a node of constants and let its outputs be constants. Raises Unsupported where that is no small work."""
    operator, outputs = ops.operator(node), [graph.tensors[name] for name in node.outputs]
    reading.meter.spend(sum(t.bytes for t in outputs), f"the constant that {node.name} computes")
    macs = operator.macs(node, graph)
    if macs > _FOLD_MACS:
        raise Unsupported(f"takes {macs:,} multiplications on constants alone", where=f"{node.name} ({op.builtin})",
                          fix="let the converter fold constants")  # fmt: skip
    args = [data for t in graph.ins(node) if (data := t.data) is not None]
    for index, t, value in zip(op.outputs, outputs, operator.reference(node, graph, args), strict=True):
        value = value.view()
        value.flags.writeable = False
        # What training left of a constant's 256 steps stays known, so that quantizing can keep them.
        steps = trained_steps(node, graph) if t.elements > 1 else None
        reading.settle(index, replace(t, data=value, quant=steps or t.quant))
