"""The memory map of a program: which bytes hold which rows from when to when, and which layer runs when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinycomp import ops
from tinycomp.layout import Resident
from tinycomp.program import Program
from tinycomp.report import memory

MOST = 6000  # rectangles of a map; a program with more of them has no map, since nobody could read it


def memory_map(program: Program) -> dict[str, Any]:
    """The parts of report.json's `memory` that a picture is drawn from.

    tasks: calls of kernels and arrivals of rows, at times 1 … tasks; time 0 is the caller writing, tasks + 1 reading.
    order: [layer, calls] in turn. whole: by layer, the bytes alive were every tensor kept whole. residents: by
    tensor, [first row, rows, offset, bytes, start, end) of what it occupies; None where there are more than MOST.
    """
    turns = order(program)
    found = residents(program)
    few = sum(len(entry["spans"]) for entry in found) <= MOST
    return {"tasks": sum(calls for _, calls in turns), "order": turns, "whole": list(program.whole_tensors),
            "residents": found if few else None}  # fmt: skip


def order(program: Program) -> list[list[int]]:
    """[layer, calls] in the order of execution; an arriving row counts to the first layer of its run."""
    turns: list[list[int]] = []
    for step in memory.owners(program):
        if turns and turns[-1][0] == step:
            turns[-1][1] += 1
        else:
            turns.append([step, 1])
    return turns


def residents(program: Program) -> list[dict[str, Any]]:
    """Tensors and scratch in the order of their birth, with the rectangles of bytes and time that each occupies.

    A row that another overwrites in place ends where that one begins, so that no two rectangles overlap.
    """
    graph = program.graph
    ends = {storage_of(program, t): "input" for t in graph.inputs} | {
        storage_of(program, t): "output" for t in graph.outputs
    }
    owned: dict[str, list[Resident]] = {}
    born = {(r.region, r.at, r.start) for r in program.layout.residents if r.row is not None}
    for r in sorted(program.layout.residents, key=lambda r: (r.start, r.at, r.name)):
        overwritten = r.row is not None and r.end - 1 > r.start and (r.region, r.at, r.end - 1) in born
        owned.setdefault(r.name, []).append(replace(r, end=r.end - 1) if overwritten else r)
    return [
        {"tensor": name, "kind": "scratch" if rows[0].row is None else ends.get(name, "activation"),
         "region": rows[0].region, "row_bytes": rows[0].size, "spans": _spans(rows)}
        for name, rows in owned.items()
    ]  # fmt: skip


def _spans(rows: list[Resident]) -> list[list[int]]:
    """Rows that follow one another in memory and live together, as one rectangle."""
    found: list[list[int]] = []
    for r in sorted(rows, key=lambda r: (r.start, r.end, r.at)):
        row = -1 if r.row is None else r.row
        if found and found[-1][4:] == [r.start, r.end]:
            first, count, at, size, _, _ = found[-1]
            if (first + count, at + size) == (row, r.at):
                found[-1][1:4] = [count + 1, at, size + r.size]
                continue
        found.append([row, 1, r.at, r.size, r.start, r.end])
    return found


def storage_of(program: Program, tensor: str) -> str:
    """The tensor whose bytes these are: itself, or what it is a view of."""
    graph = program.graph
    while (node := graph.producer(tensor)) is not None and ops.operator(node).view:
        tensor = node.inputs[0]
    return tensor
