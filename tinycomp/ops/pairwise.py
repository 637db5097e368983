"""Functions of two broadcast operands: MINIMUM, MAXIMUM, DIV, POW, FLOOR_DIV, FLOOR_MOD, SQUARED_DIFFERENCE, PRELU,
comparisons and LOGICAL_AND, LOGICAL_OR.

One operator, one row of FUNCTIONS for each function. Sources: tensorflow/lite/micro/kernels/maximum_minimum.cc,
div.cc, floor_div.cc, floor_mod.cc, squared_difference.cc, prelu_common.cc, comparisons.cc, logical_common.cc; POW and
int32 FLOOR_DIV and FLOOR_MOD, which TensorFlow Lite Micro lacks, as in LiteRT's pow.cc, floor_div.cc, floor_mod.cc.
Where the references stop, at a division of integers by zero, the quotient is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from tinycomp.errors import Unsupported
from tinycomp.ir import Array, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops import binary, unary
from tinycomp.ops import pairwise_int8 as quantized
from tinycomp.ops.base import ACTIVATIONS, Codec, Operator, Parsed, Shape, Source, Written, clamp_real, require_dtype


@dataclass(frozen=True)
class Pairwise(binary.Binary):
    """function: a key of FUNCTIONS. activation: DIV's fused clamp, none elsewhere."""

    op: ClassVar[str] = "pairwise"
    function: str = "minimum"


class Function(NamedTuple):
    """One function.

    dtypes: of both operands. real: its meaning but for int8. c: the C expression for float32, of va and vb; integer:
    for int16, int32 and bool. truth: the output is bool. int8: how int8 is computed, where it takes int8.
    """

    dtypes: tuple[DType, ...]
    real: Callable[[Any, Any], Any]
    c: str
    integer: str = ""
    truth: bool = False
    int8: quantized.Arithmetic | None = None
    options: str | None = None


