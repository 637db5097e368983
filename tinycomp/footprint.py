"""Which kernels take least flash: predicted bytes of their code, which layers can share, and of their tables.

A fast kernel often stores its weights in a layout of its own and is specialised to a shape, so a model of many shapes
has many of them. One that is slower and takes any shape can be smaller in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinycomp import candidates, cost
from tinycomp.candidates import Choice
from tinycomp.cores import Core
from tinycomp.ir import Graph
from tinycomp.rewrite import biases_of, weights_of

SPEED_FOR_FLASH = 0.25  # percent of the bytes besides weights that are worth one percent of work


def least(rows: Sequence[Sequence[Choice]], graph: Graph, core: Core) -> tuple[Choice, ...]:
    """Of every node's kernels, the first being the fastest, those of the least bytes · work^SPEED_FOR_FLASH.

    Descends from the fastest: all nodes of an operator that a kernel takes change to it, as long as that is better.
    A kernel whose work or code is not known is left where it is, and is changed to by none.
    """
    sizes = _Sizes(graph, core)
    chosen = tuple(row[0] for row in rows)
    known = [tuple(c for c in row if c.work is not None and sizes.code(c) is not None) for row in rows]
    if not all(c in row for c, row in zip(chosen, known, strict=True)):
        return chosen
    moves = sorted({(c.node.op, c.kernel.name) for row in known for c in row})
    best, found = sizes.weighed(chosen), chosen
    improved = True
    while improved:
        improved = False
        for op, kernel in moves:
            moved = tuple(
                next((c for c in row if (c.node.op, c.kernel.name) == (op, kernel)), now)
                for now, row in zip(found, known, strict=True)
            )
            if (weighed := sizes.weighed(moved)) < best:
                best, found, improved = weighed, moved, True
    return found


class _Sizes:
    """Predicted bytes of choices for one graph and core, each computed once."""

    def __init__(self, graph: Graph, core: Core) -> None:
        self._graph, self._core = graph, core
        self._codes: dict[Choice, float | None] = {}

    def code(self, choice: Choice) -> float | None:
        """Bytes of the choice's function with its numbers as arguments; None where that is not known."""
        if choice not in self._codes:
            step = candidates.step(choice, self._graph)
            shared = replace(step, function=candidates.function(choice, arguments=tuple(sorted(choice.leaf.numbers))))
            found = cost.code(shared, self._graph, self._core)
            self._codes[choice] = cost.code(step, self._graph, self._core) if found is None else found
        return self._codes[choice]

    def weighed(self, chosen: Sequence[Choice]) -> float:
        """Bytes besides weights and biases, the more the slower."""
        functions = {candidates.sharing(c, share=True): self.code(c) or 0.0 for c in chosen}
        tables = sum(self._tables(c) for c in chosen)
        work = sum(c.work or 0.0 for c in chosen)
        return (sum(functions.values()) + tables) * work**SPEED_FOR_FLASH

    def _tables(self, choice: Choice) -> int:
        plain = sum(t.bytes for of in (weights_of, biases_of) for t in of(choice.node, self._graph))
        return choice.stored - plain
