"""What counting yields: a figure for each window of a run."""

from __future__ import annotations

from dataclasses import dataclass

from tinycomp.errors import OutputsDiffer

FIRMWARE = "firmware in the emulator"


def nested() -> OutputsDiffer:
    """The error where windows are opened in a way that cannot be counted."""
    return OutputsDiffer("a layer begins inside another, or has a number past the last one", where="profile",
                         fix="build again: the library and the profile's firmware do not belong together")  # fmt: skip


@dataclass(frozen=True)
class Window:
    """Instructions and modelled cycles (None: not modelled) of a window that was opened `times` times."""

    instructions: int
    cycles: int | None
    times: int

    def without(self, empty: Window, times: int) -> Window:
        """This window less the cost of opening and closing it that often, which `empty` measured once."""
        cycles = None if self.cycles is None or empty.cycles is None else max(0, self.cycles - times * empty.cycles)
        return Window(max(0, self.instructions - times * empty.instructions), cycles, self.times)


@dataclass(frozen=True)
class Counted:
    """A run: its windows by number, and what the firmware printed."""

    windows: tuple[Window, ...]
    console: str
