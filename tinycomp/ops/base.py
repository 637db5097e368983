"""What an operator is: one `Operator` value per file of this folder, listed in the table of `tinycomp.ops`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, Attrs, DType, Edit, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, whole

Shape = tuple[int, ...]
ACTIVATIONS = ("none", "relu", "relu_n1_to_1", "relu6", "tanh", "sign_bit")
# TensorType of the schema.
TYPE_CODES: dict[str, int] = {
    "float32": 0, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "int4": 17,
}  # fmt: skip


class Source(NamedTuple):
    """One operator as it stands in a file.

    options: the fields of the operator's options table under their schema names (stride_h, …); {} where absent.
    inputs: None where an optional input is missing. Constants carry data.
    unsigned: the file computes in uint8; the tensors are int8 here, 128 taken off values and zero points.
    """

    name: str
    builtin: str
    options: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    unsigned: bool = False

    def input(self, i: int) -> Tensor:
        """Input i. Raises BadInput where the file leaves it out."""
        t = self.inputs[i] if i < len(self.inputs) else None
        if t is None:
            raise BadInput(f"input {i} is missing; the file names {len(self.inputs)} inputs",
                           where=f"{self.name} ({self.builtin})", fix="export the model again")  # fmt: skip
        return t

    def constant(self, i: int, what: str, integral: bool = True) -> Array:
        """The data of input i, which must be a constant: an axis, a shape, a permutation.

        Raises Unsupported where it is computed, BadInput where it is real numbers and `integral` asks for integers.
        """
        t = self.input(i)
        if t.data is None:
            raise Unsupported(f"{what} (tensor {t.name!r}) is computed at run time, and C with static memory needs it "
                              "fixed", where=f"{self.name} ({self.builtin})",
                              fix="export the model with a static input shape and constant arguments")  # fmt: skip
        if integral and t.data.dtype.kind not in "iu":
            raise BadInput(f"{what} (tensor {t.name!r}) has dtype {t.dtype}, where integers belong",
                           where=f"{self.name} ({self.builtin})", fix="export the model again")  # fmt: skip
        return t.data

    def activation(self) -> str:
        """The fused activation. Raises Unsupported for those that no reference kernel implements."""
        code = int(self.options.get("fused_activation_function", 0))
        name = ACTIVATIONS[code] if 0 <= code < len(ACTIVATIONS) else f"number {code}"
        if name not in ACTIVATIONS[:4]:
            raise Unsupported(f"the fused activation {name} is not supported (none, relu, relu6 and relu_n1_to_1 are)",
                              where=f"{self.name} ({self.builtin})", fix="use a separate activation layer")  # fmt: skip
        return name


class Parsed(NamedTuple):
    """What a file's operator means in the IR: its attributes and the inputs that stay tensors.

    A constant that became an attribute (axes, paddings, a target shape) is not among the inputs; a bias that the
    file leaves out is, as a new constant.
    carried: those inputs whose tensors are variables; the node gets one more output for each, its next value.
    """

    attrs: Attrs
    inputs: tuple[Tensor, ...]
    carried: tuple[Tensor, ...] = ()


class Written(NamedTuple):
    """The inverse of Parsed: options by schema name, and inputs as tensor names or constants to store."""

    options: Mapping[str, Any]
    inputs: tuple[str | Array | None, ...]


@dataclass(frozen=True)
class Codec:
    """How one TFLite builtin operator is read and written. `options` is the options table's name in the schema.

    An operator with several codecs is written by the first whose `write` is there and does not return None.
    custom: the name beside the builtin CUSTOM, "" beside all others.
    """

    builtin: str
    options: str | None
    read: Callable[[Source], Parsed]
    write: Callable[[Node, Graph], Written | None] | None = None
    custom: str = ""


def _no_macs(node: Node, graph: Graph) -> int:
    return 0


@dataclass(frozen=True)
class Operator:
    """One operator of the IR.

    infer: the (shape, dtype) of each output; raises Unsupported or BadInput where inputs and attributes do not agree.
    reference: the numpy meaning: node, graph and the values of all inputs, constants included, to the outputs' values.
        It takes its sizes from the values, so a batch may be larger than the graph's.
    access: which rows of which operand an output row needs. None: the operator exists only to be folded (shape
        arithmetic on constants) and has no kernel.
    kernels: best first; the last one is portable C99 and accepts every shape and dtype that `infer` lets through.
    inplace: operands whose storage the output may take over, row for row, when they die here.
    view: the output is the first input's bytes; costs nothing.
    expand: the node as nodes of other operators, None where it runs as it is. What has several outputs runs that way.
    carries: (input, output) pairs of a state and its next value, which the kernel makes in place in memory that
        survives the inference. No kernel row is given such an input; an output other than the first is handed to the
        kernel as `void *s0`, `s1`, …, in the order of the pairs.
    """

    attrs: type[Attrs]
    codecs: tuple[Codec, ...]
    infer: Callable[[Node, Graph], tuple[tuple[Shape, DType], ...]]
    reference: Callable[[Node, Graph, Sequence[Array]], tuple[Array, ...]]
    access: Callable[[Node, Graph], Access] | None = None
    kernels: tuple[Kernel, ...] = ()
    inplace: tuple[int, ...] = ()
    view: bool = False
    expand: Callable[[Node, Graph], Edit | None] | None = None
    carries: tuple[tuple[int, int], ...] = ()
    macs: Callable[[Node, Graph], int] = _no_macs

    @property
    def name(self) -> str:
        """The key of the operator table."""
        return self.attrs.op


def require_dtype(node: Node, graph: Graph, allowed: Sequence[tuple[DType, ...]]) -> None:
    """Raise Unsupported unless the dtypes of (activation inputs…, output) are one of the allowed tuples."""
    found = (*(graph.tensors[i].dtype for i in node.inputs[: len(allowed[0]) - 1]), graph.out(node).dtype)
    if found not in allowed:
        combos = ", ".join("→".join((",".join(a[:-1]), a[-1])) for a in allowed)
        names = ", ".join(repr(i) for i in node.inputs[: len(allowed[0]) - 1])
        raise Unsupported(f"has dtypes {','.join(found[:-1])}→{found[-1]} on {names}; supported: {combos}",
                          where=f"{node.name} ({node.op})",
                          fix="export the model as full-integer int8 or as float32")  # fmt: skip


def c_type(t: Tensor) -> str:
    """The C type of a tensor's elements."""
    names = {"float32": "float", "bool": "uint8_t", "int4": "int8_t"}
    return names.get(t.dtype, f"{t.dtype}_t")