def _divided(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    safe = np.where(b == 0, 1, b).astype(np.int64)
    wide = a.astype(np.int64)
    return np.where(b == 0, 0, np.sign(wide) * np.sign(safe) * (np.abs(wide) // np.abs(safe)))


def _floor_divided(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return np.floor(np.divide(a, b))
    return np.where(b == 0, 0, a.astype(np.int64) // np.where(b == 0, 1, b))


def _floor_mod(a: Any, b: Any) -> Any:
    if a.dtype.kind == "f":
        return np.mod(a, b)
    return np.where(b == 0, 0, a.astype(np.int64) % np.where(b == 0, 1, b))


def _prelu(a: Any, b: Any) -> Any:
    return np.maximum(a, 0) + np.minimum(a, 0) * b


def _squared_difference(a: Any, b: Any) -> Any:
    wide = a if a.dtype.kind == "f" else a.astype(np.int64)
    return (wide - b) ** 2


def _comparison(c: str, real: Callable[[Any, Any], Any], options: str, boolean: bool = False) -> Function:
    dtypes: tuple[DType, ...] = ("int8", "float32", "int32", *(("bool",) if boolean else ()))
    return Function(dtypes, real, f"va {c} vb", f"va {c} vb", True, quantized.comparison(real), options)


F32, INT8, INT16, INT32 = "float32", "int8", "int16", "int32"
_QUOTIENT = "vb == 0 ? 0 : vb == -1 ? (int32_t)(0u - (uint32_t)va) : "
FUNCTIONS: dict[str, Function] = {
    "div": Function((INT8, F32, INT32), _divided, "va / vb", _QUOTIENT + "va / vb", int8=quantized.DIV,
                    options="DivOptions"),
    "equal": _comparison("==", np.equal, "EqualOptions", boolean=True),
    "floor_div": Function((F32, INT32), _floor_divided, "floorf(va / vb)",
                          _QUOTIENT + "va / vb - (va % vb != 0 && (va < 0) != (vb < 0))", options="FloorDivOptions"),
    "floor_mod": Function((F32, INT32), _floor_mod, "floor_mod(va, vb)",
                          "vb == 0 || vb == -1 ? 0 : va % vb + (va % vb != 0 && (va < 0) != (vb < 0) ? vb : 0)",
                          options="FloorModOptions"),
    "greater": _comparison(">", np.greater, "GreaterOptions"),
    "greater_equal": _comparison(">=", np.greater_equal, "GreaterEqualOptions"),
    "less": _comparison("<", np.less, "LessOptions"),
    "less_equal": _comparison("<=", np.less_equal, "LessEqualOptions"),
    "logical_and": Function(("bool",), np.logical_and, "", "va && vb", True, options="LogicalAndOptions"),
    "logical_or": Function(("bool",), np.logical_or, "", "va || vb", True, options="LogicalOrOptions"),
    "maximum": Function((INT8, INT16, F32, INT32), np.maximum, "va > vb ? va : vb", "va > vb ? va : vb",
                        int8=quantized.pick(np.maximum), options="MaximumMinimumOptions"),
    "minimum": Function((INT8, INT16, F32, INT32), np.minimum, "va < vb ? va : vb", "va < vb ? va : vb",
                        int8=quantized.pick(np.minimum), options="MaximumMinimumOptions"),
    "not_equal": _comparison("!=", np.not_equal, "NotEqualOptions", boolean=True),
    "pow": Function((F32,), np.power, "powf(va, vb)", options="PowOptions"),
    "prelu": Function((INT8, F32), _prelu, "va >= 0.0f ? va : va * vb",
                      int8=quantized.PRELU),
    "squared_difference": Function((INT8, F32, INT32), _squared_difference, "(va - vb) * (va - vb)",
                                   "(int32_t)(((uint32_t)va - (uint32_t)vb) * ((uint32_t)va - (uint32_t)vb))",
                                   int8=quantized.SQUARED_DIFFERENCE, options="SquaredDifferenceOptions"),
}  # fmt: skip


def attrs(node: Node) -> Pairwise:
    """The node's attributes, typed."""
    return cast(Pairwise, node.attrs)


def function(node: Node) -> Function:
    """The row of the node's function."""
    return FUNCTIONS[attrs(node).function]


def _codec(name: str) -> Codec:
    def read(source: Source) -> Parsed:
        activation = source.activation() if name == "div" else "none"
        return Parsed(Pairwise(activation, name), (source.input(0), source.input(1)))

    def write(node: Node, graph: Graph) -> Written | None:
        if attrs(node).function != name:
            return None
        fused = {"fused_activation_function": ACTIVATIONS.index(attrs(node).activation)} if name == "div" else {}
        return Written(fused, node.inputs)

    return Codec(name.upper(), FUNCTIONS[name].options, read, write)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    """Raises Unsupported for dtypes, quantization or broadcasts without a kernel, BadInput where shapes do not meet."""
    f, (a, b), out = function(node), graph.ins(node), graph.out(node)
    require_dtype(node, graph, [(d, d, "bool" if f.truth else d) for d in f.dtypes])
    if a.dtype == "int32" and attrs(node).activation != "none":
        raise Unsupported(f"int32 with the fused activation {attrs(node).activation} is not supported",
                          where=f"{node.name} ({node.op})", fix="use a separate activation layer")  # fmt: skip
    if a.dtype == "int8":
        for t in (a, b) if f.truth else (a, b, out):
            unary.require_per_tensor(node, t)
        assert f.int8 is not None  # the function takes int8
        f.int8.require(node, graph)
    return ((binary.broadcast(node, a, b), out.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    f, (a, b) = function(node), args
    if a.dtype == np.int8 and f.int8 is not None:
        return (f.int8.reference(node, graph, a.astype(np.int64), b.astype(np.int64)),)
    with np.errstate(all="ignore"):
        made = f.real(a, b)
    if a.dtype == np.float32 and not f.truth:
        return (clamp_real(made.astype(np.float32), attrs(node).activation),)
    return (made if f.truth or a.dtype == np.int16 else binary.wrapped(made),)


def _lower_int8(node: Node, graph: Graph) -> Leaf:
    arithmetic = function(node).int8
    assert arithmetic is not None  # `accepts` has asked
    made = arithmetic.lower(node, graph)
    params: dict[str, Param] = {
        "function": attrs(node).function, "truth": function(node).truth, "value": function(node).c,
        "tables": sum(t.data is not None for t in graph.ins(node)),
    }  # fmt: skip
    return binary.leaf(node, graph, params, made.numbers, made.tables)


def _lower_plain(node: Node, graph: Graph) -> Leaf:
    f, a = function(node), graph.ins(node)[0]
    value = f.c if a.dtype == "float32" else f.integer
    real = a.dtype == "float32" and not f.truth
    params: dict[str, Param] = {"value": value, "activation": attrs(node).activation if real else None}
    return binary.leaf(node, graph, params, {})


def _is_int8(node: Node, graph: Graph) -> bool:
    return graph.ins(node)[0].dtype == "int8"


def _is_mod(node: Node, graph: Graph) -> bool:
    return attrs(node).function == "floor_mod" and unary.is_float(node, graph)


OPERATOR = Operator(
    attrs=Pairwise,
    codecs=tuple(_codec(name) for name in sorted(FUNCTIONS)),
    infer=_infer,
    reference=_reference,
    access=binary.access,
    kernels=(
        Kernel("int8", _lower_int8, _is_int8, helpers=("requantize", "clamp_int8", "quotient")),
        Kernel("mod", _lower_plain, _is_mod, helpers=("floor_mod",)),
        Kernel("plain", _lower_plain, lambda node, graph: not _is_int8(node, graph) and not _is_mod(node, graph)),
    ),
    inplace=(0, 1),
)
