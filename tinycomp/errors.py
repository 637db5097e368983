"""One exception family. A message says what is wrong, where, how much, and what to do next.

The command line prints `str(error)` on stderr and leaves with `error.exit_status` (see README, "Exit status").
"""

from __future__ import annotations


class TinycompError(Exception):
    """Base of every error that a user can cause.

    what: the fault in one clause, with the numbers. where: layer, tensor, file or option. fix: what to do next.
    """

    exit_status = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        head = f"{where}: {what}" if where else what
        super().__init__(f"{head}; {fix}" if fix else head)


class BadInput(TinycompError):
    """A file, an option or an array that cannot be read or makes no sense."""


class Unsupported(TinycompError):
    """A well-formed model that asks for an operator, dtype or shape which has no kernel."""


class DoesNotFit(TinycompError):
    """The model is fine, the board's flash, RAM or time is not enough."""

    exit_status = 3


class ToolMissing(TinycompError):
    """A compiler, emulator or other program is absent; `fix` names the package."""

    exit_status = 4


class OutputsDiffer(TinycompError):
    """The emitted C and the reference disagree."""

    exit_status = 1


class DeviceError(TinycompError):
    """A board that is absent, busy, silent, or holds something else than it should."""
