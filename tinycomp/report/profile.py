"""A profile as JSON, and as a table."""

from __future__ import annotations

from typing import Any

from tinycomp.harness.counting.profile import Profile
from tinycomp.report.text import Section, number
from tinycomp.target import Board


def facts(profile: Profile, board: Board, name: str) -> dict[str, Any]:
    """The profile as plain data; cycles are null where they are not modelled."""
    return {
        "name": name, "board": board.id, "core": board.core.id,
        "instructions": profile.instructions, "cycles": profile.cycles, "how": profile.how,
        "stack_bytes": profile.stack_bytes,
        "layers": [
            {"index": i, "name": layer.name, "instructions": layer.instructions, "cycles": layer.cycles}
            for i, layer in enumerate(profile.layers)
        ],
    }  # fmt: skip


def headline(profile: Profile, board: Board, name: str) -> str:
    """The answer in one line."""
    cycles = "cycles not modelled" if profile.cycles is None else f"{number(profile.cycles)} modelled cycles"
    return f"{name} on {board.core.title}: {number(profile.instructions)} instructions, {cycles}"


def sections(profile: Profile, board: Board) -> list[Section]:
    """One line a layer, then the whole, which has also what lies between layers."""
    rows = [(str(i), x.name, x.instructions, x.cycles) for i, x in enumerate(profile.layers)]
    rows.append(("", "in all", profile.instructions, profile.cycles))
    table = tuple((i, name, number(n), number(c), _share(n, c, profile)) for i, name, n, c in rows)
    notes = [f"stack below the caller: {number(profile.stack_bytes)} bytes", *profile.how.split("; ")]
    if profile.cycles is not None:
        notes.insert(0, f"{1000 * profile.cycles / board.clock_hz:.3g} ms at {board.clock_hz / 1e6:g} MHz by the model")
    headers = ("#", "layer", "instructions", "cycles", "share")
    return [Section("Profile, one inference", headers, "><>>>", table, tuple(notes))]


def _share(instructions: int, cycles: int | None, profile: Profile) -> str:
    part, whole = (instructions, profile.instructions) if cycles is None else (cycles, profile.cycles or 0)
    return f"{100 * part / whole:.1f} %" if whole else "–"
