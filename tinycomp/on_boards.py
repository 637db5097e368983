"""One model on many boards: which can hold it, and what is left of flash and RAM on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinycomp.build import Build, Options, compile_model
from tinycomp.frontend import Model
from tinycomp.report.text import Section, number
from tinycomp.target import Board, Budget


@dataclass(frozen=True)
class Fit:
    """A model on a board. Bytes; cycles and milliseconds None where nothing predicts them. others: by region."""

    board: Board
    fits: bool
    arena: int
    others: Mapping[str, int]
    ram: int
    ram_limit: int
    flash: int
    flash_limit: int
    cycles: int | None

    @property
    def milliseconds(self) -> float | None:
        """One inference, from the predicted cycles and the board's clock."""
        return None if self.cycles is None else 1000 * self.cycles / self.board.clock_hz


def fits(model: Model, boards: Sequence[Board], say: Callable[[int], None] = lambda done: None) -> list[Fit]:
    """The model on each board with its first framework; the model must be one that builds take as it is.

    Boards of one core share a compilation where their SRAM holds the arena; `say` is told how many boards are done.
    Raises BadInput, Unsupported.
    """
    known: dict[tuple[str, int], Build] = {}
    found: list[Fit] = []
    for i, board in enumerate(boards):
        key = (board.core.id, board.flash.access_bytes)
        if key not in known:
            known[key] = compile_model(model, Options(board=board.id))
        made, budget = known[key], Budget.of(board)
        spread = len(made.report["regions"]) > 1 or made.report["ram_bytes"] > budget.ram
        if spread and made.board.id != board.id:
            made = compile_model(model, Options(board=board.id))
        found.append(_fit(board, budget, made.report))
        say(i + 1)
    return found


def _fit(board: Board, budget: Budget, r: Mapping[str, Any]) -> Fit:
    others = r["regions"][1:]
    fits = (r["ram_bytes"] <= budget.ram and r["flash_bytes"] <= budget.flash
            and all(region["arena_bytes"] <= region["budget"] for region in others))  # fmt: skip
    return Fit(board, fits, r["arena_bytes"], {x["name"]: x["arena_bytes"] for x in others}, r["ram_bytes"],
               budget.ram, r["flash_bytes"], budget.flash, r["cycles"]["value"])  # fmt: skip


def facts(fits: Sequence[Fit]) -> list[dict[str, Any]]:
    """The table as plain data."""
    return [
        {"board": f.board.id, "core": f.board.core.id, "clock_hz": f.board.clock_hz, "fits": f.fits,
         "arena_bytes": f.arena, "arena_elsewhere": dict(f.others), "ram_bytes": f.ram, "ram_budget": f.ram_limit,
         "flash_bytes": f.flash, "flash_budget": f.flash_limit, "cycles": f.cycles, "latency_ms": f.milliseconds}
        for f in fits
    ]  # fmt: skip


def sections(fits: Sequence[Fit]) -> list[Section]:
    """One line a board; columns of time only where some board has a figure."""
    timed = any(f.cycles is not None for f in fits)
    headers = ("board", "core", "MHz", "fits", "arena", "RAM", "flash", *(("ms",) if timed else ()))
    rows = tuple(
        (f.board.id, f.board.core.id, f"{f.board.clock_hz / 1e6:g}", "yes" if f.fits else "NO",
         number(f.arena) + "".join(f" + {n:,} {region}" for region, n in f.others.items()),
         _share(f.ram, f.ram_limit), _share(f.flash, f.flash_limit),
         *(("–" if f.milliseconds is None else f"{f.milliseconds:.3g}",) if timed else ()))
        for f in fits
    )  # fmt: skip
    notes = ("arena in bytes; RAM and flash as shares of what the board has for them",)
    return [Section("Boards", headers, "<<><>>>" + (">" if timed else ""), rows, notes)]


def _share(used: int, limit: int) -> str:
    return f"{100 * used / limit:.1f} %" if limit else "–"
