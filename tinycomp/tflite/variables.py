"""Variables of a file as states of the graph: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, and variable tensors.

What an inference reads first is the value that the last one left; what it assigns last is what it leaves. In between a
variable is a name for the tensor that was assigned. So a graph with variables is a function like any other.

Sources: tensorflow/lite/micro/micro_resource_variable.cc, micro_interpreter_graph.cc (ResetTensorData).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, State, Tensor
from tinycomp.tflite.file import REEXPORT, printable

Key = tuple[str, str]  # container, shared name
BUILTINS = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})


@dataclass
class Variables:
    """The variables of one reading. handles: by tensor index. before: the tensor that holds a variable's value when an
    inference begins, if that is read. current: its value up to the current operator. initial: what an initialiser set.
    carried: variable tensors, with the tensors of their next values.
    """

    handles: dict[int, Key] = field(default_factory=dict[int, Key])
    before: dict[Key, Tensor] = field(default_factory=dict[Key, Tensor])
    current: dict[Key, Tensor] = field(default_factory=dict[Key, Tensor])
    initial: dict[Key, Array] = field(default_factory=dict[Key, Array])
    carried: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict[str, tuple[Tensor, Tensor]])

    def handle(self, index: int, options: Mapping[str, Any]) -> None:
        """VAR_HANDLE: tensor `index` names a variable."""
        self.handles[index] = (str(options.get("container", "")), str(options.get("shared_name", "")))

    def key(self, index: int, where: str) -> Key:
        """The variable that a tensor names. Raises BadInput where it names none."""
        if index not in self.handles:
            raise BadInput(f"tensor {index} is not a variable's handle", where=where, fix=REEXPORT)
        return self.handles[index]

    def read(self, key: Key, t: Tensor, where: str) -> Tensor:
        """READ_VARIABLE: the value, which is `t` itself where the variable holds what the last inference left."""
        value = self.current.get(key, self.before.get(key))
        if value is None:
            value = self.before[key] = t
        if (value.shape, value.dtype) != (t.shape, t.dtype):
            raise Unsupported(f"reads {t.dtype}{list(t.shape)} from the variable {label(key)!r}, which holds "
                              f"{value.dtype}{list(value.shape)}", where=where,
                              fix="let a variable keep its shape and dtype")  # fmt: skip
        return value

    def states(self) -> Iterator[State]:
        """The states that the graph needs. Raises BadInput and Unsupported where shapes or dtypes do not agree."""
        for key, before in self.before.items():
            after, where = self.current.get(key, before), f"variable {label(key)!r}"
            if (after.shape, after.dtype) != (before.shape, before.dtype):
                raise Unsupported(f"is read as {before.dtype}{list(before.shape)} and assigned "
                                  f"{after.dtype}{list(after.shape)}", where=where,
                                  fix="let a variable keep its shape and dtype")  # fmt: skip
            initial = self.initial.get(key)
            if initial is None:
                initial = at_rest(after)
            if (initial.shape, initial.dtype) != (before.shape, NUMPY[before.dtype]):
                raise BadInput(f"is {before.dtype}{list(before.shape)} and initialised with {initial.dtype}"
                               f"{list(initial.shape)}", where=where, fix=REEXPORT)  # fmt: skip
            yield State(label(key), before.name, after.name, initial)
        for before, after in self.carried.values():
            yield State(before.name, before.name, after.name, at_rest(before, ("int8",)))


def label(key: Key) -> str:
    """A variable's name, safe to print."""
    return printable("/".join(part for part in key if part)) or "variable"


def at_rest(t: Tensor, zero_points: tuple[str, ...] = ("int8", "uint8", "int16", "int32", "int64")) -> Array:
    """What a variable holds that nothing has initialised: each byte is the zero point, 0 where there is none.

    zero_points: the dtypes whose zero point counts.
    """
    fill = t.quant.zero_point[0] if t.quant is not None and t.dtype in zero_points else 0
    return np.full(t.bytes, fill & 0xFF, np.uint8).view(NUMPY[t.dtype]).reshape(t.shape)