def whole_access(node: Node, graph: Graph) -> Access:
    """Everything at once: every operand that is no constant, whole."""
    return whole(len(graph.activations(node)))


class Sources(NamedTuple):
    """Where a kernel finds its operands. names: C expressions, `rows[0]`, `c0`, …, operand by operand."""

    names: tuple[str, ...]
    consts: tuple[Const, ...]


def sources(ins: Sequence[Tensor]) -> Sources:
    """Operands that are given whole or row by row, and constants as they are."""
    names: list[str] = []
    consts: list[Const] = []
    for t in ins:
        names.append(f"rows[{len(names) - len(consts)}]" if t.data is None else f"c{len(consts)}")
        consts += [] if t.data is None else [Const("weights", t.data)]
    return Sources(tuple(names), tuple(consts))


def as_dtype(values: Any, dtype: str) -> Array:
    """The values as an array of the tensor dtype. Integers must already be in range."""
    return np.asarray(values).astype(NUMPY[dtype])


def clamp_real(values: Array, activation: str) -> Array:
    """A fused activation on float32 values."""
    low = {"relu": 0.0, "relu6": 0.0, "relu_n1_to_1": -1.0}.get(activation)
    high = {"relu6": 6.0, "relu_n1_to_1": 1.0}.get(activation)
    if low is None and high is None:
        return values
    return np.clip(values, low, high).astype(np.float32)
