"""RAM over the steps of a program: what is live when, what the peak is made of, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinycomp import ops
from tinycomp.program import Program
from tinycomp.target import Board, Budget


@dataclass(frozen=True)
class Verdict:
    """Why a program does not fit, ready to be an error."""

    what: str
    where: str
    fix: str


def steps(program: Program) -> list[dict[str, Any]]:
    """For each step the buffers that hold something: tensor, offset, bytes, rows."""
    rows = {root: place.rows for root, place in program.places.items()}
    listing: list[dict[str, Any]] = []
    for i in range(max(len(program.steps), 1)):
        live = [
            {"tensor": b.name, "offset": program.placement.offsets[b.name], "bytes": b.size, "rows": rows.get(b.name)}
            for b in program.buffers
            if b.start <= i < b.end
        ]
        listing.append({"step": i, "live": sorted(live, key=lambda b: b["offset"])})
    return listing


def peak_step(program: Program) -> int:
    """The step at which most bytes are live."""
    sizes = [sum(b.size for b in program.buffers if b.start <= i < b.end) for i in range(max(len(program.steps), 1))]
    return max(range(len(sizes)), key=lambda i: (sizes[i], -i))


def layer_by_layer(program: Program) -> int:
    """Bytes when every tensor is whole, nothing is overwritten in place and no kernel needs scratch."""
    graph = program.graph
    order = [n for n in graph.nodes if not ops.operator(n).view]
    view_of = {n.outputs[0]: n.inputs[0] for n in graph.nodes if ops.operator(n).view}

    def owner(name: str) -> str:
        while name in view_of:
            name = view_of[name]
        return name

    spans = {owner(name): [0, 1] for name in graph.inputs}
    for i, node in enumerate(order):
        for name in (*node.inputs, *node.outputs):
            if graph.tensors[name].data is None:
                span = spans.setdefault(owner(name), [i, i + 1])
                span[1] = i + 1
    for name in graph.outputs:
        if owner(name) in spans:
            spans[owner(name)][1] = max(len(order), 1)
    return max(
        sum(graph.tensors[n].bytes for n, (a, b) in spans.items() if a <= i < b) for i in range(max(len(order), 1))
    )


def verdict(report: Mapping[str, Any], program: Program, board: Board, budget: Budget) -> Verdict | None:
    """None where flash and RAM suffice; otherwise what is too large, where, by how much, and what to do."""
    if report["ram_bytes"] > budget.ram:
        i = peak_step(program)
        live = sorted((b for b in program.buffers if b.start <= i < b.end), key=lambda b: (-b.size, b.name))
        parts = ", ".join(f"{_label(b.name)} ({b.size:,})" for b in live[:6]) + (
            f" and {len(live) - 6} more" if len(live) > 6 else ""
        )
        need, have = report["ram_bytes"], budget.ram
        layer = program.steps[i].node.name if program.steps else "the model"
        return Verdict(f"the arena needs {program.arena:,} bytes ({need:,} with the context) and {board.id} has {have:,} for it, "
                       f"{need - have:,} too few; live at the peak: {parts}", f"layer {i} {layer}",
                       "take a board with more RAM, a smaller model or a smaller input; --force writes the build anyway")  # fmt: skip
    if report["flash_bytes"] > budget.flash:
        heavy = sorted(report["layers"], key=lambda layer: -layer["weights_bytes"])[:3]
        parts = ", ".join(f"{layer['name']} ({layer['weights_bytes']:,})" for layer in heavy)
        need, have = report["flash_bytes"], budget.flash
        return Verdict(f"needs {need:,} bytes of flash (weights {report['weights_bytes']:,}, tables {report['tables_bytes']:,}, "
                       f"code {report['code_bytes']['value']:,} {report['code_bytes']['how']}) and {board.id} has {have:,}, "
                       f"{need - have:,} too few; largest weights: {parts}", "flash",
                       "take a board with more flash or a smaller model; --force writes the build anyway")  # fmt: skip
    return None


def _label(name: str) -> str:
    """A tensor's name, short enough for a message."""
    return name if len(name) <= 40 else f"…{name[-39:]}"
