"""Is the emitted C the model? Its outputs against the reference's; where they differ, the first layer that is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinycomp import interpret, ops, registers
from tinycomp.errors import OutputsDiffer
from tinycomp.harness import native, qemu
from tinycomp.harness.inputs import Case
from tinycomp.harness.native import Row
from tinycomp.ir import Array, Graph, Tensor
from tinycomp.target import Board

FLOAT_TOLERANCE = 1e-5


Tracer = Callable[[Sequence[Case]], list[Row]]


@dataclass(frozen=True)
class Verified:
    """cases: how many inputs were run. worst: the largest difference of a float output, 0.0 for integers.

    stack_bytes: the most stack that was in use, None where it was not measured.
    """

    cases: int
    worst: float
    stack_bytes: int | None = None


def verify_native(library: Path, name: str, source: Graph, graph: Graph, cases: Sequence[Case], *,
                  progress: Callable[[int], None] = lambda done: None) -> Verified:  # fmt: skip
    """Run the library under sanitizers on every case and compare with the model as it was read.

    source: the graph of the file, the reference. graph: the graph that the C was emitted from, for finding a wrong
    layer. Raises OutputsDiffer, which names the first layer, row and element that differ.
    """

    def trace(cases: Sequence[Case]) -> list[Row]:
        with tempfile.TemporaryDirectory() as folder:
            program = native.compile_library(library, name, graph, Path(folder), trace=True)
            return native.run(program, graph, cases, trace=True)[1]

    with tempfile.TemporaryDirectory() as folder:
        program = native.compile_library(library, name, graph, Path(folder))
        answers, _ = native.run(program, graph, cases)
    return compare(source, graph, cases, answers, trace, progress=progress)


def verify_emulated(directory: Path, board: Board, manifest: Mapping[str, Any], source: Graph, graph: Graph,
                    cases: Sequence[Case], *,
                    progress: Callable[[int], None] = lambda done: None) -> Verified:  # fmt: skip
    """The same with the build's firmware in QEMU, on the emulated board that runs the board's instruction set.

    Raises what qemu.run_emulated raises as well.
    """
    ran = qemu.run_emulated(directory, board, manifest, graph, cases)

    def trace(cases: Sequence[Case]) -> list[Row]:
        return qemu.run_emulated(directory, board, manifest, graph, cases, trace=True).rows

    return replace(compare(source, graph, cases, ran.outputs, trace, progress=progress), stack_bytes=ran.stack_bytes)


def compare(source: Graph, graph: Graph, cases: Sequence[Case], answers: Sequence[Sequence[Array]], trace: Tracer, *,
            progress: Callable[[int], None] = lambda done: None) -> Verified:  # fmt: skip
    """Compare what a runner answered with the reference.

    source, graph: as for `verify_native`. trace: runs cases again and returns the rows that the layers finished;
    it is called where an output differs, to find the first layer that is wrong. Where the graph has states, the cases
    are one stream. Raises OutputsDiffer.
    """
    worst = 0.0
    references = interpret.sequence(source, cases)
    for k, (answer, values) in enumerate(zip(answers, references, strict=True)):
        for i, found in enumerate(answer):
            wanted = values[source.outputs[i]]
            if not equal(found, wanted):
                again = cases[: k + 1] if graph.states else [cases[k]]
                raise _blame(graph, again, k, i, found, wanted, trace(again))
            if found.dtype.kind == "f":
                difference = np.abs(found.astype(np.float32) - wanted.astype(np.float32))
                worst = max(worst, float(difference.max(initial=0.0)))
        progress(k + 1)
    return Verified(len(cases), worst)


def equal(found: Array, wanted: Array) -> bool:
    """Integers: the same bits. Floats: within 1e-5 of the larger of 1 and the wanted value."""
    if found.dtype.kind != "f":
        return np.array_equal(found, wanted)
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    return bool((np.abs(a - b) <= FLOAT_TOLERANCE * np.maximum(1.0, np.abs(b))).all())


def _blame(
    graph: Graph, cases: Sequence[Case], k: int, output: int, found: Array, wanted: Array, rows: Sequence[Row]
) -> OutputsDiffer:
    """Name the first of the rows of the last case that is not the interpreter's."""
    graph = registers.settled(graph)
    values = [*interpret.sequence(graph, cases, keep=True)][-1]
    nodes = [n for n in graph.nodes if not ops.operator(n).view]
    each = len(rows) // len(cases)
    for row in rows[len(rows) - each :]:
        t = graph.out(nodes[row.layer])
        flat = np.ascontiguousarray(values[t.name]).reshape(-1)
        size = len(row.data) // flat.itemsize
        expected = flat[row.row * size : (row.row + 1) * size]
        got = np.frombuffer(row.data, flat.dtype)
        if not equal(got, expected):
            return OutputsDiffer(f"case {k}: {_first(got, expected, row.row * size, t)}",
                                 where=f"layer {row.layer} {nodes[row.layer].name}",
                                 fix="this is a bug in tinycomp or a changed file in lib/; build again, and report it "
                                     "if it stays")  # fmt: skip
    first = _first(found.ravel(), wanted.ravel(), 0, graph.tensors[graph.outputs[output]])
    return OutputsDiffer(f"case {k}, output {output}: {first}; every layer equals the simplified graph, so a pass has "
                         "changed the model", where="passes",
                         fix="this is a bug in tinycomp; please report it with the model")  # fmt: skip


def _first(found: Array, wanted: Array, offset: int, t: Tensor) -> str:
    near = np.array([equal(a, b) for a, b in zip(found[:, None], wanted[:, None], strict=True)])
    i = int(np.argmin(near))
    index = [int(x) for x in np.unravel_index(offset + i, t.shape)]
    differ = f"{int((~near).sum())} of {near.size} differ"
    return f"tensor {t.name!r} element {index} is {found[i]}, expected {wanted[i]} ({differ})"
