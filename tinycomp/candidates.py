"""The kernels that can compute each node of a graph on a core, with what is predicted of them.

Each operator's table has its rows best first. Where the cost model knows a core, its predictions decide instead, but
only beyond what it may be wrong by: a row of the table is passed over for another that is predicted clearly faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinycomp import cost, ops
from tinycomp.cores import Core
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node
from tinycomp.kernel import Access, Kernel, Leaf, choices
from tinycomp.program import Function, Place, Recipe, Step

CLEARLY = 0.9  # of the cycles of the table's first row: less than that is worth passing it over


@dataclass(frozen=True, eq=False)
class Choice:
    """A node with the kernel that computes it.

    work: predicted cycles, or instructions, of an inference (see `cost.unit`); None where they are not known.
    """

    node: Node
    kernel: Kernel
    access: Access
    leaf: Leaf
    work: float | None = None

    @property
    def stored(self) -> int:
        """Bytes of its constant arrays."""
        return sum(c.data.nbytes for c in self.leaf.consts)


def of(node: Node, graph: Graph, recipe: Recipe, features: frozenset[str], core: Core | None = None,
       table: cost.Table | None = None) -> list[Choice]:  # fmt: skip
    """The node by every kernel row that takes it, the fastest first.

    core: whose predictions count, None for none's. table: other coefficients than those that ship.
    Raises Unsupported where there is none.
    """
    operator = ops.operator(node)
    usable = features if recipe.kernels == "auto" else frozenset[str]()
    rows = choices(operator.kernels, node, graph, usable)
    if (pinned := recipe.pinned.get(node.name)) is not None:
        rows = tuple(row for row in rows if row.name == pinned)
    if operator.access is None or not rows:
        dtypes = ", ".join(f"{t.name!r} {t.dtype}{list(t.shape)}" for t in graph.ins(node))
        raise Unsupported(f"no kernel takes its inputs {dtypes}", where=f"{node.name} ({node.op})",
                          fix="`tinycomp ops` lists what each operator takes")  # fmt: skip
    access = operator.access(node, graph)
    made = [Choice(node, row, access, row.lower(node, graph)) for row in rows]
    if core is None:
        return made
    return _fastest_first([replace(c, work=cost.work(step(c, graph), graph, core, table)) for c in made])


def function(choice: Choice, symbol: str = "", arguments: tuple[str, ...] = ()) -> Function:
    """The C function of a choice, in which the numbers named `arguments` are not literals."""
    leaf = choice.leaf
    literals = {n: v for n, v in leaf.numbers.items() if n not in arguments}
    return Function(
        symbol, choice.node.op, choice.kernel.name, choice.kernel.helpers, choice.access.kind, bool(leaf.scratch),
        sum(after > 0 for _, after in ops.operator(choice.node).carries),
        tuple(data_type(c.data.dtype) for c in leaf.consts), leaf.params, literals, arguments,
        leaf.template,
    )  # fmt: skip


def sharing(choice: Choice, share: bool) -> tuple[object, ...]:
    """What choices have in common that use one function; with `share`, it may differ in all numbers."""
    numbers = choice.leaf.numbers.keys()
    f = function(choice, arguments=tuple(sorted(numbers if share else choice.leaf.shared & numbers)))
    settled = (tuple(sorted(f.params.items())), tuple(sorted(f.literals.items())), f.arguments)
    return f.op, f.kernel, f.template, f.access, f.scratch, f.states, f.data_types, settled


def pads(chosen: Sequence[Choice], graph: Graph) -> dict[int, int]:
    """The rows of padding that some kernel reads: fill byte to the longest row's bytes."""
    longest: dict[int, int] = {}
    for c in chosen:
        operands = ops.operands(c.node, graph)
        calls = _calls(c, graph)
        for t, taps in zip(operands, c.access.operands, strict=True):
            if c.access.pad is not None and taps is not None and taps.leaves(t.rows, calls):
                longest[c.access.pad] = max(longest.get(c.access.pad, 0), t.row_bytes)
    return dict(sorted(longest.items()))


def constants_bytes(chosen: Sequence[Choice], graph: Graph) -> int:
    """Bytes of the constant arrays that the kernels read, equal ones counted once, and of rows of padding."""
    arrays = {(c.data.dtype.str, c.data.tobytes()) for choice in chosen for c in choice.leaf.consts}
    return sum(len(data) for _, data in arrays) + sum(pads(chosen, graph).values())


def _calls(choice: Choice, graph: Graph) -> int:
    operands = ops.operands(choice.node, graph)
    return choice.access.calls(operands[0].rows if operands else 1, graph.out(choice.node).rows)


def data_type(dtype: np.dtype[np.generic]) -> str:
    """The C type of an array's elements."""
    return {"float32": "float", "bool": "uint8_t"}.get(dtype.name, f"{dtype.name}_t")


def step(choice: Choice, graph: Graph) -> Step:
    """The choice as a step by itself, with a function of its own, for what can be predicted of it."""
    place, calls = Place((0,), 0), _calls(choice, graph)
    return Step(choice.node, choice.access, function(choice), choice.leaf, (), (), place, None, calls, 0)


def _fastest_first(made: list[Choice]) -> list[Choice]:
    """The table's order, but for rows that are predicted clearly faster than its first: those come before it."""
    known = made[0].work
    if known is None:
        return made
    faster = [c for c in made if c.work is not None and c.work < CLEARLY * known]
    return sorted(faster, key=lambda c: c.work or 0.0) + [c for c in made if c not in faster]
