"""Windows: what a run is divided into for counting, by marks in its code.

A mark is a code address that opens or closes a window, met when control reaches it; it costs no instruction. One
window is the whole; those within it, a layer's each, give way to it again when they close. Meeting a mark once more
does no harm, as happens where a loop begins at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRMWARE = "firmware in the emulator"


@dataclass(frozen=True)
class Mark:
    """A code address that opens or closes a window."""

    address: int
    window: int
    opens: bool


@dataclass(frozen=True)
class Window:
    """Instructions and modelled cycles (None: not modelled) that ran while a window was open."""

    instructions: int
    cycles: int | None


@dataclass(frozen=True)
class Counted:
    """A run: its windows by number, and what the firmware printed."""

    windows: tuple[Window, ...]
    console: str


def after(window: int | None, mark: Mark, whole: int) -> int | None:
    """The window that is open after a mark is met in `window`; None: outside all."""
    if mark.window == whole:
        return None if not mark.opens else whole if window is None else window
    if mark.opens:
        return mark.window
    return whole if window == mark.window else window


def within(marks: Sequence[Mark], address: int, size: int) -> list[Mark]:
    """The marks of the block, in order."""
    return [m for m in marks if address <= m.address < address + size]
