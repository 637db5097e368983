"""The state of one reading of a file: what has a value by now, under which name, and what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count

from tinycomp import ops
from tinycomp.errors import BadInput, TinycompError, Unsupported
from tinycomp.ir import Node, Tensor
from tinycomp.ops.custom import Definition
from tinycomp.tflite import tensors as convert
from tinycomp.tflite import unsigned
from tinycomp.tflite.facts import OperatorFacts
from tinycomp.tflite.file import MALFORMED, REEXPORT, File, FileOperator, Meter
from tinycomp.tflite.variables import Variables

# What numpy, arithmetic and tables raise on numbers that no sound file holds and no check of an operator has met; any
# other exception is a fault of ours and is to be seen.
SAFE = (*MALFORMED, KeyError, ZeroDivisionError)


class AlreadyReported(Exception):
    """The operator fails for a reason that is among the problems by now."""


@dataclass
class Reading:
    """The state of one reading. Tensors are known by their index in the file, those of the graph by name."""

    file: File
    name: str
    meter: Meter
    custom: Sequence[Definition] = ()
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
        self.codecs = {(c.builtin, c.custom): (_title(o.name, c.builtin), c) for o, c in ops.codecs(self.custom)}

    def tensor(self, index: int, where: str) -> Tensor:
        """The IR's tensor, made at first use."""
        if index in self.refused:
            raise AlreadyReported
        if index not in self.made:
            source = self.file.tensors[index]
            runtime = index in self.running or index in self.writers
            try:
                made = convert.tensor(source, where, runtime=runtime, meter=self.meter)
                if self.unsigned and unsigned.is_unsigned(source):
                    made = unsigned.signed(made, index in self.weights)
            except SAFE as error:
                raise nonsense(where, error) from error
            except TinycompError:
                self.refused.add(index)
                raise
            self.made[index] = self.tensors[made.name] = made
        return self.made[index]

    def operand(self, op: FileOperator, index: int, where: str) -> Tensor:
        """An input of the operator. Raises BadInput where nothing has given it a value yet."""
        name = self.file.tensors[index].name
        t = self.tensor(index, f"tensor {name!r}, read by {where}")
        if t.data is None and index not in self.running:
            later = self.writers.get(index)
            cause = (
                f"{later.label} writes only later (a cycle, or operators out of order)" if later else "nothing writes"
            )
            raise BadInput(f"reads the tensor {name!r}, which {cause}", where=where, fix=REEXPORT)
        return t

    def result(self, op: FileOperator, index: int, where: str) -> Tensor:
        """An output of the operator. Raises BadInput where it has a value already."""
        name = self.file.tensors[index].name
        if self.writers[index] is not op or index in self.given:
            raise BadInput(f"writes the tensor {name!r}, which already has a value", where=where, fix=REEXPORT)
        return self.tensor(index, f"tensor {name!r}, written by {where}")

    def adopted(self, t: Tensor) -> str:
        """The name of a tensor that a codec hands back: the file's own, or a new constant's, renamed where taken."""
        if self.tensors.get(t.name) is t:
            return t.name
        names = chain((t.name,), (f"{t.name}_{k}" for k in count(1)))
        name = next(n for n in names if n not in self.taken)
        self.taken.add(name)
        self.tensors[name] = replace(t, name=name)
        return name

    def following(self, t: Tensor, where: str) -> str:
        """The tensor for the next value of a variable tensor. Raises Unsupported where it has one already."""
        if t.name in self.variables.carried:
            raise stray(t, where)
        name = self.adopted(replace(t, name=f"{t.name}/next"))
        self.variables.carried[t.name] = (t, self.tensors[name])
        return name

    def settle(self, index: int, t: Tensor) -> None:
        """The tensor turned out to be a constant."""
        self.made[index] = self.tensors[t.name] = t


def stray(t: Tensor, where: str) -> Unsupported:
    """That a variable tensor is read by somebody other than its one owner."""
    return Unsupported("is a variable that belongs to another operator, or to none that keeps state",
                       where=f"tensor {t.name!r}, read by {where}",
                       fix="export the model again: one recurrent operator owns one variable")  # fmt: skip


def nonsense(where: str, error: Exception) -> BadInput:
    """That an operator or tensor made the reading fail in a way that only a damaged file can."""
    return BadInput(f"makes no sense ({type(error).__name__}: {error})", where=where, fix=REEXPORT)


def _title(operator: str, builtin: str) -> str:
    """What nodes of a builtin are called: as their operator, or as the builtin where the operator has many."""
    return operator if builtin.replace("_", "").lower().startswith(operator.replace("_", "")) else builtin.lower()
