"""A .tflite file -> Graph: each operator through its codec, arithmetic on constants evaluated on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Literal

import numpy as np

from tinycomp import ir, ops
from tinycomp.errors import BadInput, TinycompError, Unsupported
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.ops.base import Codec, Source
from tinycomp.ops.fake_quant import trained_steps
from tinycomp.ops.reshape import Reshape
from tinycomp.tflite import tensors as convert
from tinycomp.tflite import unsigned
from tinycomp.tflite.facts import OperatorFacts, Survey, missing, notes, tensor_facts
from tinycomp.tflite.file import MALFORMED, REEXPORT, File, FileOperator, Meter, parse
from tinycomp.tflite.variables import BUILTINS, Variables, label

_SAFE = (*MALFORMED, ArithmeticError, LookupError, AssertionError, AttributeError, NotImplementedError)
_FOLD_MACS = 10_000_000  # what is folded is shape arithmetic and weights' preparation, never a layer


class _AlreadyReported(Exception):
    """The operator fails for a reason that is among the problems by now."""


@dataclass
class _Reading:
    """The state of one reading. Tensors are known by their index in the file, those of the graph by name."""

    file: File
    name: str
    meter: Meter
    made: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    nodes: list[Node] = field(default_factory=list[Node])
    problems: list[TinycompError] = field(default_factory=list[TinycompError])
    operators: list[OperatorFacts] = field(default_factory=list[OperatorFacts])
    running: set[int] = field(default_factory=set[int])  # given or computed at run time, up to the current operator
    refused: set[int] = field(default_factory=set[int])  # tensors whose problem has been reported
    lost: set[int] = field(default_factory=set[int])  # would be constants, had the operator that makes them not failed

    variables: Variables = field(default_factory=Variables)
    initialiser: bool = False  # of variables, run once: it has no outputs

    def __post_init__(self) -> None:
        self.writers = {i: op for op in reversed(self.file.operators) for i in op.outputs}
        self.given = Counter(self.file.inputs)
        self.taken = {t.name for t in self.file.tensors}
        self.running.update(t.index for t in self.file.tensors if t.variable)
        self.variable = {t.name for t in self.file.tensors if t.variable}
        self.unsigned = unsigned.computes(self.file)
        self.weights = unsigned.weights(self.file)
        self.codecs = {c.builtin: (_title(o.name, c.builtin), c) for o in ops.OPERATORS.values() for c in o.codecs}


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


def read(data: bytes, name: str = "model") -> Graph:
    """The model as a checked graph.

    Raises BadInput for a damaged or contradictory file and Unsupported for what tinycomp has no kernel for. The
    message is the first problem's and says how many more there are; `survey` has them all.
    """
    found = survey(data, name)
    if found.graph is not None:
        return found.graph
    first, more = found.problems[0], len(found.problems) - 1
    if not more:
        raise first
    rest = f"{more} more problem{'s' if more > 1 else ''}: `tinycomp inspect` lists them"
    fix = f"{first.fix}; {rest}" if first.fix else rest
    raise type(first)(first.what, where=first.where, fix=fix) from first


def survey(data: bytes, name: str = "model") -> Survey:
    """Everything the file holds and every reason why it cannot be compiled.

    Raises BadInput where the bytes are not a well-formed model at all.
    """
    data = bytes(data)
    reading = _Reading(parse(data), name, Meter(len(data)))
    file = reading.file
    _body(reading)
    graph = None if reading.problems else _finished(reading)
    return Survey(
        name, file.description, tuple(tensor_facts(file.tensors[i]) for i in file.inputs),
        tuple(tensor_facts(file.tensors[i]) for i in file.outputs), tuple(reading.operators),
        tuple(reading.problems), notes(file), graph,
    )  # fmt: skip


def _body(reading: _Reading) -> None:
    """Inputs, operators and outputs of one subgraph; what stands in the way is among the problems afterwards."""
    _inputs(reading)
    for op in reading.file.operators:
        reading.operators.append(_operator(reading, op))
        reading.running.update(i for i in op.outputs if i not in reading.made or reading.made[i].data is None)
    _outputs(reading)


def _finished(reading: _Reading) -> Graph | None:
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


def _inputs(reading: _Reading) -> None:
    for i in dict.fromkeys(reading.file.inputs):
        where = f"tensor {reading.file.tensors[i].name!r} (input of the model)"
        reading.running.add(i)
        try:
            if i in reading.writers:
                raise BadInput(f"{reading.writers[i].label} writes it too", where=where, fix=REEXPORT)
            if reading.given[i] > 1:
                raise BadInput("is listed twice among the inputs", where=where, fix=REEXPORT)
            _tensor(reading, i, where)
        except TinycompError as error:
            reading.refused.add(i)
            reading.problems.append(error)


def _outputs(reading: _Reading) -> None:
    if not reading.file.outputs and not reading.initialiser:
        reading.problems.append(BadInput("has no outputs", where="the model", fix=REEXPORT))
    for i in dict.fromkeys(reading.file.outputs):
        where = f"tensor {reading.file.tensors[i].name!r} (output of the model)"
        try:
            t = _tensor(reading, i, where)
            if t.data is None and i not in reading.running:
                raise BadInput("nothing writes it", where=where, fix=REEXPORT)
        except _AlreadyReported:
            continue
        except TinycompError as error:
            reading.problems.append(error)


def _tensor(reading: _Reading, index: int, where: str) -> Tensor:
    """The IR's tensor, made at first use."""
    if index in reading.refused:
        raise _AlreadyReported
    if index not in reading.made:
        source = reading.file.tensors[index]
        runtime = index in reading.running or index in reading.writers
        try:
            made = convert.tensor(source, where, runtime=runtime, meter=reading.meter)
            if reading.unsigned and unsigned.is_unsigned(source):
                made = unsigned.signed(made, index in reading.weights)
        except _SAFE as error:
            raise _nonsense(where, error) from error
        except TinycompError:
            reading.refused.add(index)
            raise
        reading.made[index] = reading.tensors[made.name] = made
    return reading.made[index]


