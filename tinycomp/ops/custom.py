"""Custom operators: a CUSTOM of a model file with the C and the numpy meaning that its user gives for it.

FILE.c.j2 is a kernel template like those of templates/kernels, rendered in the same environment; FILE.py beside it
says in numpy what the C has to compute:

    infer(shapes, dtypes, options)      -> [(shape, dtype)] of the one output
    reference(arrays, options, quant)   -> the output's values, an array
    numbers(options, quant)             -> {name: int or float} for the template; may be left out

shapes, dtypes, arrays: of the inputs, constants included. options: the bytes of the file's custom_options. quant: the
(scale, zero_point) of each input and then of the output, None where a tensor has none or one for each channel.

The template finds `signature`, `inputs` (C expressions of const void *, or arrays), `types`, `shapes`, `elements` of
the inputs, `out_type`, `out_shape`, `out_elements`, and the numbers. No text of the model file is among them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node, Tensor
from tinycomp.kernel import Kernel, Leaf, Param
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written, c_type, sources, whole_access

OPTION = "--custom-op"
TEMPLATE, PYTHON = ".c.j2", ".py"
OPTIONS = "custom_options"  # the field of the schema
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# What every template finds besides its numbers.
GIVEN = frozenset({"signature", "reference", "inputs", "types", "shapes", "elements", "out_type", "out_shape",
                   "out_elements"})  # fmt: skip
INTEGERS = range(-(2**63), 2**63)

Function = Callable[..., Any]
Scale = tuple[float, int] | None


@dataclass(frozen=True, eq=False)
class Definition:
    """A custom operator's two files: their text, where they were read, and the functions of the second."""

    name: str
    template: str
    python: str
    path: Path
    infer: Function
    reference: Function
    numbers: Function | None

    @cached_property
    def operator(self) -> Operator:
        """The operator that the files make."""

        def read(source: Source) -> Parsed:
            inputs = tuple(source.input(i) for i in range(len(source.inputs)))
            return Parsed(Custom(self, bytes(source.options.get(OPTIONS, b""))), inputs)

        kernel = Kernel(re.sub(r"[^a-z0-9]+", "_", self.name.lower()), _lower)
        return Operator(Custom, (Codec("CUSTOM", None, read, _write, self.name),), _infer, _reference, whole_access,
                        (kernel,))  # fmt: skip

    def call(self, what: str, function: Function, *arguments: object) -> Any:
        """What one of the functions returns. Raises BadInput with the file's name where it raises anything."""
        try:
            return function(*arguments)
        except Exception as error:
            raise self.fault(f"{what} raised {type(error).__name__}: {error}") from error

    def fault(self, what: str) -> BadInput:
        """An error in the Python file."""
        return BadInput(what, where=str(self.path.with_name(_stem(self.path) + PYTHON)),
                        fix=f"correct the file that gives {self.name!r} its meaning")  # fmt: skip


@dataclass(frozen=True)
class Custom(Attrs):
    """definition: what computes it. options: the bytes that the file stores for this use of it."""

    op: ClassVar[str] = "custom"
    definition: Definition
    options: bytes = b""


def attrs(node: Node) -> Custom:
    """The node's attributes, typed."""
    return cast(Custom, node.attrs)


def load(name: str, template: Path) -> Definition:
    """The definition in FILE.c.j2 and FILE.py, whose code is run.

    Raises BadInput where the name or a file will not do.
    """
    if not NAME.fullmatch(name) or not template.name.endswith(TEMPLATE):
        raise BadInput(f"{name}={template} does not name an operator and a kernel template", where=OPTION,
                       fix=f"write it as {OPTION} NAME=FILE{TEMPLATE}, with FILE{PYTHON} beside it")  # fmt: skip
    beside = template.with_name(_stem(template) + PYTHON)
    text, python = _text(template), _text(beside)
    if not re.search(r"{{-?\s*signature\s*-?}}", text):
        raise BadInput("does not write {{ signature }}, the head of the C function", where=str(template),
                       fix="begin the function with {{ signature }} and its body with {")  # fmt: skip
    module = ModuleType(f"custom_{_stem(template)}")
    module.__file__ = str(beside)
    try:
        exec(compile(python, str(beside), "exec"), module.__dict__)
    except Exception as error:
        raise BadInput(f"cannot be run ({type(error).__name__}: {error})", where=str(beside),
                       fix="correct the file") from error  # fmt: skip
    functions: list[Function] = []
    for wanted in ("infer", "reference"):
        found = getattr(module, wanted, None)
        if not callable(found):
            raise BadInput(f"defines no function {wanted}", where=str(beside), fix="define infer and reference")
        functions.append(found)
    return Definition(name, text, python, template, functions[0], functions[1], getattr(module, "numbers", None))


