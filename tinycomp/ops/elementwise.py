"""Functions of each element by itself: ABS, NEG, SQRT, EXP, FLOOR, ELU, HARD_SWISH and the like, LOGICAL_NOT.

One operator, one row of FUNCTIONS for each function. int8 is a table of 256 entries, made as the reference makes it;
float32 is a C expression. Sources: tensorflow/lite/micro/kernels/elementwise.cc, elu.cc, exp.cc, floor.cc, ceil.cc,
round.cc, neg.cc, hard_swish.cc; what TensorFlow Lite Micro lacks (int8 SQRT, EXP, LOG, GELU; int32) is LiteRT's, in
tensorflow/lite/kernels/elementwise.cc, exp.cc, activations.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node
from tinycomp.kernel import Kernel, Leaf
from tinycomp.ops import elementwise_int8 as tables
from tinycomp.ops import unary
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Elementwise(Attrs):
    """function: a key of FUNCTIONS. approximate: GELU by tanh."""

    op: ClassVar[str] = "elementwise"
    function: str = "abs"
    approximate: bool = False


class Function(NamedTuple):
    """One function.

    dtypes: those that it takes. real: its float32 meaning (bool's and int32's too, where it takes them). c: the C
    expression of it, of float v. table: int8's, every byte through it. options: the schema's options table.
    """

    dtypes: tuple[DType, ...]
    real: Callable[[Any], Any]
    c: str
    table: Callable[[Node, Graph, Array], Array] | None = None
    options: str | None = None


def _elu(x: Any) -> Any:
    return np.maximum(x, 0) + np.expm1(np.minimum(x, 0))


def _hard_swish(x: Any) -> Any:
    return np.divide(x * np.clip(x + np.float32(3), 0, 6), np.float32(6))


def _reciprocal_root(x: Any) -> Any:
    return np.divide(np.float32(1), np.sqrt(x))


F32, INT8, INT32 = "float32", "int8", "int32"

FUNCTIONS: dict[str, Function] = {
    "abs": Function((INT8, F32, INT32), np.abs, "fabsf(v)", tables.absolute, "AbsOptions"),
    "ceil": Function((F32,), np.ceil, "ceilf(v)"),
    "cos": Function((F32,), np.cos, "cosf(v)", None, "CosOptions"),
    "elu": Function((INT8, F32), _elu, "v < 0.0f ? expm1f(v) : v", tables.elu),
    "exp": Function((INT8, F32), np.exp, "expf(v)", tables.exponential, "ExpOptions"),
    "floor": Function((F32,), np.floor, "floorf(v)"),
    "gelu": Function((INT8, F32), tables.gelu_real, "0.5f * v * (1.0f + erff(v * 0.70710678f))", tables.gelu,
                     "GeluOptions"),
    "hard_swish": Function((INT8, F32), _hard_swish, "v * fminf(6.0f, fmaxf(0.0f, v + 3.0f)) / 6.0f",
                           tables.hard_swish, "HardSwishOptions"),
    "log": Function((INT8, F32), np.log, "logf(v)", tables.logarithm),
    "logical_not": Function(("bool",), np.logical_not, "!v", None, "LogicalNotOptions"),
    "neg": Function((F32, INT32), np.negative, "-v", None, "NegOptions"),
    "round": Function((F32,), np.rint, "rintf(v)"),
    "rsqrt": Function((INT8, F32), _reciprocal_root, "1.0f / sqrtf(v)", tables.reciprocal_root),
    "sign": Function((F32, INT32), np.sign, "(float)(v > 0.0f) - (float)(v < 0.0f)", None, "SignOptions"),
    "sin": Function((F32,), np.sin, "sinf(v)"),
    "sqrt": Function((INT8, F32), np.sqrt, "sqrtf(v)", tables.root),
    "square": Function((F32,), np.square, "v * v", None, "SquareOptions"),
}  # fmt: skip

TANH_GELU = "0.5f * v * (1.0f + tanhf(0.79788456f * (v + 0.044715f * v * v * v)))"
INTEGER_C = {"abs": "v < 0 ? 0 - v : v", "neg": "0 - v", "sign": "(v > 0) - (v < 0)"}


def attrs(node: Node) -> Elementwise:
    """The node's attributes, typed."""
    return cast(Elementwise, node.attrs)


def _codec(name: str) -> Codec:
    def read(source: Source) -> Parsed:
        approximate = name == "gelu" and bool(source.options.get("approximate", False))
        return Parsed(Elementwise(name, approximate), (unary.one_input(source),))

    def write(node: Node, graph: Graph) -> Written | None:
        if attrs(node).function != name:
            return None
        return Written({"approximate": attrs(node).approximate} if name == "gelu" else {}, node.inputs)

    return Codec(name.upper(), FUNCTIONS[name].options, read, write)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    unary.require_dtype(node, graph, [(d, d) for d in FUNCTIONS[attrs(node).function].dtypes])
    x, out = graph.ins(node)[0], graph.out(node)
    if x.dtype == "int8":
        unary.require_per_tensor(node, x)
        unary.require_per_tensor(node, out)
    if x.dtype == "int8" and attrs(node).function == "hard_swish":
        unary.require_multiplier(node, graph, x.scale / 128 / out.scale, 1.0)
    return ((x.shape, x.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    (x,), a = args, attrs(node)
    function = FUNCTIONS[a.function]
    if x.dtype == np.int8:
        return (table(node, graph, x),)
    with np.errstate(all="ignore"):
        made = tables.gelu_tanh(x) if a.approximate else function.real(x)
    return (np.asarray(made).astype(x.dtype),)


def table(node: Node, graph: Graph, values: Array) -> Array:
    """int8 values through the function."""
    made = FUNCTIONS[attrs(node).function].table
    assert made is not None  # `infer` has refused the others
    return made(node, graph, values.view(NUMPY["int8"]))


def _lower(node: Node, graph: Graph) -> Leaf:
    a, x = attrs(node), graph.ins(node)[0]
    c = TANH_GELU if a.approximate else FUNCTIONS[a.function].c
    wrapping = x.dtype == "int32"
    c = INTEGER_C[a.function] if wrapping else c
    return unary.row_leaf(node, graph, params={"value": c, "wraps": wrapping and a.function != "sign"})


OPERATOR = Operator(
    attrs=Elementwise,
    codecs=tuple(_codec(name) for name in sorted(FUNCTIONS)),
    infer=_infer,
    reference=_reference,
    access=unary.access,
    kernels=(unary.lut(table), Kernel("plain", _lower, lambda node, graph: graph.out(node).dtype != "int8")),
    inplace=(0,),
)