def _title(operator: str, builtin: str) -> str:
    """What nodes of a builtin are called: as their operator, or as the builtin where the operator has many."""
    return operator if builtin.replace("_", "").lower().startswith(operator.replace("_", "")) else builtin.lower()


def _nonsense(where: str, error: Exception) -> BadInput:
    return BadInput(f"makes no sense ({type(error).__name__}: {error})", where=where, fix=REEXPORT)


def _operator(reading: _Reading, op: FileOperator) -> OperatorFacts:
    """Read one operator; what stands in its way goes to the problems."""
    status: Literal["kept", "folded", "refused"] = "refused"
    problem: TinycompError | None = None
    op_name, codec = reading.codecs.get(op.builtin, (op.builtin.lower(), None))
    name = f"{op_name}_{op.index}"
    try:
        with np.errstate(all="ignore"):
            status = _understood(reading, op, name, codec)
    except _AlreadyReported:
        pass
    except TinycompError as error:
        problem = error
    except _SAFE as error:
        problem = _nonsense(f"{name} ({op.builtin})", error)
    if status == "refused":
        fixed = [i for i in op.inputs if i >= 0 and i not in reading.running]
        consequence = any(i in reading.lost for i in op.inputs) and codec is not None
        if op.builtin == "SHAPE" or len(fixed) == sum(i >= 0 for i in op.inputs) or consequence:
            reading.lost.update(op.outputs)
        problem = None if consequence else problem
    if problem is not None:
        reading.problems.append(problem)
    every, builtin = reading.file.tensors, op.custom if op.builtin == "CUSTOM" else op.builtin
    return OperatorFacts(
        op.index, name, builtin, op.version, tuple(tensor_facts(every[i]) if i >= 0 else None for i in op.inputs),
        tuple(tensor_facts(every[i]) for i in op.outputs), status, str(problem or ""),
    )  # fmt: skip


def _understood(reading: _Reading, op: FileOperator, name: str, codec: Codec | None) -> Literal["kept", "folded"]:
    """Turn the operator into a node, or into constants where all that it reads is constant."""
    where = f"{name} ({op.builtin})"
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
    inputs = [_operand(reading, op, i, where) if i >= 0 else None for i in op.inputs]
    if not op.outputs or len(set(op.outputs)) < len(op.outputs):
        fault = "writes one tensor twice" if op.outputs else "has no output"
        raise BadInput(fault, where=where, fix=REEXPORT)
    outputs = [_result(reading, op, i, where) for i in op.outputs]
    if op.builtin == "DEQUANTIZE" and _widened(reading, op, inputs, outputs, where):
        return "folded"
    parsed = codec.read(Source(name, op.builtin, op.options, tuple(inputs), tuple(outputs), reading.unsigned))
    names = tuple(_adopted(reading, t) for t in parsed.inputs)
    following = tuple(_following(reading, t, where) for t in parsed.carried)
    for t in parsed.inputs:
        if t.name in reading.variable and t not in parsed.carried:
            raise _stray(t, where)
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


def _shaped(reading: _Reading, op: FileOperator, graph: Graph) -> Graph:
    """The graph of one node, its outputs of the inferred shapes where the file does not say what they are."""
    if all(reading.file.tensors[i].ranked for i in op.outputs):
        return graph
    (node,) = graph.nodes
    for index, name, (shape, _) in zip(op.outputs, node.outputs, ops.operator(node).infer(node, graph), strict=False):
        if not reading.file.tensors[index].ranked:
            reading.made[index] = reading.tensors[name] = replace(graph.tensors[name], shape=shape)
    return replace(graph, tensors={name: reading.tensors[name] for name in graph.tensors})