def files(definitions: Sequence[Definition], folder: str) -> dict[str, str]:
    """The files of the definitions by their relative path in a folder, from which `kept` loads them again."""
    return {f"{folder}/{d.name}{end}": text for d in definitions for end, text in
            ((TEMPLATE, d.template), (PYTHON, d.python))}  # fmt: skip


def kept(names: Sequence[str], folder: Path) -> tuple[Definition, ...]:
    """The definitions that `files` has put into a folder. Raises BadInput where they are gone or damaged."""
    return tuple(load(name, folder / f"{name}{TEMPLATE}") for name in names)


def _stem(template: Path) -> str:
    return template.name.removesuffix(TEMPLATE)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read ({error})", where=str(path),
                       fix=f"{OPTION} NAME=FILE{TEMPLATE} needs FILE{PYTHON} beside it") from error  # fmt: skip


def _write(node: Node, graph: Graph) -> Written:
    return Written({OPTIONS: attrs(node).options}, node.inputs)


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, ins = attrs(node), graph.ins(node)
    if len(node.outputs) != 1:
        raise Unsupported(f"has {len(node.outputs)} outputs; a custom operator's kernel writes one", where=node.name,
                          fix="use one custom operator for each output")  # fmt: skip
    made = a.definition.call("infer", a.definition.infer, [t.shape for t in ins], [t.dtype for t in ins], a.options)
    try:
        ((shape, dtype),) = made
        size, kind = tuple(int(n) for n in shape), str(dtype)
    except (TypeError, ValueError):
        raise a.definition.fault(f"infer returned {made!r}, not [(shape, dtype)]") from None
    if kind not in NUMPY:
        raise a.definition.fault(f"infer returned the dtype {kind!r}; there are {', '.join(NUMPY)}")
    return ((size, cast(DType, kind)),)


def _scale(t: Tensor) -> Scale:
    return None if t.quant is None or t.quant.per_channel else (t.scale, t.zero_point)


def _scales(node: Node, graph: Graph) -> list[Scale]:
    return [_scale(t) for t in (*graph.ins(node), graph.out(node))]


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    a, out = attrs(node), graph.out(node)
    arrays = [x.copy() for x in args]
    made = np.asarray(a.definition.call("reference", a.definition.reference, arrays, a.options, _scales(node, graph)))
    if made.dtype != NUMPY[out.dtype] or made.shape[1:] != out.shape[1:] or made.ndim != len(out.shape):
        raise a.definition.fault(f"reference returned {made.dtype}{list(made.shape)}; infer says "
                                 f"{out.dtype}{list(out.shape)}")  # fmt: skip
    return (made,)


def _lower(node: Node, graph: Graph) -> Leaf:
    definition, ins, out, where = attrs(node).definition, graph.ins(node), graph.out(node), sources(graph.ins(node))
    params: dict[str, Param] = {
        "inputs": where.names, "types": tuple(map(c_type, ins)), "shapes": tuple(t.shape for t in ins),
        "elements": tuple(t.elements for t in ins), "out_type": c_type(out), "out_shape": out.shape,
        "out_elements": out.elements,
    }  # fmt: skip
    return Leaf({**params, **_numbers(node, graph)}, consts=where.consts, template=definition.template)


def _numbers(node: Node, graph: Graph) -> Mapping[str, int | float]:
    """What the Python file hands to the template. Raises BadInput for anything but finite numbers with names."""
    a = attrs(node)
    if a.definition.numbers is None:
        return {}
    found = a.definition.call("numbers", a.definition.numbers, a.options, _scales(node, graph))
    if not isinstance(found, Mapping):
        raise a.definition.fault(f"numbers returned {found!r}, not names with numbers")
    made: dict[str, int | float] = {}
    for name, value in cast(Mapping[Any, Any], found).items():
        if not re.fullmatch(r"[a-z]\w*", str(name), re.ASCII) or name in GIVEN:
            raise a.definition.fault(f"numbers names a value {name!r}; names are lower case and none of "
                                     f"{', '.join(sorted(GIVEN))}")  # fmt: skip
        number: object = cast(Any, value).item() if isinstance(value, np.generic) else value
        fits = number in INTEGERS if isinstance(number, int) else isinstance(number, float) and math.isfinite(number)
        if not fits:
            raise a.definition.fault(f"numbers gives {name} the value {value!r}, which is no finite number")
        made[str(name)] = cast(int | float, number)
    return made
