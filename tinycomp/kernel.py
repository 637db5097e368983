"""What an operator's C looks like to the rest of the compiler: rows in, one row out, data in flash.

Every kernel is one C function with one calling convention,

    static void fn(const void *const *rows, void *out[, void *scratch][, void *s0, ...][, int y], const T *c0, ...
                   [, int32_t n0, ...])

`rows` holds the pointers that the operator's `Access` asks for, operand after operand; `out` is one output row.
`scratch` is there when the leaf asks for scratch bytes, `y` when the access is a reduction, s0, s1, … are the states
that the operator carries on beside its output: memory that survives the inference. Constants follow, named
c0, c1, … and then those of the leaf's numbers that differ between the nodes which share the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tinycomp.ir import Array, Graph, Node

Param = int | float | str | bool | None | tuple["Param", ...]


@dataclass(frozen=True)
class Taps:
    """Which rows of one operand output row y reads: y·stride + k·dilation − pad for k in range(count).

    Rows outside the operand are padding. stride 0 reads the same rows for every y (a broadcast operand).
    """

    count: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def row(self, y: int, k: int) -> int:
        """The row that tap k of output row y reads; outside [0, rows) it is padding."""
        return y * self.stride + k * self.dilation - self.pad

    def leaves(self, rows: int, calls: int) -> bool:
        """Some of so many calls takes a row outside [0, rows)."""
        return self.pad > 0 or self.row(calls - 1, self.count - 1) >= rows


@dataclass(frozen=True)
class Access:
    """How an operator walks its operands (its non-constant inputs, in order).

    window: one call makes one output row from the operands' taps.
    reduce: one call takes input row y of every operand, accumulates in scratch, and writes the only output row on the
        last call. The scratch lives from the first call to the last.
    whole: one call reads whole operands, dense, and writes the whole output; `operands` are None.

    `pad` is the byte that a row of padding is filled with; None hands the kernel a null pointer for such a row.
    """

    kind: Literal["window", "reduce", "whole"]
    operands: tuple[Taps | None, ...]
    pad: int | None = None

    def calls(self, rows_in: int, rows_out: int) -> int:
        """How often the kernel is called. rows_in: rows of its first operand; rows_out: of its output."""
        return {"window": rows_out, "reduce": rows_in, "whole": 1}[self.kind]


def rowwise(operands: int = 1) -> Access:
    """Output row y from row y of each operand."""
    return Access("window", (Taps(),) * operands)


def whole(operands: int = 1) -> Access:
    """Everything at once."""
    return Access("whole", (None,) * operands)


@dataclass(frozen=True)
class Const:
    """An array in flash that a kernel reads. `role` says what the report counts it as."""

    role: Literal["weights", "bias", "requant", "table"]
    data: Array


@dataclass(frozen=True)
class Leaf:
    """A kernel made for one node: what its template substitutes, the data it is handed, the scratch it needs.

    params: structure, which the template may branch on: types, tap counts, array lengths.
    numbers: integers that the C only computes with. A template writes {{ name }} for both. Specialised for speed, a
        number is a literal; shared for size, one that differs between leaves becomes an int32_t argument of its name,
        so a template may not branch on it nor size an array with it.
    shared: numbers that the code gains nothing from knowing, so that they are arguments even when built for speed.
    template: the text of a template that lies outside templates/, "" for the row's own file.
    Leaves of one template with equal params and equal literal numbers are one C function.
    """

    params: Mapping[str, Param]
    numbers: Mapping[str, int] = field(default_factory=dict[str, int])
    consts: tuple[Const, ...] = ()
    scratch: int = 0
    shared: frozenset[str] = frozenset()
    template: str = ""


def _anything(node: Node, graph: Graph) -> bool:
    return True


@dataclass(frozen=True)
class Kernel:
    """A row of an operator's kernel table.

    name: also the template's, templates/kernels/<op>/<name>.c.j2. requires: core features that must be there.
    accepts: which shapes and dtypes it takes. lower: packs constants and settles every number.
    helpers: the shared C functions it calls, templates/helpers/<helper>.c.j2.
    """

    name: str
    lower: Callable[[Node, Graph], Leaf]
    accepts: Callable[[Node, Graph], bool] = _anything
    requires: frozenset[str] = field(default_factory=frozenset[str])
    helpers: tuple[str, ...] = ()


def restricted(kernels: Iterable[Kernel], condition: Callable[[Node, Graph], bool]) -> tuple[Kernel, ...]:
    """The rows for nodes that meet the condition alone; it is asked first, so `accepts` may rely on it."""

    def both(accepts: Callable[[Node, Graph], bool]) -> Callable[[Node, Graph], bool]:
        return lambda node, graph: condition(node, graph) and accepts(node, graph)

    return tuple(replace(k, accepts=both(k.accepts)) for k in kernels)


def choices(kernels: tuple[Kernel, ...], node: Node, graph: Graph, features: frozenset[str]) -> tuple[Kernel, ...]:
    """The rows that can compute the node on a core with these features, the table's order kept (best first)."""
    return tuple(k for k in kernels if k.requires <= features and k.accepts(node, graph))