def _variable(reading: _Reading, op: FileOperator, where: str) -> Literal["kept", "folded"]:
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
        variables.current[key] = _operand(reading, op, op.inputs[1], where)
        return "folded"
    t = _result(reading, op, op.outputs[0], where)
    value = variables.read(key, t, where)
    if value.quant != t.quant:  # the same bytes, read as other numbers
        reading.nodes.append(Node(f"reshape_{op.index}", Reshape(t.shape), (value.name,), (t.name,)))
        return "kept"
    reading.made[op.outputs[0]] = value
    return "folded"


def _initialised(reading: _Reading, op: FileOperator, where: str) -> Literal["folded"]:
    """CALL_ONCE: the variables that its subgraph assigns begin with those values, which must be constants."""
    if reading.initialiser:
        raise BadInput("stands in a subgraph that is itself called once", where=where, fix=REEXPORT)
    file = reading.file.open(int(op.options.get("init_subgraph_index", 0)))
    inner = _Reading(file, reading.name, reading.meter, initialiser=True)
    _body(inner)
    reading.problems += inner.problems
    for key, t in inner.variables.current.items():
        if t.data is None:
            raise Unsupported(f"computes the initial value of the variable {label(key)!r}", where=where,
                              fix="initialise variables with constants")  # fmt: skip
        reading.variables.initial[key] = t.data
    return "folded"


def _following(reading: _Reading, t: Tensor, where: str) -> str:
    """The tensor for the next value of a variable tensor. Raises Unsupported where it has one already."""
    if t.name in reading.variables.carried:
        raise _stray(t, where)
    name = _adopted(reading, replace(t, name=f"{t.name}/next"))
    reading.variables.carried[t.name] = (t, reading.tensors[name])
    return name


def _stray(t: Tensor, where: str) -> Unsupported:
    return Unsupported("is a variable that belongs to another operator, or to none that keeps state",
                       where=f"tensor {t.name!r}, read by {where}",
                       fix="export the model again: one recurrent operator owns one variable")  # fmt: skip


def _operand(reading: _Reading, op: FileOperator, index: int, where: str) -> Tensor:
    """An input of the operator. Raises BadInput where nothing has given it a value yet."""
    name = reading.file.tensors[index].name
    t = _tensor(reading, index, f"tensor {name!r}, read by {where}")
    if t.data is None and index not in reading.running:
        writer = reading.writers.get(index)
        cause = f"{writer.label} writes only later (a cycle, or operators out of order)" if writer else "nothing writes"
        raise BadInput(f"reads the tensor {name!r}, which {cause}", where=where, fix=REEXPORT)
    return t


def _result(reading: _Reading, op: FileOperator, index: int, where: str) -> Tensor:
    """An output of the operator. Raises BadInput where it has a value already."""
    name = reading.file.tensors[index].name
    if reading.writers[index] is not op or index in reading.given:
        raise BadInput(f"writes the tensor {name!r}, which already has a value", where=where, fix=REEXPORT)
    return _tensor(reading, index, f"tensor {name!r}, written by {where}")


def _adopted(reading: _Reading, t: Tensor) -> str:
    """The name of a tensor that a codec hands back: the file's own, or a new constant's, renamed where it is taken."""
    if reading.tensors.get(t.name) is t:
        return t.name
    names = chain((t.name,), (f"{t.name}_{k}" for k in count(1)))
    name = next(n for n in names if n not in reading.taken)
    reading.taken.add(name)
    reading.tensors[name] = replace(t, name=name)
    return name


def _widened(
    reading: _Reading, op: FileOperator, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], where: str
) -> bool:
    """DEQUANTIZE of a float16 constant, which is float32 by now: its output is that constant."""
    if reading.file.tensors[op.inputs[0]].dtype != "float16" or len(outputs) != 1 or inputs[0] is None:
        return False
    if outputs[0].shape != inputs[0].shape or outputs[0].dtype != "float32":
        raise BadInput(f"its output {outputs[0].name!r} is {outputs[0].dtype}{list(outputs[0].shape)} and its input "
                       f"{inputs[0].name!r} float16{list(inputs[0].shape)}", where=where, fix=REEXPORT)  # fmt: skip
    _settle(reading, op.outputs[0], replace(outputs[0], data=inputs[0].data))
    return True


def _fold(reading: _Reading, op: FileOperator, node: Node, graph: Graph) -> None:
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
        _settle(reading, index, replace(t, data=value, quant=steps or t.quant))


def _settle(reading: _Reading, index: int, t: Tensor) -> None:
    """The tensor turned out to be a constant."""
    reading.made[index] = reading.tensors[t.name] = t
