"""What tinycomp knows, as tables: boards and operators. Both are generated from the data that builds use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycomp import ops
from tinycomp.report.text import Section, number
from tinycomp.target import Board


def board_facts(board: Board) -> dict[str, Any]:
    """A board as plain data; sizes in bytes."""
    pio, emulator, energy = board.platformio, board.emulator, board.energy
    return {
        "id": board.id, "title": board.title, "core": board.core.id, "features": sorted(board.core.features),
        "clock_hz": board.clock_hz, "frameworks": list(board.frameworks),
        "regions": [{"name": r.name, "size": r.size, "usable": r.usable, "source": r.source} for r in board.regions],
        "stack_bytes": board.stack_bytes,
        "platformio": None if pio is None else {"platform": pio.platform, "board": pio.board},
        "emulator": None if emulator is None else {"program": emulator.program, "machine": emulator.machine,
                                                   "board": emulator.board},
        "energy_uj_per_mcycle": energy and energy.uj_per_mcycle,
        "energy_range_uj_per_mcycle": energy and [energy.least, energy.most],
        "energy_source": energy.source if energy else "",
        "notes": list(board.notes),
    }  # fmt: skip


def energy_words(board: Board) -> str:
    """What is known of a board's energy, and from where."""
    e = board.energy
    return f"{e.uj_per_mcycle:g} µJ per Mcycle ({e.least:g} to {e.most:g}); {e.source}" if e else "not known"


def board_sections(boards: Sequence[Board], detailed: bool) -> list[Section]:
    """One line a board, or everything about one."""
    rows = tuple(
        (b.id, b.core.id, f"{b.clock_hz / 1e6:g}", number(b.flash.usable), number(b.sram.usable),
         ",".join(b.frameworks), b.emulator.machine if b.emulator else "–")
        for b in boards
    )  # fmt: skip
    summary = Section(
        "Boards (usable bytes)", ("board", "core", "MHz", "flash", "RAM", "frameworks", "emulator"), "<<>>><<", rows
    )
    if not detailed:
        return [summary]
    board = boards[0]
    regions = tuple((r.name, number(r.size), number(r.usable), r.source) for r in board.regions)
    features = ", ".join(sorted(board.core.features))
    facts = (board.title, f"core features: {features}", f"energy: {energy_words(board)}", *board.notes)
    return [
        summary,
        Section("Memory (bytes)", ("region", "size", "usable", "source"), "<>><", regions),
        Section("Facts", notes=facts),
    ]


def operator_facts() -> list[dict[str, Any]]:
    """Every operator with the names that files give it and its kernels."""
    return [
        {"op": op.name, "tflite": [c.builtin for c in op.codecs],
         "kernels": [{"name": k.name, "requires": sorted(k.requires)} for k in op.kernels],
         "view": op.view, "expanded": op.access is None and op.expand is not None,
         "constants_only": op.access is None and op.expand is None and not op.view}
        for op in sorted(ops.OPERATORS.values(), key=lambda op: op.name)
    ]  # fmt: skip


def operator_section() -> Section:
    """The operator table."""
    rows: list[tuple[str, ...]] = []
    for f in operator_facts():
        kernels = ", ".join(
            k["name"] + (f" ({'+'.join(k['requires'])})" if k["requires"] else "") for k in f["kernels"]
        )
        if f["view"]:
            kernels = "a view, costs nothing"
        elif f["expanded"]:
            kernels = "runs as other operators"
        elif f["constants_only"]:
            kernels = "on constants only"
        rows.append((f["op"], ", ".join(f["tflite"]), kernels))
    return Section("Operators", ("operator", "in a .tflite", "kernels"), "<<<", tuple(rows))
